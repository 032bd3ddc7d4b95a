// hh: text embeddings, text generation and states. MIT licence. docs/c.md explains it.

#ifndef HH_H
#define HH_H

// Made from c/src by cbindgen; see c/cbindgen.toml.

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

// A length that says: the text ends at its first NUL.
#define HH_NUL SIZE_MAX



// What became of a call. Where it is negative, `hh_last_error` says what is wrong, where, and what to do.
typedef enum HhStatus {
  // It is done.
  HH_OK = 0,
  // The generated text has ended; there is no further piece.
  HH_END = 1,
  // An argument, a text, a checkpoint or a state is wrong.
  HH_INPUT = -1,
  // A file or folder cannot be read.
  HH_FILE = -2,
  // Memory is short or the device failed.
  HH_DEVICE = -3,
  // A defect of the library. The handles of the call must not be used any more, but be freed.
  HH_DEFECT = -4,
} HhStatus;

// What texts are for: models may be trained with a prompt before each kind.
typedef enum HhKind {
  // To be compared with texts of their kind; no prompt.
  HH_PLAIN = 0,
  // They ask.
  HH_QUERY = 1,
  // They are to be found.
  HH_DOCUMENT = 2,
} HhKind;

// A model that makes embeddings. Any number of threads may use one at the same time.
typedef struct HhEmbedder HhEmbedder;

// A language model. Any number of threads may use one at the same time, each with sessions of its own; its sessions outlive it.
typedef struct HhModel HhModel;

// A text that a model reads and continues. One thread at a time may use it.
typedef struct HhSession HhSession;

// How texts are embedded; `hh_embed_options` has the defaults.
typedef struct HhEmbedOptions {
  // What the texts are for: an `HhKind`.
  int32_t kind;
  // Dimensions to keep, the first ones; 0 keeps all.
  size_t truncate_dim;
  // Tokens to read of each text, those of the prompt among them; 0 reads all.
  size_t max_tokens;
  // Whether embeddings have length 1.
  bool normalize;
  // Whether a text of nothing but white space gets an embedding of zeros; it is an error otherwise.
  bool allow_blank;
} HhEmbedOptions;

// A text in UTF-8.
typedef struct HhText {
  // Its bytes.
  const char *data;
  // How many bytes, or `HH_NUL` where the text ends at its first NUL.
  size_t length;
} HhText;

// How a text is continued; `hh_generate_options` has the defaults.
typedef struct HhGenerateOptions {
  // Tokens to draw at most.
  size_t max_tokens;
  // Temperature; 0 always takes the most likely token.
  float temperature;
  // Draws among so many of the most likely tokens; 0 among all.
  size_t top_k;
  // Draws among the most likely tokens that together have this probability; 1 among all.
  float top_p;
  // Leaves out tokens with less than this share of the largest probability; 0 none.
  float min_p;
  // Makes the newest tokens less likely; 1 does not.
  float repetition_penalty;
  // Newest tokens that the penalty applies to.
  size_t repetition_window;
  // The same seed draws the same text.
  uint64_t seed;
  // Texts that end the generation and are no part of it, `stop_count` of them.
  const struct HhText *stop;
  // How many there are.
  size_t stop_count;
  // Continues past the end-of-text token of the tokenizer.
  bool ignore_end_of_text;
} HhGenerateOptions;

// Bytes that the library has allocated; free them with `hh_bytes_free`.
typedef struct HhBytes {
  // The first of them.
  uint8_t *data;
  // How many there are.
  size_t length;
} HhBytes;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// The defaults: plain texts, all dimensions, all tokens, length 1, blank texts refused.
struct HhEmbedOptions hh_embed_options(void);

// Loads the model of a checkpoint file, of the folder of a run, or of a folder in the Hugging Face layout; where `path` is NULL, the
// English model that is part of the library. Uses at most `threads` threads for a call, 0 as many as there are cores; embeddings do not
// depend on it.
//
// Required:
// `path` is NULL or a string; `embedder` is where the handle is written.
enum HhStatus hh_embedder_open(const char *path,
                               size_t threads,
                               struct HhEmbedder **embedder);

// Loads the model of a checkpoint's bytes, which are copied. See `hh_embedder_open`.
//
// Required:
// `data` points to `length` bytes; `embedder` is where the handle is written.
enum HhStatus hh_embedder_from_bytes(const uint8_t *data,
                                     size_t length,
                                     size_t threads,
                                     struct HhEmbedder **embedder);

// Frees an embedder; NULL is none.
//
// Required:
// `embedder` is not used again.
void hh_embedder_free(struct HhEmbedder *embedder);

// Dimensions of an embedding that is not truncated; 0 for NULL.
//
// Required:
// `embedder` is NULL or a handle.
size_t hh_embedder_dim(const struct HhEmbedder *embedder);

// Embeds `count` texts into `out`, row by row, `out_length` floats: `count` times the dimensions. `options` NULL stands for the
// defaults. On an error `out` is unchanged.
//
// Required:
// `texts` points to `count` texts, `options` is NULL or points to options, `out` to `out_length` floats.
enum HhStatus hh_embed(const struct HhEmbedder *embedder,
                       const struct HhText *texts,
                       size_t count,
                       const struct HhEmbedOptions *options,
                       float *out,
                       size_t out_length);

// Loads the model of a checkpoint file, of the folder of a run, or of a folder in the Hugging Face layout. Each session uses `threads`
// threads, 0 as many as there are cores; 1 is fastest below some 8 MB of weights. Results do not depend on it.
//
// Required:
// `path` is a string; `model` is where the handle is written.
enum HhStatus hh_model_open(const char *path,
                            size_t threads,
                            struct HhModel **model);

// Loads the model of a checkpoint's bytes, which are copied. See `hh_model_open`.
//
// Required:
// `data` points to `length` bytes; `model` is where the handle is written.
enum HhStatus hh_model_from_bytes(const uint8_t *data,
                                  size_t length,
                                  size_t threads,
                                  struct HhModel **model);

// Frees a model; NULL is none.
//
// Required:
// `model` is not used again.
void hh_model_free(struct HhModel *model);

// Ids that the tokenizer has; 0 for NULL.
//
// Required:
// `model` is NULL or a handle.
size_t hh_model_vocab_size(const struct HhModel *model);

// Token ids of a text. Writes at most `capacity` of them to `ids` and the number of all to `count`: where that is more than
// `capacity`, call again with more space.
//
// Required:
// `data` and `length` are those of an `HhText`; `ids` points to `capacity` numbers, `count` to one.
enum HhStatus hh_model_tokenize(const struct HhModel *model,
                                const char *data,
                                size_t length,
                                uint32_t *ids,
                                size_t capacity,
                                size_t *count);

// The defaults: 256 tokens, temperature 1, nothing left out, no penalty, seed 0, no stop texts.
struct HhGenerateOptions hh_generate_options(void);

// Begins a session without any text. Its memories hold `context` positions, 0 the model's own number.
//
// Required:
// `model` is a handle; `session` is where the handle is written.
enum HhStatus hh_session_new(const struct HhModel *model,
                             size_t context,
                             struct HhSession **session);

// Frees a session; NULL is none.
//
// Required:
// `session` is not used again.
void hh_session_free(struct HhSession *session);

// Appends a text and runs it. Ends a generation.
//
// Required:
// `session` is a handle; `data` and `length` are those of an `HhText`.
enum HhStatus hh_session_prefill(struct HhSession *session, const char *data, size_t length);

// Begins to continue the text; `hh_session_next` has the pieces. `options` NULL stands for the defaults.
//
// Required:
// `session` is a handle, `options` is NULL or points to options.
enum HhStatus hh_session_generate(struct HhSession *session,
                                  const struct HhGenerateOptions *options);

// The next piece of the text: `HH_OK` with valid UTF-8 in `piece`, which has no NUL at its end, or `HH_END`. The piece is valid until
// the next call with this session.
//
// Required:
// `session` is a handle; `piece` is where the piece is written.
enum HhStatus hh_session_next(struct HhSession *session,
                              struct HhText *piece);

// Logits of the next token, one for each id of the model, into `out`, `out_length` floats. At least one token must have been read.
//
// Required:
// `session` is a handle; `out` points to `out_length` floats.
enum HhStatus hh_session_logits(struct HhSession *session,
                                float *out,
                                size_t out_length);

// Tokens read and drawn since the beginning; 0 for NULL.
//
// Required:
// `session` is NULL or a handle.
uint64_t hh_session_position(const struct HhSession *session);

// Forgets everything. Ends a generation.
//
// Required:
// `session` is a handle.
enum HhStatus hh_session_reset(struct HhSession *session);

// An independent copy, which continues from the same text. A generation is not copied.
//
// Required:
// `session` is a handle; `copy` is where the new handle is written.
enum HhStatus hh_session_fork(struct HhSession *session, struct HhSession **copy);

// Everything that the session remembers, as the program, the page and the firmware write it. The session goes on as if nothing
// had happened.
//
// Required:
// `session` is a handle; `state` is where the bytes are written.
enum HhStatus hh_session_save(struct HhSession *session,
                              struct HhBytes *state);

// Returns to a state, of this session or of another one of the same model and context. Ends a generation. On an error the session is
// unchanged.
//
// Required:
// `session` is a handle; `data` points to `length` bytes.
enum HhStatus hh_session_restore(struct HhSession *session,
                                 const uint8_t *data,
                                 size_t length);

// Frees bytes that the library has allocated, and makes them none.
//
// Required:
// `bytes` is NULL or points to bytes of this library, or to none, which are not used again.
void hh_bytes_free(struct HhBytes *bytes);

// The sentence of this thread's last call that failed: UTF-8, valid until the next call that fails on this thread; empty if none did.
const char *hh_last_error(void);

// The version of the library, as in "0.1.0".
const char *hh_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* HH_H */
