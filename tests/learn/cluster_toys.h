/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of kmeans and mini_batch_kmeans share. */
#ifndef INVAR_TEST_CLUSTER_TOYS_H
#define INVAR_TEST_CLUSTER_TOYS_H

#include "helpers.h"

#include <stdint.h>

/* A kmeans whose centres are these k rows, to begin with. */
static inline ml_model *centres_at(const double *rows, size_t k, size_t d)
{
    ml_dataset *data = matrix(NULL, rows, k, d);
    ml_model *model = test_model(NULL, "kmeans", SETTINGS("init=random"));

    CHECK_OK(ml_model_set_int(model, "n_clusters", (int64_t)k));
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    return model;
}

/* A model to be fitted that starts from these. */
static inline ml_model *started_at(const char *kind, const double *rows, size_t k, size_t d)
{
    ml_model *from = centres_at(rows, k, d), *model = new_model(NULL, kind);

    CHECK_OK(ml_model_set_int(model, "n_clusters", (int64_t)k));
    CHECK_OK(ml_model_start_from(model, from));
    ml_model_free(from);
    return model;
}

static inline void draw(double *x, size_t n, uint64_t seed, double offset)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = offset + (double)(seed >> 44) * ldexp(1, -18);
    }
}

/* As many rows as take several tasks. */
static inline ml_dataset *drawn_rows(ml_context *context, bool weighted)
{
    enum { N = 6000, D = 4 };
    static double x[N * D], w[N];
    ml_dataset *data;

    draw(x, N * D, 21, 5);
    for (size_t i = 0; i < N; i++)
        w[i] = 1e-20 * (double)(1 + i % 7);
    data = matrix(context, x, N, D);
    if (weighted)
        CHECK_OK(ml_dataset_set_weights(data, w, N));
    return data;
}

#endif
