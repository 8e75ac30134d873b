/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures: EM against scikit-learn step by step, closed forms, invariants, degenerate data. */
#include "learn/gmm.h"
#include "model/model.h"
#include "test.h"

#include <float.h>

/* ---- data ---- */

typedef struct matrix {
    size_t n, d;
    double *X;
} matrix;

static matrix make_matrix(size_t n, size_t d)
{
    return (matrix){n, d, calloc(n * d, sizeof(double))};
}

static matrix table(const char *name, size_t n_columns, const size_t *columns)
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

static void moments_of(const matrix *m, size_t j, double *mean, double *variance)
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

static matrix standardised(matrix m)
{
    for (size_t j = 0; j < m.d; j++) {
        double mean, variance;
        moments_of(&m, j, &mean, &variance);
        for (size_t i = 0; i < m.n; i++)
            m.X[i * m.d + j] = (m.X[i * m.d + j] - mean) / sqrt(variance);
    }
    return m;
}

static double uniform(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 32) / 4294967296.0;
}

/* Nearly normal, variance 1. */
static double normal(uint64_t *state)
{
    double sum = 0;

    for (int i = 0; i < 12; i++)
        sum += uniform(state) - 0.5;
    return sum;
}

/* Row i lies around corner i mod k of a cube with edges `apart`. */
static matrix blobs(size_t n, size_t d, size_t k, double apart, uint64_t seed)
{
    matrix m = make_matrix(n, d);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            m.X[i * d + j] = normal(&seed) + apart * (double)((i % k) >> j & 1);
    return m;
}

static ml_dataset *dataset(ml_context *context, const matrix *m)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_matrix(context, m->X, ML_FLOAT64, m->n, m->d, 0, 0, ML_COPY, &data));
    return data;
}

/* ---- models ---- */

/* A gmm with "name=value" settings, the last of which is NULL. */
static ml_model *unfitted(ml_context *context, const char *const *settings)
{
    ml_model *model;
    char name[64];

    CHECK_OK(ml_model_create(context, "gmm", &model));
    for (; settings && *settings; settings++) {
        const char *value = strchr(*settings, '=');
        snprintf(name, sizeof name, "%.*s", (int)(value - *settings), *settings);
        CHECK_OK(ml_model_set_text(model, name, value + 1));
    }
    return model;
}

#define SETTINGS(...)     \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

static ml_model *fitted(const matrix *m, const char *const *settings)
{
    ml_dataset *data = dataset(NULL, m);
    ml_model *model = unfitted(NULL, settings);

    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    return model;
}

static const double *tensor(const ml_model *model, const char *name, size_t *n)
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

static void check_same_tensors(const ml_model *a, const ml_model *b)
{
    static const char *const NAMES[] = {"weights", "means", "covariances", "precisions_cholesky", "lower_bounds"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n_a, n_b;
        const double *x = tensor(a, NAMES[i], &n_a), *y = tensor(b, NAMES[i], &n_b);
        CHECK_SAME_BYTES(x, n_a * sizeof *x, y, n_b * sizeof *y);
    }
    CHECK(count(a, "n_iter") == count(b, "n_iter") && count(a, "converged") == count(b, "converged"));
}

static double *score_samples(const ml_model *model, const matrix *m)
{
    ml_dataset *data = dataset(NULL, m);
    double *out = malloc(m->n * sizeof *out);

    CHECK_OK(ml_model_score_samples(model, data, out, m->n));
    ml_dataset_free(data);
    return out;
}

/* ---- EM, step by step ---- */

/* Equal weights, rows (2c+1) n / 2k as means, variances of the features: as tests/reference/make_gmm.py. */
static void start_as_reference(ml__mixture *m, const matrix *x, double *work)
{
    for (size_t c = 0; c < m->k; c++) {
        const size_t row = (2 * c + 1) * x->n / (2 * m->k);
        m->weights[c] = 1 / (double)m->k;
        for (size_t j = 0; j < m->d; j++) {
            double mean, variance;
            moments_of(x, j, &mean, &variance);
            m->means[c * m->d + j] = x->X[row * m->d + j];
            m->covariances[(c * m->d + j) * m->d + j] = variance;
        }
    }
    CHECK_OK(ml__mixture_factor(NULL, m, 0, work));
}

/* Largest difference over max(1, |want|). */
static double difference(const double *got, const double *want, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(got[i] - want[i]) / fmax(1, fabs(want[i])));
    return largest;
}

static const double *check_steps(const char *name, matrix x, size_t k, const double *want)
{
    enum { N_STEPS = 50 };
    const size_t kd = k * x.d;
    double *w = malloc(x.n * sizeof *w), L, largest = 0;
    ml__arena arena;
    ml__mixture m;
    ml__em em;

    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i < x.n; i++)
        w[i] = 1;
    CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){x.X, x.n, x.d, w}, k, 1e-6, &em));
    CHECK_OK(ml__mixture_create(&arena, k, x.d, &m));
    start_as_reference(&m, &x, em.partial);
    for (size_t t = 0; t < N_STEPS; t++, want++) {
        CHECK_OK(ml__em_expect(&em, &m, &L));
        CHECK_OK(ml__em_maximise(&em, &m));
        largest = fmax(largest, fabs(L - *want) / fabs(*want));
        CHECK_MSG(largest <= 1e-9, "%s, step %zu: lower bound %.17g, expected %.17g", name, t, L, *want);
    }
    const double of_weights = difference(m.weights, want, k), of_means = difference(m.means, want + k, kd);
    const double of_covariances = difference(m.covariances, want + k + kd, kd * x.d);
    CHECK_MSG(of_weights <= 1e-8 && of_means <= 1e-8 && of_covariances <= 1e-8,
              "%s: weights differ by %g, means by %g, covariances by %g", name, of_weights, of_means, of_covariances);
    ml__arena_free(&arena);
    free(w);
    free(x.X);
    return want + k + kd + kd * x.d;
}

TEST(gmm, fifty_steps_equal_scikit_learn)
{
    static const size_t BOSTON[] = {0, 4, 5, 6, 7, 12}, DIGITS[] = {10, 20, 21, 27, 28, 35, 42, 43};
    size_t n;
    double *numbers = test_read_numbers(test_expected_path("gmm_steps.txt"), &n);
    const double *want = numbers;

    want = check_steps("iris", table("iris", 0, NULL), 3, want);
    want = check_steps("wine", standardised(table("wine", 0, NULL)), 3, want);
    want = check_steps("boston", standardised(table("boston", 6, BOSTON)), 4, want);
    want = check_steps("blobs", blobs(400, 3, 4, 2.5, 1), 4, want);
    want = check_steps("digits", table("digits", 8, DIGITS), 5, want);
    CHECK(want == numbers + n);
    free(numbers);
}

TEST(gmm, likelihood_never_falls)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        matrix m = blobs(150, 3, 5, 1, seed);
        char state[32];
        size_t n;
        snprintf(state, sizeof state, "random_state=%d", (int)seed);
        ml_model *model =
            fitted(&m, SETTINGS("n_components=3", "tol=0", "max_iter=60", "reg_covar=0", "init_params=random", state));
        const double *L = tensor(model, "lower_bounds", &n);

        CHECK(n == 60);
        for (size_t t = 1; t < n; t++)
            CHECK_MSG(L[t] >= L[t - 1] - 1e-13 * fabs(L[t]), "seed %d, step %zu: %.17g after %.17g", (int)seed, t, L[t],
                      L[t - 1]);
        ml_model_free(model);
        free(m.X);
    }
}

TEST(gmm, factors_invert_covariances)
{
    matrix m = table("iris", 0, NULL);
    ml_model *model = fitted(&m, SETTINGS("n_components=3"));
    const double *Sigma = tensor(model, "covariances", NULL), *U = tensor(model, "precisions_cholesky", NULL);
    const size_t d = m.d;

    for (size_t c = 0; c < 3; c++, Sigma += d * d, U += d * d)
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++) { /* U' Sigma U = I */
                double sum = 0;
                for (size_t p = 0; p < d; p++)
                    for (size_t q = 0; q < d; q++)
                        sum += U[p * d + i] * Sigma[p * d + q] * U[q * d + j];
                CHECK_CLOSE(sum, i == j ? 1 : 0, 1e-12);
                CHECK(Sigma[i * d + j] == Sigma[j * d + i]);
                CHECK(i <= j || U[i * d + j] == 0);
            }
    ml_model_free(model);
    free(m.X);
}

/* ---- densities ---- */

TEST(gmm, one_component_is_the_sample_moments)
{
    matrix m = table("wine", 0, NULL);
    ml_model *model = fitted(&m, SETTINGS("reg_covar=0.5"));
    const double *mu = tensor(model, "means", NULL), *Sigma = tensor(model, "covariances", NULL);

    for (size_t j = 0; j < m.d; j++) {
        double mean, variance;
        moments_of(&m, j, &mean, &variance);
        CHECK_CLOSE(mu[j] / mean, 1, 1e-13);
        CHECK_CLOSE(Sigma[j * m.d + j] / (variance + 0.5), 1, 1e-13);
    }
    CHECK(*tensor(model, "weights", NULL) == 1);
    CHECK(count(model, "converged") == 1 && count(model, "n_iter") == 2);
    ml_model_free(model);
    free(m.X);
}

TEST(gmm, density_is_that_of_the_normal_distribution)
{
    const double x[] = {-1, 1, 3, 5, 0.5, -7};
    matrix m = {6, 1, (double *)x};
    ml_model *model = fitted(&m, SETTINGS("reg_covar=0"));
    const double mu = *tensor(model, "means", NULL), s2 = *tensor(model, "covariances", NULL);
    double *L = score_samples(model, &m);

    for (size_t i = 0; i < 6; i++)
        CHECK_CLOSE(L[i], -0.5 * log(2 * 3.14159265358979323846 * s2) - (x[i] - mu) * (x[i] - mu) / (2 * s2), 1e-14);
    free(L);
    ml_model_free(model);
}

TEST(gmm, density_integrates_to_one)
{
    enum { N = 400 };
    const double step = 0.05;

    for (size_t d = 1; d <= 2; d++) {
        matrix m = blobs(200, d, 2, 3, 7), grid = make_matrix(d == 1 ? N : N * N, d);
        ml_model *model = fitted(&m, SETTINGS("n_components=3"));
        double sum = 0, *L;

        for (size_t i = 0; i < grid.n; i++)
            for (size_t j = 0; j < d; j++)
                grid.X[i * d + j] = -8 + step * (double)((j ? i / N : i) % N);
        L = score_samples(model, &grid);
        for (size_t i = 0; i < grid.n; i++)
            sum += exp(L[i]) * pow(step, (double)d);
        CHECK_CLOSE(sum, 1, 1e-6);
        free(L);
        free(grid.X);
        ml_model_free(model);
        free(m.X);
    }
}

TEST(gmm, posteriors_sum_to_one_however_far)
{
    const double far[] = {0, 0, 450, -450, 1e5, 1e5, -1e150, 1e150, DBL_MAX, -DBL_MAX, 1e-310, -0.0};
    matrix m = blobs(120, 2, 4, 4, 3), x = {6, 2, (double *)far};
    ml_model *model = fitted(&m, SETTINGS("n_components=4"));
    ml_dataset *data = dataset(NULL, &x);
    double proba[24], L[6], label[6];

    CHECK_OK(ml_model_predict_proba(model, data, proba, 24));
    CHECK_OK(ml_model_score_samples(model, data, L, 6));
    CHECK_OK(ml_model_predict(model, data, label, 6));
    CHECK(L[1] < -0.9e5);
    for (size_t i = 0; i < 6; i++) {
        double sum = 0;
        size_t best = 0;
        for (size_t c = 0; c < 4; c++) {
            CHECK(proba[4 * i + c] >= 0);
            sum += proba[4 * i + c];
            if (proba[4 * i + c] > proba[4 * i + best])
                best = c;
        }
        CHECK_CLOSE(sum, 1, 1e-15);
        CHECK(isfinite(L[i]) && label[i] == (double)best);
    }
    ml_dataset_free(data);
    ml_model_free(model);
    free(m.X);
}

TEST(gmm, log_densities_of_a_hundred_thousand_are_normalised)
{
    /* two narrow components, rows a thousand deviations away from both */
    double x[40];
    matrix m = {40, 1, x};
    for (size_t i = 0; i < 40; i++)
        x[i] = (i % 2 ? 1 : -1) * (1 + 1e-3 * (double)(i / 2));
    ml_model *model = fitted(&m, SETTINGS("n_components=2", "reg_covar=0"));
    const double sigma = sqrt(tensor(model, "covariances", NULL)[0]);
    const double row = 1 + 450 * sigma;
    double proba[2], L;

    CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, &row, 1, &L, 1, NULL, 0));
    CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, &row, 1, proba, 2, NULL, 0));
    CHECK(L < -0.9e5 && L > -1.1e5);
    CHECK(proba[0] + proba[1] == 1 && fmax(proba[0], proba[1]) == 1);
    ml_model_free(model);
}

TEST(gmm, a_row_does_not_depend_on_its_neighbours)
{
    matrix m = table("wine", 0, NULL);
    ml_model *model = fitted(&m, SETTINGS("n_components=3"));
    ml_dataset *data = dataset(NULL, &m);
    double *proba = malloc(m.n * 3 * sizeof *proba), *L = score_samples(model, &m), one[3], l;
    const size_t n_scratch = ml_model_scratch_size(model);
    void *scratch = aligned_alloc(64, (n_scratch + 63) / 64 * 64);

    CHECK_OK(ml_model_predict_proba(model, data, proba, m.n * 3));
    for (size_t i = 0; i < m.n; i++) {
        const double *x = m.X + i * m.d;
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, x, m.d, one, 3, scratch, n_scratch));
        CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, x, m.d, &l, 1, scratch, n_scratch));
        CHECK_SAME_BYTES(one, sizeof one, proba + 3 * i, sizeof one);
        CHECK_SAME_BYTES(&l, sizeof l, L + i, sizeof l);
    }
    free(scratch);
    free(proba);
    free(L);
    ml_dataset_free(data);
    ml_model_free(model);
    free(m.X);
}

/* ---- what it finds ---- */

TEST(gmm, separated_blobs_are_recovered)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=k-means++"};
    matrix m = blobs(2000, 2, 4, 12, 11);

    for (size_t s = 0; s < 2; s++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=4", STARTS[s], "random_state=2"));
        const double *pi = tensor(model, "weights", NULL), *mu = tensor(model, "means", NULL);
        const double *Sigma = tensor(model, "covariances", NULL);
        bool seen[4] = {false};

        for (size_t c = 0; c < 4; c++) {
            const size_t corner = (size_t)(mu[2 * c] > 6) + 2 * (size_t)(mu[2 * c + 1] > 6);
            CHECK(!seen[corner]);
            seen[corner] = true;
            CHECK_CLOSE(pi[c], 0.25, 1e-9);
            for (size_t j = 0; j < 2; j++) {
                CHECK_CLOSE(mu[2 * c + j], 12 * (double)(corner >> j & 1), 0.15);
                CHECK_CLOSE(Sigma[4 * c + 3 * j], 1, 0.2);
            }
            CHECK_CLOSE(Sigma[4 * c + 1], 0, 0.15);
        }
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        ml_model_free(model);
    }
    free(m.X);
}

TEST(gmm, more_starts_never_do_worse)
{
    matrix m = blobs(200, 2, 4, 3, 5);
    double last = -INFINITY;

    for (int n_init = 1; n_init <= 8; n_init++) {
        char starts[16];
        size_t n;
        snprintf(starts, sizeof starts, "n_init=%d", n_init);
        ml_model *model = fitted(&m, SETTINGS("n_components=4", "init_params=random_from_data", "max_iter=20", starts));
        const double *L = tensor(model, "lower_bounds", &n);
        CHECK((int64_t)n == count(model, "n_iter"));
        CHECK(L[n - 1] >= last);
        last = L[n - 1];
        ml_model_free(model);
    }
    free(m.X);
}

TEST(gmm, offset_costs_no_digits)
{
    matrix m = make_matrix(600, 2);
    uint64_t state = 4;
    for (size_t i = 0; i < m.n; i++) {
        m.X[2 * i] = 1e9 + 1e-3 * normal(&state);
        m.X[2 * i + 1] = -1e9 + (i % 2 ? 1 : 0) + 1e-3 * normal(&state);
    }
    ml_model *one = fitted(&m, SETTINGS("reg_covar=0"));
    for (size_t j = 0; j < 2; j++) {
        double mean, variance;
        moments_of(&m, j, &mean, &variance);
        CHECK_CLOSE(tensor(one, "covariances", NULL)[3 * j] / variance, 1, 1e-10);
        CHECK_CLOSE(tensor(one, "means", NULL)[j] / mean, 1, 1e-15);
    }
    ml_model *two = fitted(&m, SETTINGS("reg_covar=0", "n_components=2"));
    for (size_t c = 0; c < 2; c++) {
        CHECK_CLOSE(tensor(two, "weights", NULL)[c], 0.5, 1e-9);
        CHECK_CLOSE(tensor(two, "covariances", NULL)[4 * c] / 1e-6, 1, 0.2);
        CHECK_CLOSE(tensor(two, "covariances", NULL)[4 * c + 3] / 1e-6, 1, 0.2);
    }
    ml_model_free(one);
    ml_model_free(two);
    free(m.X);
}

/* ---- weights and labels ---- */

TEST(gmm, weight_two_is_the_row_twice)
{
    matrix m = blobs(90, 2, 2, 6, 9), twice = make_matrix(135, 2);
    double w[90];
    size_t n = 0;
    for (size_t i = 0; i < m.n; i++) {
        w[i] = i % 2 ? 1 : 2;
        for (int copy = 0; copy < (int)w[i]; copy++, n++)
            memcpy(twice.X + 2 * n, m.X + 2 * i, 2 * sizeof(double));
    }
    ml_dataset *data = dataset(NULL, &m);
    ml_model *a = unfitted(NULL, SETTINGS("n_components=2")), *b = fitted(&twice, SETTINGS("n_components=2"));

    CHECK_OK(ml_dataset_set_weights(data, w, m.n));
    CHECK_OK(ml_model_fit(a, data, NULL));
    const double *mu = tensor(a, "means", NULL), *nu = tensor(b, "means", NULL);
    const size_t other = fabs(mu[0] - nu[0]) < 1 ? 0 : 1;
    for (size_t c = 0; c < 2; c++) {
        const size_t e = c ^ other;
        CHECK_CLOSE(tensor(a, "weights", NULL)[c], tensor(b, "weights", NULL)[e], 1e-12);
        for (size_t j = 0; j < 2; j++)
            CHECK_CLOSE(mu[2 * c + j], nu[2 * e + j], 1e-12);
        for (size_t j = 0; j < 4; j++)
            CHECK_CLOSE(tensor(a, "covariances", NULL)[4 * c + j], tensor(b, "covariances", NULL)[4 * e + j], 1e-12);
    }
    ml_dataset_free(data);
    ml_model_free(a);
    ml_model_free(b);
    free(m.X);
    free(twice.X);
}

TEST(gmm, a_row_without_weight_is_not_there)
{
    matrix m = blobs(80, 2, 2, 6, 9), fewer = make_matrix(60, 2);
    double w[80];
    size_t n = 0;
    for (size_t i = 0; i < m.n; i++) {
        w[i] = i % 4 ? 3 : 0;
        if (w[i] > 0)
            memcpy(fewer.X + 2 * n++, m.X + 2 * i, 2 * sizeof(double));
    }
    ml_dataset *data = dataset(NULL, &m);
    ml_model *a = unfitted(NULL, SETTINGS("n_components=3")), *b = fitted(&fewer, SETTINGS("n_components=3"));

    CHECK_OK(ml_dataset_set_weights(data, w, m.n));
    CHECK_OK(ml_model_fit(a, data, NULL));
    check_same_tensors(a, b);
    ml_dataset_free(data);
    ml_model_free(a);
    ml_model_free(b);
    free(m.X);
    free(fewer.X);
}

TEST(gmm, outputs_are_ignored)
{
    matrix m = blobs(70, 2, 2, 4, 2);
    int64_t labels[70];
    for (size_t i = 0; i < m.n; i++)
        labels[i] = i % 3 ? (int64_t)(i % 2) : -9;
    ml_dataset *data = dataset(NULL, &m);
    ml_model *a = unfitted(NULL, SETTINGS("n_components=2")), *b = fitted(&m, SETTINGS("n_components=2"));

    CHECK_OK(ml_dataset_set_labels(data, "first", labels, m.n, -9)); /* every third is missing */
    CHECK_OK(ml_dataset_add_labels(data, "second", labels, m.n, 1));
    CHECK_OK(ml_model_fit(a, data, NULL));
    check_same_tensors(a, b);
    ml_dataset_free(data);
    ml_model_free(a);
    ml_model_free(b);
    free(m.X);
}

/* ---- transform ---- */

TEST(gmm, transform_gives_what_was_asked_for)
{
    static const char *const FEATURES[] = {"features=posteriors", "features=log_densities", "features=labels"};
    matrix m = blobs(50, 2, 2, 3, 8);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t f = 0; f < 3; f++)
        for (size_t pass = 0; pass < 2; pass++) {
            ml_model *model =
                fitted(&m, SETTINGS("n_components=3", FEATURES[f], pass ? "passthrough=1" : "passthrough=0"));
            const size_t width = ml_model_width(model, ML_TRANSFORM), made = f == 2 ? 1 : 3;
            double out[50 * 5], proba[150], label[50], *L = score_samples(model, &m);

            CHECK(width == made + 2 * pass);
            CHECK(ml_model_width(model, ML_PREDICT) == 1 && ml_model_width(model, ML_PREDICT_PROBA) == 3);
            CHECK(ml_model_width(model, ML_SCORE_SAMPLES) == 1 && ml_model_width(model, ML_DECISION) == 0);
            CHECK_OK(ml_model_transform(model, data, out, 50 * width));
            CHECK_OK(ml_model_predict_proba(model, data, proba, 150));
            CHECK_OK(ml_model_predict(model, data, label, 50));
            for (size_t i = 0; i < 50; i++) {
                const double *row = out + i * width, *made_row = row + 2 * pass;
                double density = 0;
                CHECK(!pass || (row[0] == m.X[2 * i] && row[1] == m.X[2 * i + 1]));
                for (size_t c = 0; c < 3 && f == 1; c++)
                    density += tensor(model, "weights", NULL)[c] * exp(made_row[c]);
                if (f == 0)
                    CHECK_SAME_BYTES(made_row, 3 * sizeof *row, proba + 3 * i, 3 * sizeof *row);
                else if (f == 1)
                    CHECK_CLOSE(log(density), L[i], 1e-12);
                else
                    CHECK(*made_row == label[i]);
            }
            free(L);
            ml_model_free(model);
        }
    ml_dataset_free(data);
    free(m.X);
}

static void check_names(const ml_model *model, size_t n, const char *const *want)
{
    ml__schema features = {0};
    ml__arena arena;

    ml__arena_init(&arena, NULL);
    CHECK_OK(model->kind->name_features(model, &arena, &features));
    CHECK(features.n_features == n);
    for (size_t j = 0; j < n; j++)
        CHECK_MSG(!strcmp(features.features[j].name, want[j]), "'%s' is not '%s'", features.features[j].name, want[j]);
    ml__arena_free(&arena);
}

TEST(gmm, new_features_have_names_of_their_own)
{
    static const char *const OLD[] = {"gmm_p0", "height"};
    matrix m = blobs(30, 2, 2, 3, 8);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("n_components=2", "passthrough=true"));

    CHECK_OK(ml_dataset_set_feature_names(data, OLD, 2));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_names(model, 4, (const char *const[]){"gmm_p0", "height", "gmm2_p0", "gmm_p1"});
    CHECK_OK(ml_model_set_text(model, "features", "labels"));
    CHECK(ml_model_width(model, ML_TRANSFORM) == 4); /* what was fitted stays until the next fit */
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_names(model, 3, (const char *const[]){"gmm_p0", "height", "gmm_label"});
    CHECK_OK(ml_model_set_text(model, "features", "log_densities"));
    CHECK_OK(ml_model_set_text(model, "passthrough", "false"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    check_names(model, 2, (const char *const[]){"gmm_log_density0", "gmm_log_density1"});
    ml_dataset_free(data);
    ml_model_free(model);
    free(m.X);
}

/* ---- degenerate data ---- */

static void check_finite(const ml_model *model)
{
    static const char *const NAMES[] = {"weights", "means", "covariances", "precisions_cholesky", "lower_bounds"};

    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        size_t n;
        const double *x = tensor(model, NAMES[i], &n);
        for (size_t e = 0; e < n; e++)
            CHECK_MSG(isfinite(x[e]), "%s: element %zu is %g", NAMES[i], e, x[e]);
    }
}

TEST(gmm, degenerate_data_stays_finite)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=k-means++", "init_params=random",
                                         "init_params=random_from_data"};
    uint64_t state = 1;
    matrix constant = make_matrix(20, 3), two_points = make_matrix(20, 2), wide = make_matrix(5, 12);
    matrix line = make_matrix(50, 2), one = make_matrix(1, 2);
    for (size_t i = 0; i < 40; i++)
        two_points.X[i] = (double)(i / 2 % 2);
    for (size_t i = 0; i < 60; i++)
        wide.X[i] = normal(&state);
    for (size_t i = 0; i < 50; i++)
        line.X[2 * i] = 2 * (line.X[2 * i + 1] = normal(&state));
    const matrix cases[] = {constant, two_points, wide, line, one};
    const char *const components[] = {"n_components=4", "n_components=6", "n_components=3", "n_components=2",
                                      "n_components=1"};

    for (size_t c = 0; c < 5; c++) {
        for (size_t s = 0; s < 4; s++) {
            ml_model *model = fitted(&cases[c], SETTINGS(components[c], STARTS[s]));
            check_finite(model);
            ml_model_free(model);
        }
        free(cases[c].X);
    }
}

TEST(gmm, without_regularisation_singular_covariances_are_reported)
{
    matrix line = make_matrix(30, 2);
    for (size_t i = 0; i < 30; i++)
        line.X[2 * i] = (double)i; /* the other feature is constant */
    ml_dataset *data = dataset(NULL, &line);
    ml_model *model = unfitted(NULL, SETTINGS("n_components=2", "reg_covar=0"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC,
                "covariance of component 0 is not positive definite: fewer components (n_components is 2), a larger "
                "reg_covar (it is 0)");
    CHECK(!ml_model_is_fitted(model));
    ml_dataset_free(data);
    ml_model_free(model);
    free(line.X);
}

TEST(gmm, any_scale_is_finite_or_reported)
{
    static const double SCALES[] = {1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e153, 1e200, 1e307};
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=random"};

    for (size_t s = 0; s < sizeof SCALES / sizeof *SCALES; s++)
        for (size_t start = 0; start < 2; start++)
            for (size_t mixed = 0; mixed < 2; mixed++) {
                matrix m = blobs(60, 2, 2, 5, 6);
                for (size_t i = 0; i < m.n; i++) {
                    m.X[2 * i] *= SCALES[s];
                    m.X[2 * i + 1] *= mixed ? 1 / SCALES[s] : SCALES[s];
                }
                ml_dataset *data = dataset(NULL, &m);
                ml_model *model = unfitted(NULL, SETTINGS("n_components=2", STARTS[start]));
                const ml_status st = ml_model_fit(model, data, NULL);
                CHECK_MSG(st == ML_OK || st == ML_E_NUMERIC, "scale %g: %s", SCALES[s], ml_last_error());
                CHECK_MSG(st == ML_OK || SCALES[s] >= 1e153 || SCALES[s] <= 1e-300, "scale %g: %s", SCALES[s],
                          ml_last_error());
                if (st == ML_OK)
                    check_finite(model);
                ml_dataset_free(data);
                ml_model_free(model);
                free(m.X);
            }
}

TEST(gmm, more_components_than_rows_are_refused)
{
    const double w[] = {1, 0, 1, 0, 1};
    matrix m = blobs(5, 2, 2, 3, 1);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("n_components=6"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "gmm: n_components is 6, the data has 5 rows");
    CHECK_OK(ml_dataset_set_weights(data, w, 5));
    CHECK_OK(ml_model_set_int(model, "n_components", 4));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA,
                "gmm: n_components is 4, the data has 3 rows with positive weight");
    CHECK_OK(ml_model_set_int(model, "n_components", 3));
    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    ml_model_free(model);
    free(m.X);
}

/* ---- how a fit ends ---- */

typedef struct watch {
    uint64_t n_steps, stop_at, total;
    double last;
} watch;

static int32_t look(void *user, const ml_progress *p)
{
    watch *w = user;

    CHECK(!strcmp(p->metric, "log_likelihood") && !strcmp(p->stage, "gmm"));
    w->total = p->total;
    w->last = p->value;
    return ++w->n_steps == w->stop_at;
}

static char last_log[256];

static void keep_log(void *user, int32_t level, const char *message)
{
    (void)user;
    snprintf(last_log, sizeof last_log, "%d %s", (int)level, message);
}

TEST(gmm, stop_reasons_are_told)
{
    const ml_context_options options = {.struct_size = sizeof options, .log = keep_log};
    matrix m = blobs(100, 2, 4, 2, 3);
    ml_context *context;
    watch w = {0};
    ml_fit_options fit = {.struct_size = sizeof fit, .monitor = look, .monitor_user = &w};

    CHECK_OK(ml_context_create(&options, &context));
    ml_dataset *data = dataset(context, &m);
    ml_model *model = unfitted(context, SETTINGS("n_components=3", "tol=0", "max_iter=7", "n_init=2"));
    CHECK_OK(ml_model_fit(model, data, &fit));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER);
    CHECK(count(model, "converged") == 0 && count(model, "n_iter") == 7);
    CHECK(w.n_steps == 14 && w.total == 14);
    CHECK_MSG(
        !strcmp(last_log, "2 gmm: no convergence in 7 iterations (max_iter); a larger max_iter or tol would help"),
        "%s", last_log);

    CHECK_OK(ml_model_set_real(model, "tol", 1e-3));
    CHECK_OK(ml_model_set_int(model, "max_iter", 1000));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED && count(model, "converged") == 1);
    size_t n;
    const double *L = tensor(model, "lower_bounds", &n);
    CHECK(fabs(L[n - 1] - L[n - 2]) < 1e-3 && fabs(L[n - 2] - L[n - 3]) >= 1e-3);

    fit = (ml_fit_options){.struct_size = sizeof fit, .deadline_seconds = 1e-9};
    CHECK_OK(ml_model_fit(model, data, &fit));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE && count(model, "n_iter") == 1);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    free(m.X);
}

TEST(gmm, cancel_at_any_step_keeps_the_old_state)
{
    matrix m = blobs(60, 2, 2, 2, 3), other = blobs(60, 2, 3, 4, 4);
    ml_dataset *data = dataset(NULL, &other);
    ml_model *model = fitted(&m, SETTINGS("n_components=2")), *same = fitted(&m, SETTINGS("n_components=2"));
    ml_status st = ML_E_CANCELLED;

    CHECK_OK(ml_model_set_int(model, "n_init", 2));
    for (uint64_t stop_at = 1; st != ML_OK; stop_at++) {
        watch w = {.stop_at = stop_at};
        const ml_fit_options fit = {.struct_size = sizeof fit, .monitor = look, .monitor_user = &w};
        st = ml_model_fit(model, data, &fit);
        CHECK(st == ML_OK || (st == ML_E_CANCELLED && w.n_steps == stop_at));
        if (st != ML_OK)
            check_same_tensors(model, same);
    }
    ml_model_free(same);
    same = fitted(&other, SETTINGS("n_components=2", "n_init=2"));
    check_same_tensors(model, same);
    ml_dataset_free(data);
    ml_model_free(model);
    ml_model_free(same);
    free(m.X);
    free(other.X);
}

/* ---- threads and memory ---- */

static int32_t run_backwards(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument)
{
    (void)user;
    while (n_tasks-- > 0)
        task(argument, n_tasks);
    return 0;
}

static ml_model *fitted_with(ml_context *context, const matrix *m, const char *init)
{
    ml_dataset *data = dataset(context, m);
    ml_model *model = unfitted(context, SETTINGS("n_components=5", "max_iter=12", init));

    CHECK_OK(ml_model_fit(model, data, NULL));
    ml_dataset_free(data);
    ml_context_free(context); /* the model keeps it */
    return model;
}

TEST(gmm, threads_do_not_show)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=random"};
    static const uint32_t THREADS[] = {2, 3, 7};
    matrix m = blobs(3000, 3, 6, 2, 12);

    for (size_t s = 0; s < 2; s++) {
        ml_model *serial = fitted_with(NULL, &m, STARTS[s]);
        for (size_t t = 0; t < 4; t++) {
            const ml_context_options options = {.struct_size = sizeof options,
                                                .n_threads = t < 3 ? THREADS[t] : 5,
                                                .executor = {t < 3 ? NULL : run_backwards, NULL}};
            ml_context *context;
            CHECK_OK(ml_context_create(&options, &context));
            ml_model *model = fitted_with(context, &m, STARTS[s]);
            check_same_tensors(model, serial);
            ml_model_free(model);
        }
        ml_model_free(serial);
    }
    free(m.X);
}

TEST(gmm, every_allocation_may_fail)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=random_from_data"};
    matrix m = blobs(40, 2, 2, 5, 1);

    for (size_t s = 0; s < 2; s++) {
        test_allocator a = {0};
        ml_context *context = test_context(&a, 1);
        ml_dataset *data = dataset(context, &m);
        ml_model *model = unfitted(context, SETTINGS("n_components=2", STARTS[s]));
        ml_status st = ML_E_MEMORY;
        size_t k = 0;

        while (st != ML_OK) {
            const size_t n_live = a.n_live;
            a.n_allocations = 0;
            a.fail_at = ++k;
            st = ml_model_fit(model, data, NULL);
            a.fail_at = 0;
            CHECK_MSG(st == ML_OK || st == ML_E_MEMORY, "allocation %zu: %s", k, ml_last_error());
            CHECK(st == ML_OK || (a.n_live == n_live && !ml_model_is_fitted(model)));
        }
        CHECK(k > 5);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(a.n_live == 0);
    }
    free(m.X);
}

/* ---- tensors from a file ---- */

static ml__named_tensor *writable(ml_model *model, const char *name)
{
    for (size_t i = 0; i < model->learned->n_tensors; i++)
        if (!strcmp(model->learned->tensors[i].name, name))
            return &model->learned->tensors[i];
    test_fail(__FILE__, __LINE__, "no tensor %s", name);
}

TEST(gmm, broken_tensors_are_refused)
{
    static const struct {
        const char *tensor;
        size_t element;
        double value;
        const char *text;
    } CASES[] = {
        {"weights", 0, -0.5, "tensor 'weights': element 0 is -0.5, negative"},
        {"weights", 1, NAN, "tensor 'weights': element 1 is nan"},
        {"weights", 1, 0.9, "tensor 'weights': the sum is"},
        {"means", 3, INFINITY, "tensor 'means': element 3 is inf"},
        {"covariances", 2, NAN, "tensor 'covariances': element 2"},
        {"precisions_cholesky", 0, 0, "component 0, row 0, column 0 is 0, expected a positive diagonal"},
        {"precisions_cholesky", 7, -1, "component 1, row 1, column 1 is -1, expected a positive diagonal"},
        {"precisions_cholesky", 6, 1e-300, "component 1, row 1, column 0 is 1e-300, expected 0 below the diagonal"},
        {"precisions_cholesky", 1, NAN, "tensor 'precisions_cholesky': element 1"},
        {"lower_bounds", 0, NAN, "tensor 'lower_bounds': element 0"},
    };
    matrix m = blobs(40, 2, 2, 5, 1);
    ml_model *model = fitted(&m, SETTINGS("n_components=2"));

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        double *x = writable(model, CASES[c].tensor)->data;
        const double kept = x[CASES[c].element];
        x[CASES[c].element] = CASES[c].value;
        CHECK_FAILS(ml__learned_validate(model, model->learned, false), ML_E_FORMAT, CASES[c].text);
        x[CASES[c].element] = kept;
    }
    int64_t *converged = writable(model, "converged")->data, *n_iter = writable(model, "n_iter")->data;
    *converged = 2;
    CHECK_FAILS(ml__learned_validate(model, model->learned, false), ML_E_FORMAT, "'converged' is 2, expected 0 or 1");
    *converged = 1;
    ++*n_iter;
    CHECK_FAILS(ml__learned_validate(model, model->learned, false), ML_E_FORMAT, "lower bounds");
    --*n_iter;
    writable(model, "covariances")->shape[0] = 1;
    CHECK_FAILS(ml__learned_validate(model, model->learned, false), ML_E_FORMAT, "'covariances': dimension 0 is 1");
    writable(model, "covariances")->shape[0] = 2;
    writable(model, "means")->shape[1] = 3;
    CHECK_FAILS(ml__learned_validate(model, model->learned, false), ML_E_FORMAT, "'means': dimension 1 is 3");
    writable(model, "means")->shape[1] = 2;
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    free(m.X);
}

TEST(gmm, a_saved_mixture_predicts_the_same_bits)
{
    matrix m = table("iris", 0, NULL);
    ml_model *model = fitted(&m, SETTINGS("n_components=3")), *loaded;
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    check_same_tensors(model, loaded);
    double *a = score_samples(model, &m), *b = score_samples(loaded, &m);
    CHECK_SAME_BYTES(a, m.n * sizeof *a, b, m.n * sizeof *b);
    free(a);
    free(b);
    free(bytes);
    ml_model_free(loaded);
    ml_model_free(model);
    free(m.X);
}
