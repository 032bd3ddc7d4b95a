// Continues a prompt, saves the state, and continues from it twice: generate MODEL PROMPT
#include "hh.h"
#include <stdio.h>
#include <stdlib.h>

static void check(HhStatus status) {
    if (status < 0) {
        fprintf(stderr, "error: %s\n", hh_last_error());
        exit(2);
    }
}

static void go_on(HhSession *session, size_t tokens) {
    HhGenerateOptions options = hh_generate_options();
    options.max_tokens = tokens;
    options.temperature = 0.8f;
    options.seed = 1;
    check(hh_session_generate(session, &options));
    HhText piece;
    HhStatus status;
    while ((status = hh_session_next(session, &piece)) == HH_OK) fwrite(piece.data, 1, piece.length, stdout);
    check(status);
    putchar('\n');
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT\n", words[0]);
        return 2;
    }
    HhModel *model = NULL;
    HhSession *session = NULL;
    HhBytes state = {0};
    check(hh_model_open(words[1], 1, &model));
    check(hh_session_new(model, 0, &session));
    hh_model_free(model);  // a session outlives its model
    check(hh_session_prefill(session, words[2], HH_NUL));
    go_on(session, 100);

    check(hh_session_save(session, &state));
    printf("-- %zu bytes of state after %llu tokens\n", state.length, (unsigned long long)hh_session_position(session));
    for (int i = 0; i < 2; i++) {
        check(hh_session_restore(session, state.data, state.length));
        go_on(session, 50);
    }
    hh_bytes_free(&state);
    hh_session_free(session);
    return 0;
}
