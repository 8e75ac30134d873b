/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of Gaussian mixtures share: matrices to fit, models with settings, their tensors. */
#ifndef INVAR_TEST_GMM_TOYS_H
#define INVAR_TEST_GMM_TOYS_H

#include "models.h"

/* ---- data ---- */

typedef struct matrix {
    size_t n, d;
    double *X;
} matrix;

static inline matrix make_matrix(size_t n, size_t d)
{
    return (matrix){n, d, calloc(n * d, sizeof(double))};
}

static inline matrix table(const char *name, size_t n_columns, const size_t *columns)
{
    ml_dataset *data = test_table(NULL, name);
    const size_t d = ml_dataset_n_features(data);
    matrix m = make_matrix(ml_dataset_n_rows(data), n_columns ? n_columns : d);
    double *row = malloc(d * sizeof *row);

    for (size_t i = 0; i < m.n; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, d));
        for (size_t j = 0; j < m.d; j++)
            m.X[i * m.d + j] = row[n_columns ? columns[j] : j];
    }
    free(row);
    ml_dataset_free(data);
    return m;
}

static inline void moments_of(const matrix *m, size_t j, double *mean, double *variance)
{
    long double sum = 0, squares = 0;

    for (size_t i = 0; i < m->n; i++)
        sum += m->X[i * m->d + j];
    sum /= m->n;
    for (size_t i = 0; i < m->n; i++)
        squares += (m->X[i * m->d + j] - sum) * (m->X[i * m->d + j] - sum);
    *mean = (double)sum;
    *variance = (double)(squares / m->n);
}

static inline matrix standardised(matrix m)
{
    for (size_t j = 0; j < m.d; j++) {
        double mean, variance;
        moments_of(&m, j, &mean, &variance);
        for (size_t i = 0; i < m.n; i++)
            m.X[i * m.d + j] = (m.X[i * m.d + j] - mean) / sqrt(variance);
    }
    return m;
}

static inline double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 32) / 4294967296.0;
}

/* Nearly normal, variance 1. */
static inline double normal(uint64_t *state)
{
    double sum = 0;

    for (int i = 0; i < 12; i++)
        sum += uniform(state) - 0.5;
    return sum;
}

/* Row i lies around corner i mod k of a cube with edges `apart`. */
static inline matrix blobs(size_t n, size_t d, size_t k, double apart, uint64_t seed)
{
    matrix m = make_matrix(n, d);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            m.X[i * d + j] = normal(&seed) + apart * (double)((i % k) >> j & 1);
    return m;
}

static inline ml_dataset *dataset(ml_context *context, const matrix *m)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, m->X, ML_FLOAT64, m->n, m->d, 0, 0, ML_COPY, &data));
    return data;
}

/* Thirty rows on a line: the other feature is constant. */
static inline matrix rows_on_a_line(void)
{
    matrix line = make_matrix(30, 2);

    for (size_t i = 0; i < 30; i++)
        line.X[2 * i] = (double)i;
    return line;
}

/* ---- models ---- */

static inline ml_model *unfitted(ml_context *context, const char *const *settings)
{
    return test_model(context, "gmm", settings);
}

static inline ml_model *fitted(const matrix *m, const char *const *settings)
{
    ml_dataset *data = dataset(NULL, m);
    ml_model *model = unfitted(NULL, settings);

    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    return model;
}

static inline const double *tensor(const ml_model *model, const char *name, size_t *n)
{
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_tensor(model, name, &t));
    CHECK(t.dtype == ML_FLOAT64);
    if (n) {
        *n = 1;
        for (uint32_t r = 0; r < t.rank; r++)
            *n *= t.shape[r];
    }
    return t.data;
}

static int64_t count(const ml_model *model, const char *name)
{
    ml_tensor t = {.struct_size = sizeof t};

    CHECK_OK(ml_model_tensor(model, name, &t));
    CHECK(t.dtype == ML_INT64 && t.rank == 1 && t.shape[0] == 1);
    return *(const int64_t *)t.data;
}

static inline void check_same_tensors(const ml_model *a, const ml_model *b)
{
    static const char *const NAMES[] = {"weights", "means", "covariances", "precisions_cholesky", "lower_bounds"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n_a, n_b;
        const double *x = tensor(a, NAMES[i], &n_a), *y = tensor(b, NAMES[i], &n_b);
        CHECK_SAME_BYTES(x, n_a * sizeof *x, y, n_b * sizeof *y);
    }
    CHECK(count(a, "n_iter") == count(b, "n_iter") && count(a, "converged") == count(b, "converged"));
}

static inline double *score_samples(const ml_model *model, const matrix *m)
{
    ml_dataset *data = dataset(NULL, m);
    double *out = malloc(m->n * sizeof *out);

    CHECK_OK(ml_model_score_samples(model, data, out, m->n));
    ml_dataset_free(data);
    return out;
}

static inline void check_finite(const ml_model *model)
{
    static const char *const NAMES[] = {"weights", "means", "covariances", "precisions_cholesky", "lower_bounds"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n;
        const double *x = tensor(model, NAMES[i], &n);
        for (size_t e = 0; e < n; e++)
            CHECK_MSG(isfinite(x[e]), "%s: element %zu is %g", NAMES[i], e, x[e]);
    }
}

/* ---- what holds for all mixtures ---- */

/* EM never lowers the bound; steps: how many there must be, or 0. */
static inline void check_never_falls(const ml_model *model, size_t steps, const char *type, uint64_t seed)
{
    size_t n;
    const double *L = tensor(model, "lower_bounds", &n);

    CHECK(!steps || n == steps);
    for (size_t i = 1; i < n; i++)
        CHECK_MSG(L[i] >= L[i - 1] - 1e-12 * fabs(L[i]), "%s, seed %d, step %zu: %.17g after %.17g", type, (int)seed, i,
                  L[i], L[i - 1]);
}

/* Saved and loaded, which is returned, the model gives these rows the same scores. */
static inline ml_model *check_loaded(const ml_model *model, const matrix *m)
{
    ml_model *loaded;
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);
    double *a, *b;

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    check_same_tensors(model, loaded);
    a = score_samples(model, m);
    b = score_samples(loaded, m);
    CHECK_SAME_BYTES(a, m->n * sizeof *a, b, m->n * sizeof *b);
    free(a);
    free(b);
    free(bytes);
    return loaded;
}

/* ---- fits ---- */

/* Rows 0, 2, … twice and the others once; w: that as weights of m. */
static inline matrix with_rows_twice(const matrix *m, double *w)
{
    matrix twice = make_matrix(m->n + (m->n + 1) / 2, m->d);
    double *to = twice.X;

    for (size_t i = 0; i < m->n; i++) {
        w[i] = i % 2 ? 1 : 2;
        for (int copy = 0; copy < (int)w[i]; copy++, to += m->d)
            memcpy(to, m->X + i * m->d, m->d * sizeof *to);
    }
    return twice;
}

/* Each allocation fails, and nothing is lost. */
static inline void check_every_allocation(const matrix *m, const char *kind, const char *const *settings)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);
    ml_dataset *data = dataset(context, m);

    CHECK(test_failing_allocations(&a, context, kind, test_fit_new, &(test_fit){kind, settings, data}) > 10);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(a.n_live == 0);
}

typedef struct {
    const matrix *m;
    const char *kind;
    const char *const *settings;
} matrix_fit;

static inline void *fit_matrix(ml_context *context, const void *argument, size_t *n_bytes)
{
    const matrix_fit *f = argument;

    return test_fitted_bytes(test_model(context, f->kind, f->settings), dataset(context, f->m), n_bytes);
}

/* A fitted model has the same bytes for any number of threads. */
static inline void check_threads(const matrix *m, const char *kind, const char *const *settings)
{
    test_any_threads(kind, fit_matrix, &(matrix_fit){m, kind, settings});
}

#endif
