/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of fits on streamed datasets share: a source over rows in memory, which can fail; the same rows streamed and
 * not; an allocator that knows the peak. */
#ifndef INVAR_TEST_STREAMED_TOYS_H
#define INVAR_TEST_STREAMED_TOYS_H

#include "base/status.h"
#include "data/source.h"
#include "helpers.h"

#include <stdatomic.h>
#include <stdint.h>

/* ---- rows ---- */

typedef struct toy {
    size_t n, d;
    double *x; /* n x d */
    double *w; /* n, or NULL */
} toy;

static inline double toy_uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 32) / 4294967296.0;
}

/* Around k corners, far from 0. */
static inline toy toy_blobs(size_t n, size_t d, size_t k, uint64_t seed)
{
    toy t = {n, d, malloc(n * d * sizeof(double)), NULL};

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            t.x[i * d + j] =
                100 + 3 * toy_uniform(&seed) + toy_uniform(&seed) + 4 * (double)((i * 7 % k) >> (j % 4) & 1);
    return t;
}

/* Weights from 0.25 to 2, or one value; every `skip`th is 0. */
static inline void toy_weigh(toy *t, bool vary, size_t skip)
{
    t->w = malloc(t->n * sizeof *t->w);
    for (size_t i = 0; i < t->n; i++)
        t->w[i] = skip && i % skip == 0 ? 0 : vary ? 0.25 * (double)(1 + i % 8) : 3;
}

static inline void toy_free(toy *t)
{
    free(t->x);
    free(t->w);
}

/* ---- a source ---- */

typedef struct toy_source {
    ml__source source;
    const toy *rows;
    atomic_size_t *n_reads; /* counted, or NULL; read number `fail_at` (1-based) and all later ones fail */
    size_t fail_at;
} toy_source;

static inline ml_status toy_read(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const toy_source *s = (toy_source *)source;
    const toy *t = s->rows;

    if (s->n_reads && atomic_fetch_add(s->n_reads, 1) + 1 >= s->fail_at && s->fail_at)
        return ml__fail(ML_E_IO, "toy: row %zu cannot be read", first);
    if (!n || first >= t->n || n > t->n - first)
        return ml__fail(ML_E_ARGUMENT, "toy: rows %zu to %zu of %zu", first, first + n, t->n);
    for (size_t v = 0; v < n * t->d; v++)
        if (dtype == ML_FLOAT32)
            ((float *)out)[v] = ml__to_float(t->x[first * t->d + v]);
        else
            ((double *)out)[v] = t->x[first * t->d + v];
    return ML_OK;
}

static inline void toy_close(ml__source *source)
{
    free(source);
}

static inline ml_dataset *toy_weighted(const toy *t, ml_dataset *data)
{
    if (t->w)
        CHECK_OK(ml_dataset_set_weights(data, t->w, t->n));
    return data;
}

static inline ml_dataset *toy_streamed(ml_context *context, const toy *t, atomic_size_t *n_reads, size_t fail_at)
{
    const ml__schema features = {.n_features = t->d};
    toy_source *source = malloc(sizeof *source);
    ml_dataset *data;

    *source = (toy_source){{.read = toy_read, .close = toy_close}, t, n_reads, fail_at};
    CHECK_OK(ml__dataset_of_source(context, &source->source, t->n, ML_FLOAT64, true, &features, &data));
    CHECK(ml__dataset_is_streamed(data));
    return toy_weighted(t, data);
}

static inline ml_dataset *toy_in_memory(ml_context *context, const toy *t)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, t->x, ML_FLOAT64, t->n, t->d, 0, 0, ML_COPY, &data));
    return toy_weighted(t, data);
}

static inline ml_dataset *toy_rows(ml_context *context, const toy *t, bool streamed)
{
    return streamed ? toy_streamed(context, t, NULL, 0) : toy_in_memory(context, t);
}

/* ---- models ---- */

/* A fit of these rows, `n_fits` times. */
typedef struct toy_fit {
    const char *kind;
    const char *const *settings;
    const toy *rows;
    bool streamed;
    int n_fits;
} toy_fit;

static inline void *toy_fit_bytes(ml_context *context, const void *argument, size_t *n_bytes)
{
    const toy_fit *f = argument;
    ml_model *model = test_model(context, f->kind, f->settings);
    ml_dataset *data = toy_rows(context, f->rows, f->streamed);

    for (int fit = 1; fit < f->n_fits; fit++)
        CHECK_OK(ml_model_fit(model, data, NULL));
    return test_fitted_bytes(model, data, n_bytes);
}

/* Streamed and not, with any number of threads: the same bytes. */
static inline void toy_check(const char *kind, const char *const *settings, const toy *t, int n_fits)
{
    toy_fit fit = {kind, settings, t, false, n_fits};
    char what[128];
    size_t n;
    void *want = test_made(1, toy_fit_bytes, &fit, &n);

    fit.streamed = true;
    snprintf(what, sizeof what, "%s %s, %zu rows, streamed", kind, settings[0] ? settings[0] : "", t->n);
    test_any_threads_as(what, want, n, toy_fit_bytes, &fit);
    free(want);
}

/* Whichever read fails, the fit fails with its message, the model stays as it was and nothing is left behind. */
static inline void toy_check_failures(const char *kind, const char *const *settings, const toy *t, uint32_t n_threads)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, n_threads);
    ml_model *model = test_model(context, kind, settings);
    atomic_size_t n_reads = 0;
    ml_dataset *data = toy_streamed(context, t, &n_reads, 0);
    size_t n_before, n_after, n_all;
    void *before, *after;

    CHECK_OK(ml_model_fit(model, data, NULL));
    n_all = atomic_load(&n_reads);
    CHECK(n_all > 20);
    before = test_saved(model, &n_before);
    for (size_t fail_at = 1; fail_at < n_all; fail_at += 1 + n_all / 40) {
        const size_t n_live = allocator.n_live;
        ml_dataset *failing;

        atomic_store(&n_reads, 0);
        failing = toy_streamed(context, t, &n_reads, fail_at);
        CHECK_FAILS(ml_model_fit(model, failing, NULL), ML_E_IO, "cannot be read");
        ml_dataset_free(failing);
        CHECK(allocator.n_live == n_live);
    }
    after = test_saved(model, &n_after);
    CHECK_SAME_BYTES(before, n_before, after, n_after);
    free(before);
    free(after);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

/* ---- memory ---- */

typedef struct toy_allocator {
    atomic_size_t now, peak;
} toy_allocator;

enum {
    TOY_HEADER = 64,
    TOY_SLACK = 5 << 18 /* what peaks may differ by: a block of an arena, and windows of two threads */
};

static inline void *toy_allocate(void *user, size_t n_bytes)
{
    toy_allocator *a = user;
    char *block = malloc(n_bytes + TOY_HEADER);
    size_t now, peak = atomic_load(&a->peak);

    if (!block)
        return NULL;
    memcpy(block, &n_bytes, sizeof n_bytes);
    now = atomic_fetch_add(&a->now, n_bytes) + n_bytes;
    while (now > peak && !atomic_compare_exchange_weak(&a->peak, &peak, now))
        ;
    return block + TOY_HEADER;
}

static inline void toy_release(void *user, void *block)
{
    toy_allocator *a = user;
    size_t n_bytes;

    memcpy(&n_bytes, (char *)block - TOY_HEADER, sizeof n_bytes);
    atomic_fetch_sub(&a->now, n_bytes);
    free((char *)block - TOY_HEADER);
}

/* The most bytes that a fit on one thread takes at once, above what dataset and model take. */
static inline size_t toy_peak(const char *kind, const char *const *settings, const toy *t, bool streamed)
{
    toy_allocator allocator = {0};
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = 1, .allocator = {toy_allocate, toy_release, &allocator}};
    ml_context *context;
    ml_model *model;
    ml_dataset *data;
    size_t before, peak;

    CHECK_OK(ml_context_create(&options, &context));
    model = test_model(context, kind, settings);
    data = toy_rows(context, t, streamed);
    before = atomic_load(&allocator.now);
    atomic_store(&allocator.peak, before);
    CHECK_OK(ml_model_fit(model, data, NULL));
    peak = atomic_load(&allocator.peak) - before;
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(atomic_load(&allocator.now) == 0);
    return peak;
}

#endif
