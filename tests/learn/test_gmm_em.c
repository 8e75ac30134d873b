/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures, the formulas: EM against scikit-learn step by step, densities against closed forms. */
#include "gmm_toys.h"
#include "learn/gmm/mixture.h"

#include <float.h>

/* ---- EM, step by step ---- */

static const char *const TYPES[] = {"full", "tied", "diag", "spherical"};

/* Equal weights, rows (2c+1) n / 2k as means, variances of the features: as tests/reference/make_gmm.py. */
static void start_as_reference(ml__mixture *m, const matrix *x, double *work)
{
    double mean_variance = 0;

    for (size_t j = 0; j < m->d; j++) {
        double mean, variance;
        moments_of(x, j, &mean, &variance);
        mean_variance += variance / (double)m->d;
        for (size_t c = 0; c < m->k && m->type != ML__SPHERICAL; c++)
            m->covariances[ml__covariance_at(m, c) + j * (m->type == ML__DIAG ? 1 : m->d + 1)] = variance;
    }
    for (size_t c = 0; c < m->k; c++) {
        const size_t row = (2 * c + 1) * x->n / (2 * m->k);
        m->weights[c] = 1 / (double)m->k;
        memcpy(m->means + c * m->d, x->X + row * m->d, m->d * sizeof *x->X);
        if (m->type == ML__SPHERICAL)
            m->covariances[c] = mean_variance;
    }
    CHECK_OK(ml__mixture_factor(NULL, m, 0, false, work));
}

/* Largest difference over max(1, |want|). */
static double difference(const double *got, const double *want, size_t n)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(got[i] - want[i]) / fmax(1, fabs(want[i])));
    return largest;
}

enum { N_STEPS = 50 };

/* How the steps are made: as they would be, or with moments and densities row by row only. */
enum { AS_EVER, ROW_BY_ROW, N_WAYS };

static const double *check_steps(const char *name, ml__covariance type, const matrix *x, size_t k, int way,
                                 const double *want)
{
    const size_t kd = k * x->d;
    double *w = malloc(x->n * sizeof *w), L, largest = 0;
    ml__arena arena;
    ml__mixture m;
    ml__em em;

    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i < x->n; i++)
        w[i] = 1;
    CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){.X = x->X, .n = x->n, .d = x->d, .w = w}, type, k, 1e-6, &em));
    CHECK_OK(ml__mixture_create(&arena, type, k, x->d, &m));
    const size_t n_numbers = ml__covariance_numbers(&m);
    start_as_reference(&m, x, em.work);
    if (way == ROW_BY_ROW)
        em.p = 0;
    CHECK_OK(ml__em_begin_from(&em, &m));
    for (size_t t = 0; t < N_STEPS; t++, want++) {
        CHECK_OK(ml__em_step(&em, &m, &L));
        largest = fmax(largest, fabs(L - *want) / fabs(*want));
        CHECK_MSG(largest <= 1e-9, "%s %s, way %d, step %zu: lower bound %.17g, expected %.17g", name, TYPES[type], way,
                  t, L, *want);
    }
    const double of_weights = difference(m.weights, want, k), of_means = difference(m.means, want + k, kd);
    const double of_covariances = difference(m.covariances, want + k + kd, n_numbers);
    CHECK_MSG(of_weights <= 1e-8 && of_means <= 1e-8 && of_covariances <= 1e-8,
              "%s %s, way %d: weights differ by %g, means by %g, covariances by %g", name, TYPES[type], way, of_weights,
              of_means, of_covariances);
    want += k + kd + n_numbers;

    /* the lower bound of the next step is that of the mixture of now */
    CHECK_OK(ml__em_step(&em, &m, &L));
    const double n = (double)x->n, n_parameters = ml__mixture_n_parameters(&m);
    CHECK_CLOSE((-2 * L * n + n_parameters * log(n)) / want[0], 1, 1e-9);
    CHECK_CLOSE((-2 * L * n + 2 * n_parameters) / want[1], 1, 1e-9);
    ml__arena_free(&arena);
    free(w);
    return want + 2;
}

/* Skewed, correlated features on several scales. */
static matrix houses(size_t n)
{
    static const double SCALES[] = {1, 10, 2, 0.5, 400, 1, 8, 40};
    matrix m = make_matrix(n, 8);
    uint64_t state = 7;

    for (size_t i = 0; i < n; i++) {
        double before = 0;

        for (size_t j = 0; j < 8; j++) {
            before = 0.6 * before + normal(&state);
            m.X[i * 8 + j] = SCALES[j] * (3 + before + 0.25 * before * before);
        }
    }
    return m;
}

/* Scores of the first k principal components; `m` is freed. */
static matrix components(matrix m, size_t k)
{
    matrix scores = make_matrix(m.n, k);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *pca;

    CHECK_OK(ml_model_create(NULL, "pca", &pca));
    CHECK_OK(ml_model_set_int(pca, "n_components", (int64_t)k));
    CHECK_OK(ml_model_fit(pca, data, NULL));
    CHECK_OK(ml_model_transform(pca, data, scores.X, m.n * k));
    ml_model_free(pca);
    ml_dataset_free(data);
    free(m.X);
    return scores;
}

TEST(gmm, fifty_steps_equal_scikit_learn)
{
    static const size_t BOSTON[] = {0, 4, 5, 6, 7, 12}, DIGITS[] = {10, 20, 21, 27, 28, 35, 42, 43};
    static const size_t CANCER[] = {0, 1, 2, 3, 4, 5, 6, 7}, DIABETES[] = {0, 2, 3, 4, 5, 6, 7, 8, 9};
    const struct {
        const char *name;
        matrix x;
        size_t k;
    } SETS[] = {
        {"iris", table("iris", 0, NULL), 3},
        {"wine", standardised(table("wine", 0, NULL)), 3},
        {"boston", standardised(table("boston", 6, BOSTON)), 4},
        {"blobs", blobs(400, 3, 4, 2.5, 1), 4},
        {"digits", table("digits", 8, DIGITS), 5},
        {"breast_cancer", standardised(table("breast_cancer", 8, CANCER)), 2},
        {"diabetes", standardised(table("diabetes", 9, DIABETES)), 3},
        {"houses", houses(2000), 4},
        {"components of digits", components(table("digits", 0, NULL), 8), 5},
    };
    size_t n;
    double *numbers = test_read_numbers(test_expected_path("gmm_steps.txt"), &n);
    const double *want = numbers;

    for (ml__covariance type = ML__FULL; type <= ML__SPHERICAL; type++)
        for (size_t s = 0; s < sizeof SETS / sizeof *SETS; s++) {
            const double *begin = want;
            for (int way = 0; way < N_WAYS; way++)
                want = check_steps(SETS[s].name, type, &SETS[s].x, SETS[s].k, way, begin);
        }
    CHECK(want == numbers + n);
    for (size_t s = 0; s < sizeof SETS / sizeof *SETS; s++)
        free(SETS[s].x.X);
    free(numbers);
}

/* ---- the first step from single rows ---- */

/* ln Σ_c pi_c N(x | c) in long double, and the shares. */
static long double exact_shares(const ml__mixture *m, const double *x, long double *shares)
{
    const size_t d = m->d;
    long double largest = -INFINITY, total = 0;

    for (size_t c = 0; c < m->k; c++) {
        const double *U = m->factors + ml__covariance_at(m, c), *mu = m->means + c * d;
        long double q = 0;

        for (size_t j = 0; j < d; j++) {
            long double y = m->type >= ML__DIAG ? U[m->type == ML__DIAG ? j : 0] * ((long double)x[j] - mu[j]) : 0;
            for (size_t i = 0; i <= j && m->type < ML__DIAG; i++)
                y += U[i * d + j] * ((long double)x[i] - mu[i]);
            q += y * y;
        }
        shares[c] = m->log_weights[c] + (long double)m->log_norms[c] - q / 2;
        largest = fmaxl(largest, shares[c]);
    }
    for (size_t c = 0; c < m->k; c++)
        total += shares[c] = expl(shares[c] - largest);
    for (size_t c = 0; c < m->k; c++)
        shares[c] /= total;
    return largest + logl(total);
}

/* Components of width 1e-6 near 100, so that statistics would be off by 1. In most rows one component leads by more than that,
 * but rows in the middle of two belong to both. */
static void check_first_step(ml__covariance type, size_t n)
{
    enum { D = 3, K = 5 };
    matrix x = blobs(n, D, K, 4, 3);
    double *w = malloc(n * sizeof *w), L;
    uint32_t *of = malloc(n * sizeof *of);
    long double shares[K], N[K] = {0}, S1[K * D] = {0}, exact = 0;
    ml__arena arena;
    ml__mixture m;
    ml__em em;

    ml__arena_init(&arena, NULL);
    for (size_t i = 0; i < n; i++) {
        w[i] = 1;
        of[i] = i % (n / K) == 7 ? (uint32_t)(i / (n / K)) : UINT32_MAX;
    }
    for (size_t v = 0; v < n * D; v++)
        x.X[v] += 100;
    for (size_t j = 0; j < D; j++) {
        x.X[7 * D + j] = 100;
        x.X[(n / K + 7) * D + j] = j ? 100 : 101;
        for (size_t r = 0; r < 8; r++)
            x.X[(n / 2 + r) * D + j] = j ? 100 : 100.5 + 0x1p-43 * (double)r;
    }
    CHECK_OK(ml__em_create(&arena, NULL, &(ml__points){.X = x.X, .n = n, .d = D, .w = w}, type, K, 1e-12, &em));
    CHECK_OK(ml__mixture_create(&arena, type, K, D, &m));
    em.of = of;
    CHECK_OK(ml__em_begin(&em, &m));
    CHECK_CLOSE(m.means[D], 101, 1e-12);
    for (size_t i = 0; i < n; i++) {
        exact += exact_shares(&m, x.X + i * D, shares) / n;
        for (size_t c = 0; c < K; c++) {
            N[c] += shares[c];
            for (size_t j = 0; j < D; j++)
                S1[c * D + j] += shares[c] * x.X[i * D + j];
        }
    }
    CHECK_OK(ml__em_step(&em, &m, &L));
    CHECK_MSG(fabs(L / (double)exact - 1) <= 1e-12, "%s, %zu rows: %.17g, expected %.17Lg", TYPES[type], n, L, exact);
    for (size_t c = 0; c < K; c++) {
        CHECK_CLOSE(m.counts[c], (double)N[c], 1e-3);
        for (size_t j = 0; j < D; j++)
            CHECK_CLOSE(m.means[c * D + j], (double)(S1[c * D + j] / N[c]), 1e-4);
    }
    ml__arena_free(&arena);
    free(of);
    free(w);
    free(x.X);
}

TEST(gmm, the_first_step_from_single_rows_is_exact)
{
    for (ml__covariance type = ML__FULL; type <= ML__SPHERICAL; type++) {
        check_first_step(type, 1000);
        check_first_step(type, 20000); /* whose statistics are not held */
    }
}

/* EM for rows of one feature in long double, with the row's own distances: posteriors after `n_steps` under m. */
static void exact_steps(const double *x, size_t n, size_t k, size_t n_steps, long double *pi, long double *mu,
                        long double *variance, long double *R)
{
    for (size_t t = 0; t <= n_steps; t++) {
        for (size_t i = 0; i < n; i++) {
            long double *r = R + i * k, total = 0, largest = -INFINITY;
            for (size_t c = 0; c < k; c++) {
                r[c] = logl(pi[c]) - 0.5L * logl(variance[c]) - 0.5L * (x[i] - mu[c]) * (x[i] - mu[c]) / variance[c];
                largest = fmaxl(largest, r[c]);
            }
            for (size_t c = 0; c < k; c++)
                total += r[c] = expl(r[c] - largest);
            for (size_t c = 0; c < k; c++)
                r[c] /= total;
        }
        for (size_t c = 0; c < k && t < n_steps; c++) {
            long double N = 10 * DBL_EPSILON, sum = 0, squares = 0;
            for (size_t i = 0; i < n; i++) {
                N += R[i * k + c];
                sum += R[i * k + c] * x[i];
            }
            mu[c] = sum / N;
            for (size_t i = 0; i < n; i++)
                squares += R[i * k + c] * (x[i] - mu[c]) * (x[i] - mu[c]);
            variance[c] = squares / N;
            pi[c] = N / n;
        }
    }
}

/* Two clusters of width 1e-6 that overlap, and three rows at 1e12: the mean of all, 1e10, must not cost the clusters digits. */
TEST(gmm, a_few_huge_rows_cost_no_digits)
{
    enum { N = 600, K = 3, STEPS = 30 };
    static const double MEANS[] = {-1e-6, 4e-6, 2e12}, VARIANCES[] = {1e-12, 1e-12, 1e24};
    matrix m = make_matrix(N, 1);
    uint64_t state = 8;
    long double pi[K], mu[K], variance[K], *R = malloc(N * K * sizeof *R);
    double *got = malloc(N * K * sizeof *got), largest = 0;

    for (size_t i = 0; i < N; i++)
        m.X[i] = 1e-6 * normal(&state) + (i % 2 ? 3e-6 : 0);
    for (size_t i = 0; i < 3; i++)
        m.X[100 + 200 * i] = (double)(i + 1) * 1e12;
    ml_model *start = fitted(&m, SETTINGS("n_components=3", "max_iter=1")),
             *model = unfitted(NULL, SETTINGS("n_components=3", "max_iter=30", "tol=0", "reg_covar=0"));
    for (size_t c = 0; c < K; c++) {
        ((double *)tensor(start, "weights", NULL))[c] = 1 / (double)K;
        ((double *)tensor(start, "means", NULL))[c] = mu[c] = MEANS[c];
        ((double *)tensor(start, "covariances", NULL))[c] = variance[c] = VARIANCES[c];
        ((double *)tensor(start, "precisions_cholesky", NULL))[c] = 1 / sqrt(VARIANCES[c]);
        pi[c] = 1 / (long double)K;
    }
    CHECK_OK(ml__learned_validate(start, start->learned, false));
    CHECK_OK(ml_model_start_from(model, start));
    ml_dataset *data = dataset(NULL, &m);
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, got, N * K));
    exact_steps(m.X, N, K, STEPS, pi, mu, variance, R);
    for (size_t i = 0; i < N * K; i++)
        largest = fmax(largest, fabs(got[i] - (double)R[i]));
    CHECK_MSG(largest <= 1e-9, "posteriors differ by %g", largest);
    ml_model_free(start);
    ml_model_free(model);
    ml_dataset_free(data);
    free(got);
    free(R);
    free(m.X);
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
