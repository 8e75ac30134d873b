/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures where there is no answer, or only just: covariances that are rounding, criteria beyond double, given
 * matrices that are symmetric up to rounding, rows far from everything. */
#include "gmm_toys.h"

#include <invar/mixture.h>

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=tied", "covariance_type=diag",
                                    "covariance_type=spherical"};

/* n_points distinct rows of d features around `offset`, each `times`. */
static matrix repeated(size_t n_points, size_t times, size_t d, double offset, uint64_t seed)
{
    matrix m = make_matrix(n_points * times, d);

    for (size_t v = 0; v < n_points * d; v++)
        m.X[v] = offset + normal(&seed);
    for (size_t i = n_points; i < m.n; i++)
        memcpy(m.X + i * d, m.X + (i - n_points) * d, d * sizeof *m.X);
    return m;
}

/* ---- covariances that are rounding ---- */

TEST(gmm_limits, as_many_components_as_distinct_rows_have_no_covariance)
{
    static const double OFFSETS[] = {0, 1, 1e3, 1e9};

    for (size_t o = 0; o < 4; o++)
        for (uint64_t seed = 1; seed <= 5; seed++) {
            matrix m = repeated(4, 25, 3, OFFSETS[o], seed);
            ml_dataset *data = dataset(NULL, &m);

            for (size_t t = 0; t < 4; t++) {
                ml_model *model = unfitted(NULL, SETTINGS("n_components=4", "reg_covar=0", TYPES[t]));
                CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "gmm: the covariance of component");
                CHECK(!ml_model_is_fitted(model));
                ml_model_free(model);
            }
            ml_dataset_free(data);
            free(m.X);
        }
}

TEST(gmm_limits, a_component_of_one_row_has_no_covariance)
{
    matrix m = blobs(51, 1, 1, 0, 4);
    m.X[50] = 1234.567;
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = unfitted(NULL, SETTINGS("n_components=2", "reg_covar=0", TYPES[t]));
        if (t == 1) /* all share theirs */
            CHECK_OK(ml_model_fit(model, data, NULL));
        else
            CHECK_FAILS(
                ml_model_fit(model, data, NULL), ML_E_NUMERIC,
                "gmm: the covariance of component 1 is no more than rounding: fewer components (n_components is "
                "2), a larger reg_covar (it is 0) or scaled features would help");
        CHECK_OK(ml_model_set_real(model, "reg_covar", 1e-6));
        CHECK_OK(ml_model_fit(model, data, NULL));
        ml_model_free(model);
    }
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_limits, a_sum_of_features_leaves_no_covariance)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        matrix m = blobs(seed % 2 ? 40 : 4000, 5, 1, 0, seed);
        for (size_t i = 0; i < m.n; i++) {
            double *x = m.X + i * m.d;
            x[4] = 0.3 * x[0] - 1.7 * x[1] + 0.1 * x[2] + x[3];
        }
        ml_dataset *data = dataset(NULL, &m);
        for (size_t t = 0; t < 2; t++) {
            ml_model *model = unfitted(NULL, SETTINGS("reg_covar=0", TYPES[t]));
            CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC, "gmm: the covariance of component 0 is no");
            ml_model_free(model);
        }
        ml_dataset_free(data);
        free(m.X);
    }
}

TEST(gmm_limits, small_covariances_that_rows_have_are_fitted)
{
    /* two clusters a million deviations apart; and two features that are the same but for a millionth */
    matrix apart = blobs(60, 2, 2, 1e6, 3), alike = blobs(60, 2, 1, 0, 5);
    for (size_t i = 0; i < 60; i++)
        alike.X[2 * i + 1] = alike.X[2 * i] + 1e-6 * alike.X[2 * i + 1];
    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&apart, SETTINGS("n_components=2", "reg_covar=0", TYPES[t]));
        const double variance = tensor(model, "covariances", NULL)[0];
        CHECK_MSG(variance > 0.5 && variance < 2, "%g", variance);
        ml_model_free(model);
        ml_model_free(fitted(&alike, SETTINGS("reg_covar=0", TYPES[t])));
    }
    free(apart.X);
    free(alike.X);
}

TEST(gmm_limits, selection_leaves_out_covariances_that_are_rounding)
{
    enum { MOST = 12 };
    matrix m = repeated(MOST, 4, 2, 0, 7);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, SETTINGS("reg_covar=0")), *best;
    const ml_mixture_options options = {.struct_size = sizeof options, .max_components = MOST};
    double scores[4 * MOST];

    CHECK_OK(ml_mixture_select(model, data, &options, scores, 4 * MOST, &best));
    for (size_t t = 0; t < 4; t++) {
        CHECK(isfinite(scores[t * MOST]));
        CHECK_MSG(isnan(scores[t * MOST + MOST - 1]), "type %zu: %g", t, scores[t * MOST + MOST - 1]);
    }
    CHECK(ml_model_width(best, ML_PREDICT_PROBA) < MOST);
    ml_model_free(best);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

/* ---- criteria ---- */

TEST(gmm_limits, criteria_beyond_double_are_reported)
{
    matrix m = blobs(60, 3, 2, 4, 2), far = make_matrix(3, 3);
    double w[60], value = -7;
    for (size_t v = 0; v < 9; v++)
        far.X[v] = 1e200;
    for (size_t i = 0; i < 60; i++)
        w[i] = i ? 1 : 1e307;
    ml_dataset *data = dataset(NULL, &m), *beyond = dataset(NULL, &far);
    ml_model *model = fitted(&m, SETTINGS("n_components=2")), *best;
    const ml_mixture_options options = {.struct_size = sizeof options, .max_components = 2};
    double scores[8] = {0};

    CHECK_FAILS(ml_mixture_bic(model, beyond, &value), ML_E_NUMERIC,
                "gmm: the criterion is inf: 3 rows, which weigh 3, have the log-likelihood -inf");
    CHECK_FAILS(ml_mixture_aic(model, beyond, &value), ML_E_NUMERIC, "gmm: the criterion is inf");
    CHECK_OK(ml_dataset_set_weights(data, w, 60));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_mixture_bic(model, data, &value), ML_E_NUMERIC,
                "gmm: the criterion is -inf: 60 rows, which weigh 1e307");
    CHECK(value == -7);
    CHECK_FAILS(ml_mixture_select(model, data, &options, scores, 8, &best), ML_E_NUMERIC, "no mixture of 1 to 2");
    CHECK(!best && scores[0] == 0);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(beyond);
    free(m.X);
    free(far.X);
}

TEST(gmm_limits, weights_may_be_to_blame_for_a_bound)
{
    double w[60];
    matrix m = blobs(60, 2, 2, 4, 2);
    for (size_t i = 0; i < 60; i++)
        w[i] = i ? 1 : 1e307;
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = test_model(NULL, "bayesian_gmm", SETTINGS("n_components=2"));

    CHECK_OK(ml_dataset_set_weights(data, w, 60));
    CHECK_FAILS(
        ml_model_fit(model, data, NULL), ML_E_NUMERIC,
        "bayesian_gmm: the lower bound is nan; scaled features, weights near 1 or priors of their scale would help");
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_limits, selection_ends_at_as_many_components_as_rows)
{
    matrix m = blobs(12, 1, 2, 9, 1);
    ml_dataset *data = dataset(NULL, &m);
    ml_model *model = unfitted(NULL, NULL), *best, *same;
    ml_mixture_options options = {.struct_size = sizeof options, .max_components = SIZE_MAX, .types = ML_MIXTURE_DIAG};
    double scores[2 * 20];

    CHECK_OK(ml_mixture_select(model, data, &options, NULL, 0, &best));
    options.max_components = 20;
    options.types |= ML_MIXTURE_FULL;
    CHECK_OK(ml_mixture_select(model, data, &options, scores, 40, &same));
    CHECK(ml_model_width(best, ML_PREDICT_PROBA) == ml_model_width(same, ML_PREDICT_PROBA));
    for (size_t k = 0; k < 20; k++) {
        CHECK(k < 12 ? isfinite(scores[k]) : isnan(scores[k]));
        CHECK(isnan(scores[20 + k]) == isnan(scores[k]));
    }
    ml_model_free(best);
    ml_model_free(same);
    ml_model_free(model);
    ml_dataset_free(data);
    free(m.X);
}

/* ---- given matrices ---- */

/* V diag(e) V' of a random orthogonal V, from Householder reflections: symmetric up to rounding. */
static void turn(const double *e, double *A, uint64_t *seed)
{
    double V[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};

    for (int r = 0; r < 3; r++) {
        const double v[] = {normal(seed), normal(seed), normal(seed)};
        const double norm2 = v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        for (size_t i = 0; i < 3; i++) {
            const double dot = V[3 * i] * v[0] + V[3 * i + 1] * v[1] + V[3 * i + 2] * v[2];
            for (size_t j = 0; j < 3; j++)
                V[3 * i + j] -= 2 * dot / norm2 * v[j];
        }
    }
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++) {
            A[3 * i + j] = 0;
            for (size_t l = 0; l < 3; l++)
                A[3 * i + j] += V[3 * i + l] * e[l] * V[3 * j + l];
        }
    for (size_t i = 0; i < 3; i++) /* so that it is not by chance */
        for (size_t j = 0; j < i; j++)
            A[3 * i + j] += 1e-16 * sqrt(A[4 * i] * A[4 * j]);
}

static void give(ml_model *model, const char *name, const double *A)
{
    char text[9 * 32], *end = text;

    for (size_t v = 0; v < 9; v++)
        end += snprintf(end, 32, v ? ",%.17g" : "%.17g", A[v]);
    CHECK_OK(ml_model_set_text(model, name, text));
}

TEST(gmm_limits, given_matrices_may_be_symmetric_up_to_rounding)
{
    static const double SIZES[] = {1e-160, 1, 1e140};
    uint64_t seed = 8;
    matrix m = blobs(50, 3, 1, 0, 6);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t c = 0; c < 60; c++) {
        const double e[] = {3 * SIZES[c % 3], 3 * SIZES[c % 3], (c % 2 ? 3 : 5) * SIZES[c % 3]};
        double A[9];
        turn(e, A, &seed);
        ml_model *model = unfitted(NULL, SETTINGS("covariance_type=tied", "max_iter=1")),
                 *bayesian = test_model(NULL, "bayesian_gmm", SETTINGS("max_iter=1"));
        give(model, "precisions_init", A);
        give(bayesian, "covariance_prior", A);
        if (c % 3 == 1) {
            CHECK_OK(ml_model_fit(model, data, NULL));
            CHECK_OK(ml_model_fit(bayesian, data, NULL));
        }
        A[1] += 1e-7 * SIZES[c % 3];
        give(model, "precisions_init", A);
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER, "'precisions_init' is not symmetric");
        ml_model_free(model);
        ml_model_free(bayesian);
    }
    ml_dataset_free(data);
    free(m.X);
}

TEST(gmm_limits, given_precisions_without_inverse_are_to_blame)
{
    static const char *const TINY[] = {"precisions_init=1,0,0,1,1e-320,0,0,2", "precisions_init=1e-320,0,0,1",
                                       "precisions_init=1,1e-320,1,1", "precisions_init=1,1e-320"};
    static const char *const TEXTS[] = {"from 1e-320 to 2", "from 1e-320 to 1", "from 1e-320 to 1", "from 1e-320 to 1"};
    matrix m = blobs(50, 2, 2, 5, 6);
    ml_dataset *data = dataset(NULL, &m);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = unfitted(NULL, SETTINGS("n_components=2", TYPES[t], TINY[t]));
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER,
                    "gmm: parameter 'precisions_init' has no inverse in double precision: its diagonal is ");
        CHECK_MSG(strstr(ml_last_error(), TEXTS[t]), "%s", ml_last_error());
        ml_model_free(model);
    }
    ml_dataset_free(data);
    free(m.X);
}

/* ---- rows far from everything ---- */

TEST(gmm_limits, rows_beyond_all_distances_have_the_same_posteriors)
{
    const double row[] = {1e160, -1e160};
    matrix m = blobs(60, 2, 2, 5, 6);

    for (size_t t = 0; t < 4; t++) {
        ml_model *model = fitted(&m, SETTINGS("n_components=2", TYPES[t]));
        double proba[2], label, L;

        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, row, 2, proba, 2, NULL, 0));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT, row, 2, &label, 1, NULL, 0));
        CHECK_OK(ml_model_predict_row(model, ML_SCORE_SAMPLES, row, 2, &L, 1, NULL, 0));
        CHECK(proba[0] == 0.5 && proba[1] == 0.5 && label == 0 && isfinite(L));
        ml_model_free(model);
    }
    free(m.X);
}
