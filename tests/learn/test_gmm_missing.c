/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures of rows with missing entries: densities of what is observed, EM over it. */
#include "gmm_toys.h"

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=diag"};

/* About one in five entries goes. */
static void lose_entries(matrix *m, uint64_t seed)
{
    for (size_t v = 0; v < m->n * m->d; v++)
        if (uniform(&seed) < 0.2)
            m->X[v] = NAN;
}

TEST(gmm_missing, density_is_that_of_what_is_observed)
{
    matrix m = table("iris", 0, NULL);
    const size_t seen[] = {2, 0};

    for (size_t t = 0; t < 2; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=1", TYPES[t]));
        const double *mu = tensor(model, "means", NULL), *S = tensor(model, "covariances", NULL);
        const double x[4] = {5, NAN, 3, NAN}, nothing[4] = {NAN, NAN, NAN, NAN};
        const double a = t ? S[2] : S[10], b = t ? 0 : S[8], c = S[0]; /* of features 2 and 0 */
        const double u = x[seen[0]] - mu[2], v = x[seen[1]] - mu[0], det = a * c - b * b;
        const double want =
            -log(2 * 3.14159265358979323846) - 0.5 * log(det) - 0.5 * (c * u * u - 2 * b * u * v + a * v * v) / det;
        double L, p;

        CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, x, 4, &L, 1, NULL, 0));
        CHECK_CLOSE(L, want, 1e-12);
        CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, nothing, 4, &L, 1, NULL, 0));
        CHECK(L == 0);
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, nothing, 4, &p, 1, NULL, 0));
        CHECK(p == 1);
        ml_model_free(model);
    }
    free(m.X);
}

/* One Gaussian, two features, the second missing where the first is large: the maximum is known in closed form (Anderson
 * 1957). The mean of what is observed is far from it. */
TEST(gmm_missing, monotone_pattern_gives_the_regression_estimate)
{
    enum { N = 300 };
    matrix m = make_matrix(N, 2);
    uint64_t state = 3;
    double n = 0, x_mean = 0, x_var = 0, seen[5] = {0};

    for (size_t i = 0; i < N; i++) {
        double *x = m.X + 2 * i;
        x[0] = normal(&state);
        x[1] = 3 * x[0] + 0.5 * normal(&state);
        x_mean += x[0] / N;
        if (x[0] > 0.5)
            x[1] = NAN;
    }
    for (size_t i = 0; i < N; i++)
        x_var += (m.X[2 * i] - x_mean) * (m.X[2 * i] - x_mean) / N;
    for (size_t i = 0; i < N; i++)
        if (!isnan(m.X[2 * i + 1])) {
            const double a = m.X[2 * i], b = m.X[2 * i + 1];
            n++;
            seen[0] += a;
            seen[1] += b;
            seen[2] += a * a;
            seen[3] += a * b;
            seen[4] += b * b;
        }
    const double a = seen[0] / n, b = seen[1] / n, s_aa = seen[2] / n - a * a, s_ab = seen[3] / n - a * b;
    const double slope = s_ab / s_aa, rest = seen[4] / n - b * b - slope * s_ab;
    ml_model *model = fitted(&m, SETTINGS("reg_covar=0", "tol=0", "max_iter=400"));
    const double *mu = tensor(model, "means", NULL), *S = tensor(model, "covariances", NULL);

    CHECK_CLOSE(mu[0], x_mean, 1e-10);
    CHECK_CLOSE(mu[1], b + slope * (x_mean - a), 1e-9);
    CHECK_CLOSE(S[0], x_var, 1e-10);
    CHECK_CLOSE(S[1], slope * x_var, 1e-9);
    CHECK_CLOSE(S[3], rest + slope * slope * x_var, 1e-9);
    ml_model_free(model);
    free(m.X);
}

TEST(gmm_missing, likelihood_never_falls)
{
    for (size_t t = 0; t < 2; t++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            matrix m = blobs(150, 3, 4, 2, seed);
            lose_entries(&m, seed);
            ml_model *model = fitted(
                &m, SETTINGS("n_components=3", "tol=0", "max_iter=60", "reg_covar=0", "init_params=random", TYPES[t]));
            check_never_falls(model, 0, TYPES[t], seed);
            ml_model_free(model);
            free(m.X);
        }
}

/* Largest error of the variances of two blobs, whose true ones are 1 (second feature + its share of the first). */
static double largest_error(const ml_model *model, bool is_full)
{
    const double *S = tensor(model, "covariances", NULL), *mu = tensor(model, "means", NULL);
    double error = 0;

    for (size_t c = 0; c < 2; c++) {
        const double at = mu[3 * c] > 3 ? 6 : 0;
        for (size_t j = 0; j < 3; j++) {
            error = fmax(error, fabs(mu[3 * c + j] - (j ? 0 : at)));
            error = fmax(error, fabs(S[is_full ? 9 * c + 4 * j : 3 * c + j] - 1));
        }
        if (is_full)
            error = fmax(error, fabs(S[9 * c + 5] - 0.8)); /* between features 1 and 2 */
    }
    return error;
}

TEST(gmm_missing, parameters_are_recovered_where_imputation_fails)
{
    enum { N = 6000 };
    for (size_t t = 0; t < 2; t++) {
        matrix m = make_matrix(N, 3), filled = make_matrix(N, 3);
        uint64_t state = 17;
        double mean[3] = {0}, n[3] = {0};

        for (size_t i = 0; i < N; i++) {
            double *x = m.X + 3 * i;
            x[0] = normal(&state) + (i % 2 ? 6 : 0);
            x[1] = normal(&state);
            x[2] = 0.8 * x[1] + 0.6 * normal(&state);
        }
        lose_entries(&m, 99);
        for (size_t v = 0; v < 3 * N; v++)
            if (!isnan(m.X[v])) {
                mean[v % 3] += m.X[v];
                n[v % 3]++;
            }
        for (size_t v = 0; v < 3 * N; v++)
            filled.X[v] = isnan(m.X[v]) ? mean[v % 3] / n[v % 3] : m.X[v];
        ml_model *model = fitted(&m, SETTINGS("n_components=2", TYPES[t], "tol=1e-7", "max_iter=500"));
        ml_model *imputed = fitted(&filled, SETTINGS("n_components=2", TYPES[t], "tol=1e-7", "max_iter=500"));
        CHECK_MSG(largest_error(model, !t) < 0.1, "%s: error %g", TYPES[t], largest_error(model, !t));
        CHECK(largest_error(imputed, !t) > 0.19);
        ml_model_free(model);
        ml_model_free(imputed);
        free(m.X);
        free(filled.X);
    }
}

TEST(gmm_missing, order_and_threads_do_not_matter)
{
    matrix m = blobs(1500, 3, 4, 3, 5);
    lose_entries(&m, 4);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 2; t++) {
        const char *const *settings = SETTINGS("n_components=4", "max_iter=10", TYPES[t]);
        ml_model *model = unfitted(NULL, settings);

        check_threads(&m, "gmm", settings);
        CHECK_OK(ml_model_fit(model, data, NULL));
        /* rows of a prediction, too */
        double *L = score_samples(model, &m), one;
        for (size_t i = 0; i < 50; i++) {
            CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, m.X + 3 * i, 3, &one, 1, NULL, 0));
            CHECK_SAME_BYTES(&one, sizeof one, L + i, sizeof one);
        }
        free(L);
        ml_model_free(model);
    }
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_missing, other_types_and_empty_features_are_refused)
{
    matrix m = blobs(30, 2, 2, 3, 5);
    ml_dataset *data;

    m.X[7] = NAN;
    data = dataset(NULL, &m);
    for (size_t t = 0; t < 2; t++) {
        ml_model *model = unfitted(NULL, SETTINGS(t ? "covariance_type=tied" : "covariance_type=spherical"));
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "missing");
        ml_model_free(model);
    }
    ml_dataset_free(data);
    for (size_t i = 0; i < m.n; i++)
        m.X[2 * i + 1] = NAN;
    data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, NULL);
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "feature 'x1' has no value in any row");
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}
