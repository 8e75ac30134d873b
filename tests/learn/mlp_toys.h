/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the perceptron share: a context per test, toy data, settings, tensors. */
#ifndef INVAR_TEST_MLP_TOYS_H
#define INVAR_TEST_MLP_TOYS_H

#include "base/random.h"
#include "learn/learn.h"
#include "learn/mlp/layered.h"
#include "models.h"

typedef struct bench {
    test_allocator allocator;
    ml_context *context;
} bench;

static inline void open_context(bench *b, uint32_t n_threads)
{
    *b = (bench){0};
    b->context = test_context(&b->allocator, n_threads);
}

static inline void close_context(bench *b)
{
    ml_context_free(b->context);
    CHECK(b->allocator.n_live == 0);
}

enum { N = 60, D = 3 };

static inline void toy_matrix(double *X)
{
    ml__rng rng = ml__rng_make(5, 0);

    for (size_t i = 0; i < N * D; i++)
        X[i] = ml__rng_normal(&rng) + (double)(i / D % 3 == i % D);
}

/* Three blobs; row i is of class i mod 3. */
static inline ml_dataset *toy_classes(ml_context *context)
{
    double X[N * D];
    int64_t y[N];
    ml_dataset *data;

    toy_matrix(X);
    for (size_t i = 0; i < N; i++)
        y[i] = (int64_t)(i % 3);
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, N, -1));
    return data;
}

static inline ml_dataset *toy_reals(ml_context *context, size_t n_outputs)
{
    double X[N * D], y[N];
    ml_dataset *data;

    toy_matrix(X);
    CHECK_OK(ml_dataset_from_matrix(context, X, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    for (size_t o = 0; o < n_outputs; o++) {
        const char *const names[] = {"a", "b"};
        for (size_t i = 0; i < N; i++)
            y[i] = X[i * D + o] * X[i * D + 1] - X[i * D + 2];
        CHECK_OK(ml_dataset_add_targets(data, names[o], y, N));
    }
    return data;
}

static inline ml_model *make(ml_context *context, const char *const *settings)
{
    return test_model(context, "mlp", settings);
}

/* Every fourth row for testing; features standardised with the training rows, as in make_mlp.py. */
static inline void standardised_parts(ml_context *context, const char *name, ml_dataset **train, ml_dataset **test)
{
    ml_dataset *table = test_table(context, name), *scaled;
    const size_t n = ml_dataset_n_rows(table), d = ml_dataset_n_features(table);
    double *X = malloc(n * d * sizeof *X);
    size_t *rows = malloc(n * sizeof *rows), n_train = 0, n_test = 0;

    CHECK_OK(ml__dataset_read(table, 0, n, ML_FLOAT64, X));
    for (size_t j = 0; j < d; j++) {
        double count = 0, mean = 0, squares = 0, scale;
        for (size_t i = 0; i < n; i++)
            if (i % 4 != 3) {
                const double delta = X[i * d + j] - mean;
                mean += delta / ++count;
                squares += delta * (X[i * d + j] - mean);
            }
        scale = squares > 0 ? sqrt(squares / count) : 1;
        for (size_t i = 0; i < n; i++)
            X[i * d + j] = (X[i * d + j] - mean) / scale;
    }
    CHECK_OK(ml__dataset_with_features(table, X, ml__dataset_schema(table), &scaled));
    for (size_t i = 0; i < n; i++)
        if (i % 4 != 3)
            rows[n_train++] = i;
    CHECK_OK(ml_dataset_subset(scaled, rows, n_train, train));
    for (size_t i = 3; i < n; i += 4)
        rows[n_test++] = i;
    CHECK_OK(ml_dataset_subset(scaled, rows, n_test, test));
    free(X);
    free(rows);
    ml_dataset_free(scaled);
    ml_dataset_free(table);
}

#define WITH SETTINGS

static inline const float *tensor_f32(const ml_model *model, const char *name, size_t *n)
{
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_tensor(model, name, &t));
    CHECK(t.dtype == ML_FLOAT32);
    *n = (size_t)(t.rank == 2 ? t.shape[0] * t.shape[1] : t.shape[0]);
    return t.data;
}

static inline const double *tensor_f64(const ml_model *model, const char *name, size_t *n)
{
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_tensor(model, name, &t));
    CHECK(t.dtype == ML_FLOAT64 && t.rank == 1);
    *n = (size_t)t.shape[0];
    return t.data;
}

/* All weights and biases in the order of theta; returns how many. */
static inline size_t weights_of(const ml_model *model, float *theta, size_t room)
{
    size_t n = 0, count;
    char name[32];

    ml_tensor layers = {.struct_size = sizeof layers};

    CHECK_OK(ml_model_tensor(model, "activations", &layers));
    for (size_t l = 0; l < layers.shape[0]; l++)
        for (int piece = 0; piece < 2; piece++) {
            const float *values;
            snprintf(name, sizeof name, "%s.%zu", piece ? "biases" : "weights", l);
            values = tensor_f32(model, name, &count);
            CHECK(n + count <= room);
            memcpy(theta + n, values, count * sizeof *theta);
            n += count;
        }
    return n;
}

/* A fitted model with these weights: what a fit begins with by ml_model_start_from() and transfer_layers=all. theta has
 * weights and biases layer by layer; widths [L + 1]. */
static inline ml_model *model_of(ml_context *context, const ml_dataset *like, const size_t *widths, size_t L,
                                 int activation, const int32_t *links, const double *theta)
{
    const uint64_t n_layers = L, n_links = ml_dataset_n_outputs(like), one = 1;
    ml_model *model = make(context, NULL);
    ml__learned *learned;
    int32_t *id;
    char name[32];

    CHECK_OK(ml__learned_create(context, &learned));
    CHECK_OK(ml__schema_copy(&learned->arena, ml__dataset_schema(like), &learned->schema));
    learned->task = ml__schema_is_mixed(&learned->schema)  ? ML__MIXED
                    : learned->schema.outputs[0].n_classes ? ML__CLASSIFY
                                                           : ML__REGRESS;
    for (size_t l = 0; l < L; l++)
        for (int piece = 0; piece < 2; piece++) {
            const uint64_t W[] = {widths[l], widths[l + 1]}, b = widths[l + 1];
            const size_t n = piece ? (size_t)b : (size_t)(W[0] * W[1]);
            float *to;

            snprintf(name, sizeof name, "%s.%zu", piece ? "biases" : "weights", l);
            to = ml__learned_add(learned, name, ML_FLOAT32, piece ? 1 : 2, piece ? &b : W);
            for (size_t i = 0; i < n; i++)
                to[i] = (float)*theta++;
        }
    id = ml__learned_add(learned, "activations", ML_INT32, 1, &n_layers);
    for (size_t l = 0; l < L; l++)
        id[l] = l + 1 < L ? activation : ML__MLP_IDENTITY;
    id = ml__learned_add(learned, "links", ML_INT32, 1, &n_links);
    memcpy(id, links, n_links * sizeof *id);
    (void)ml__learned_add(learned, "loss_curve", ML_FLOAT64, 1, &one);
    CHECK_OK(ml__learned_validate(model, learned, true));
    model->learned = learned;
    return model;
}

/* Tensors that a file could hold, added to what a model of `like` has learned: taken when message is NULL, else refused with
 * it. */
static inline void check_tensors(const ml_model *model, const ml_dataset *like, int32_t task,
                                 void (*add)(ml__learned *learned, const void *argument), const void *argument,
                                 const char *message)
{
    ml__learned *learned;

    CHECK_OK(ml__learned_create(model->context, &learned));
    CHECK_OK(ml__schema_copy(&learned->arena, ml__dataset_schema(like), &learned->schema));
    learned->task = task;
    add(learned, argument);
    if (message)
        CHECK_FAILS(ml__learned_validate(model, learned, false), ML_E_FORMAT, message);
    else
        CHECK_OK(ml__learned_validate(model, learned, false));
    ml__learned_free(learned);
}

enum { ROOM = 4096 };

static inline void check_same_weights(const ml_model *a, const ml_model *b)
{
    static float theta_a[ROOM], theta_b[ROOM];
    const size_t n_a = weights_of(a, theta_a, ROOM), n_b = weights_of(b, theta_b, ROOM);

    CHECK_SAME_BYTES(theta_a, n_a * sizeof(float), theta_b, n_b * sizeof(float));
}

#endif
