/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures, what they find: known blobs, weights, new features, degenerate data. */
#include "gmm_toys.h"

/* ---- what it finds ---- */

TEST(gmm, separated_blobs_are_recovered)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=k-means++", "init_params=hierarchical"};
    matrix m = blobs(2000, 2, 4, 12, 11);

    for (size_t s = 0; s < 3; s++) {
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
    double w[90];
    matrix m = blobs(90, 2, 2, 6, 9), twice = with_rows_twice(&m, w);
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

TEST(gmm, without_regularisation_singular_covariances_are_reported)
{
    matrix line = rows_on_a_line();
    ml_dataset *data = dataset(NULL, &line);
    ml_model *model = unfitted(NULL, SETTINGS("n_components=2", "reg_covar=0"));

    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_NUMERIC,
                "gmm: the covariance of component 0 is not positive definite: fewer components (n_components is 2), a "
                "larger reg_covar (it is 0) or scaled features would help");
    CHECK(!ml_model_is_fitted(model));
    ml_dataset_free(data);
    ml_model_free(model);
    free(line.X);
}

TEST(gmm, any_scale_is_finite_or_reported)
{
    static const double SCALES[] = {1e-300, 1e-150, 1e-30, 1e30, 1e150, 1e153, 1e200, 1e307};
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=random", "init_params=hierarchical"};

    for (size_t s = 0; s < sizeof SCALES / sizeof *SCALES; s++)
        for (size_t start = 0; start < 3; start++)
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
