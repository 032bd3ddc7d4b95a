// Finds the sentence that answers a question, with the English model that is part of the library.
#include "hh.h"
#include <stdio.h>
#include <stdlib.h>

static void check(HhStatus status) {
    if (status < 0) {
        fprintf(stderr, "error: %s\n", hh_last_error());
        exit(2);
    }
}

int main(void) {
    HhEmbedder *embedder = NULL;
    check(hh_embedder_open(NULL, 0, &embedder));
    size_t dim = hh_embedder_dim(embedder);

    HhText passages[] = {{"A cat sits on the mat.", HH_NUL}, {"Shares fell on Monday.", HH_NUL}};
    HhText query = {"Where is the cat?", HH_NUL};
    float *vectors = (float *)malloc(3 * dim * sizeof *vectors);
    if (!vectors) return 1;
    HhEmbedOptions options = hh_embed_options();
    options.kind = HH_DOCUMENT;
    check(hh_embed(embedder, passages, 2, &options, vectors, 2 * dim));
    options.kind = HH_QUERY;
    check(hh_embed(embedder, &query, 1, &options, vectors + 2 * dim, dim));

    for (size_t i = 0; i < 2; i++) {
        float cosine = 0;  // of vectors of length 1
        for (size_t j = 0; j < dim; j++) cosine += vectors[i * dim + j] * vectors[2 * dim + j];
        printf("%.3f %s\n", cosine, passages[i].data);
    }
    free(vectors);
    hh_embedder_free(embedder);
    return 0;
}
