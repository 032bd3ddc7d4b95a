// What a program may do wrong: each call is refused in one sentence. misuse MODEL
#include "hh.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed = 0;

static void refused(int line, HhStatus status, HhStatus expected, const char *part) {
    const char *said = hh_last_error();
    if (status == expected && strstr(said, part) && !strchr(said, '\n')) return;
    fprintf(stderr, "misuse.c:%d: status %d (expected %d), \"%s\" (expected \"%s\")\n", line, status, expected, said, part);
    failed = 1;
}

#define REFUSED(call, status, part) refused(__LINE__, call, status, part)
#define MUST(condition) \
    if (!(condition)) fprintf(stderr, "misuse.c:%d: not " #condition "; %s\n", __LINE__, hh_last_error()), failed = 1

int main(int count, char **words) {
    MUST(count == 2);
    HhEmbedder *embedder = (HhEmbedder *)1;
    HhModel *model = NULL;
    HhSession *session = NULL;
    HhSession *copy = NULL;
    HhText piece;
    HhBytes state = {0};
    float out[4096];
    uint32_t ids[2];
    size_t n = 0;

    MUST(*hh_last_error() == 0);
    MUST(strlen(hh_version()) >= 5);
    hh_embedder_free(NULL);
    hh_model_free(NULL);
    hh_session_free(NULL);
    hh_bytes_free(NULL);
    hh_bytes_free(&state);
    MUST(hh_embedder_dim(NULL) == 0 && hh_model_vocab_size(NULL) == 0 && hh_session_position(NULL) == 0);

    REFUSED(hh_embedder_open("/no/such/file", 0, &embedder), HH_FILE, "there is no such file");
    REFUSED(hh_embedder_open("/", 0, &embedder), HH_FILE, "is a folder without a checkpoint");
    REFUSED(hh_embedder_open(NULL, 0, NULL), HH_INPUT, "embedder is NULL");
    REFUSED(hh_embedder_open("\xff", 0, &embedder), HH_INPUT, "path is not UTF-8 from byte 0 on");
    REFUSED(hh_embedder_from_bytes((const uint8_t *)"not a checkpoint", 16, 0, &embedder), HH_INPUT, "checkpoint");
    REFUSED(hh_embedder_from_bytes(NULL, 16, 0, &embedder), HH_INPUT, "data is NULL");
    MUST(embedder == NULL);
    MUST(hh_embedder_open(NULL, 1, &embedder) == HH_OK);
    size_t dim = hh_embedder_dim(embedder);
    HhText text = {"One.", HH_NUL}, invalid = {"a\xc3", 2}, blank = {" ", 1}, absent = {NULL, 3}, none = {NULL, HH_NUL};
    HhEmbedOptions options = hh_embed_options();
    REFUSED(hh_embed(NULL, &text, 1, NULL, out, dim), HH_INPUT, "embedder is NULL");
    REFUSED(hh_embed(embedder, NULL, 1, NULL, out, dim), HH_INPUT, "texts is NULL");
    REFUSED(hh_embed(embedder, &text, 1, NULL, out, dim - 1), HH_INPUT, "1 embeddings of");
    REFUSED(hh_embed(embedder, &text, SIZE_MAX, NULL, out, dim), HH_INPUT, "");
    REFUSED(hh_embed(embedder, &text, 1, NULL, NULL, dim), HH_INPUT, "out is NULL");
    REFUSED(hh_embed(embedder, &invalid, 1, NULL, out, dim), HH_INPUT, "text 0 (counted from 0) is not UTF-8 from byte 1 on");
    REFUSED(hh_embed(embedder, &blank, 1, NULL, out, dim), HH_INPUT, "is empty");
    REFUSED(hh_embed(embedder, &absent, 1, NULL, out, dim), HH_INPUT, "is NULL");
    REFUSED(hh_embed(embedder, &none, 1, NULL, out, dim), HH_INPUT, "is NULL");
    options.kind = 7;
    REFUSED(hh_embed(embedder, &text, 1, &options, out, dim), HH_INPUT, "kind is 7");
    options = hh_embed_options();
    options.truncate_dim = 100000;
    REFUSED(hh_embed(embedder, &text, 1, &options, out, 100000), HH_INPUT, "truncate_dim is 100000");
    options = hh_embed_options();
    options.allow_blank = true;
    MUST(hh_embed(embedder, &blank, 1, &options, out, dim) == HH_OK && out[0] == 0);
    MUST(hh_embed(embedder, NULL, 0, NULL, NULL, 0) == HH_OK);
    hh_embedder_free(embedder);

    REFUSED(hh_model_open(NULL, 1, &model), HH_INPUT, "path is NULL");
    REFUSED(hh_session_new(NULL, 0, &session), HH_INPUT, "model is NULL");
    MUST(hh_model_open(words[1], 1, &model) == HH_OK);
    MUST(hh_model_tokenize(model, "ROMEO", 5, ids, 2, &n) == HH_OK && n == 5);
    MUST(hh_model_tokenize(model, "ROMEO", 5, NULL, 0, &n) == HH_OK && n == 5);
    REFUSED(hh_model_tokenize(model, "ROMEO", 5, NULL, 2, &n), HH_INPUT, "ids is NULL");
    REFUSED(hh_model_tokenize(model, "\xe4\xb8\xad", 3, ids, 2, &n), HH_INPUT, "vocabulary");
    MUST(hh_session_new(model, 0, &session) == HH_OK);
    REFUSED(hh_session_next(session, &piece), HH_INPUT, "call hh_session_generate first");
    REFUSED(hh_session_logits(session, out, 1), HH_INPUT, "no logits yet");
    HhGenerateOptions generate = hh_generate_options();
    generate.temperature = -1;
    REFUSED(hh_session_generate(session, &generate), HH_INPUT, "temperature");
    generate = hh_generate_options();
    generate.stop_count = 1;
    REFUSED(hh_session_generate(session, &generate), HH_INPUT, "stop is NULL");
    MUST(hh_session_generate(session, NULL) == HH_OK);
    REFUSED(hh_session_next(session, &piece), HH_INPUT, "prefill at least one token first");
    REFUSED(hh_session_next(session, NULL), HH_INPUT, "piece is NULL");
    MUST(hh_session_prefill(session, "ROMEO:\n", HH_NUL) == HH_OK);
    REFUSED(hh_session_logits(session, out, 1), HH_INPUT, "out has 1 floats");
    MUST(hh_session_save(session, &state) == HH_OK);
    REFUSED(hh_session_restore(session, state.data, state.length - 1), HH_INPUT, "");
    REFUSED(hh_session_restore(session, NULL, 0), HH_INPUT, "");
    state.data[state.length / 2] ^= 1;
    REFUSED(hh_session_restore(session, state.data, state.length), HH_INPUT, "");
    MUST(hh_session_position(session) == 7);
    // A copy goes on from the same text; a generation that is given up leaks nothing.
    MUST(hh_session_fork(session, &copy) == HH_OK);
    MUST(hh_session_generate(copy, NULL) == HH_OK && hh_session_next(copy, &piece) == HH_OK && piece.length > 0);
    MUST(hh_session_position(copy) >= 7);
    MUST(hh_session_reset(copy) == HH_OK && hh_session_position(copy) == 0);
    hh_bytes_free(&state);
    hh_session_free(copy);
    hh_session_free(session);
    hh_model_free(model);
    if (!failed) puts("all refused");
    return failed;
}
