/* SPDX-License-Identifier: Apache-2.0 */
/* The classifier of Gaussian mixtures: discriminant analysis in closed form, priors, classes without rows, files. */
#include "gmm_toys.h"

static ml_model *classifier(const char *const *settings)
{
    ml_model *model;
    char name[64];

    CHECK_OK(ml_model_create(NULL, "gmm_classifier", &model));
    for (; settings && *settings; settings++) {
        const char *value = strchr(*settings, '=');
        snprintf(name, sizeof name, "%.*s", (int)(value - *settings), *settings);
        CHECK_OK(ml_model_set_text(model, name, value + 1));
    }
    return model;
}

/* One component per class: ln P + ln N of the class's own moments. */
TEST(gmm_classifier, one_component_is_quadratic_discriminant_analysis)
{
    for (int uniform_priors = 0; uniform_priors < 2; uniform_priors++) {
        ml_dataset *data = test_table(NULL, "iris");
        ml_model *model = classifier(
            SETTINGS("covariance_type=diag", "reg_covar=0", uniform_priors ? "priors=uniform" : "priors=data"));
        double x[4], out[3], mean[3][4] = {{0}}, square[3][4] = {{0}}, n[3] = {0}, label[150], accuracy;

        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED);
        CHECK_OK(ml_dataset_output(data, 0, label, 150));
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < 150; i++) {
                const size_t k = (size_t)label[i];
                CHECK_OK(ml_dataset_row(data, i, x, 4));
                n[k] += !pass;
                for (size_t j = 0; j < 4; j++) {
                    mean[k][j] += pass ? 0 : x[j] / 50;
                    square[k][j] += pass ? (x[j] - mean[k][j]) * (x[j] - mean[k][j]) / 50 : 0;
                }
            }
        for (size_t i = 0; i < 150; i += 7) {
            CHECK_OK(ml_dataset_row(data, i, x, 4));
            CHECK_OK(ml_model_predict_row(model, ML_DECISION, x, 4, out, 3, NULL, 0));
            for (size_t k = 0; k < 3; k++) {
                double want = log(1.0 / 3);
                for (size_t j = 0; j < 4; j++)
                    want -= 0.5 * log(2 * 3.14159265358979323846 * square[k][j]) +
                            (x[j] - mean[k][j]) * (x[j] - mean[k][j]) / (2 * square[k][j]);
                CHECK_CLOSE(out[k], want, 1e-10 * fabs(want));
            }
        }
        CHECK_OK(ml_model_score(model, data, "accuracy", &accuracy));
        CHECK(accuracy > 0.94);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(gmm_classifier, priors_weigh_the_classes)
{
    double X[60];
    int64_t labels[60];
    uint64_t state = 5;
    for (size_t i = 0; i < 60; i++) {
        labels[i] = i % 4 == 0;
        X[i] = normal(&state) + (double)labels[i];
    }
    ml_dataset *data;
    CHECK_OK(ml_dataset_from_matrix(NULL, X, ML_FLOAT64, 60, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, "class", labels, 60, -9));
    ml_model *shares = classifier(NULL), *equal = classifier(SETTINGS("priors=uniform"));
    const double x = 0.5;
    double a[2], b[2];

    CHECK_OK(ml_model_fit(shares, data, NULL));
    CHECK_OK(ml_model_fit(equal, data, NULL));
    CHECK_OK(ml_model_predict_row(shares, ML_DECISION, &x, 1, a, 2, NULL, 0));
    CHECK_OK(ml_model_predict_row(equal, ML_DECISION, &x, 1, b, 2, NULL, 0));
    CHECK_CLOSE(a[0] - b[0], log(0.75 / 0.5), 1e-13);
    CHECK_CLOSE(a[1] - b[1], log(0.25 / 0.5), 1e-13);
    ml_model_free(shares);
    ml_model_free(equal);
    ml_dataset_free(data);
}

/* Two rings of blobs: one Gaussian for each class cannot tell them apart, four can. */
TEST(gmm_classifier, several_components_find_classes_of_several_parts)
{
    double X[800], accuracy[2];
    int64_t labels[400];
    uint64_t state = 2;
    for (size_t i = 0; i < 400; i++) {
        const size_t corner = i % 4;
        labels[i] = corner == 0 || corner == 3; /* exclusive or */
        X[2 * i] = normal(&state) + 6 * (double)(corner & 1);
        X[2 * i + 1] = normal(&state) + 6 * (double)(corner >> 1);
    }
    ml_dataset *data;
    CHECK_OK(ml_dataset_from_matrix(NULL, X, ML_FLOAT64, 400, 2, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, "class", labels, 400, -9));
    for (size_t s = 0; s < 2; s++) {
        ml_model *model = classifier(SETTINGS("covariance_type=spherical", s ? "n_components=2" : "n_components=1"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_score(model, data, "accuracy", &accuracy[s]));
        ml_model_free(model);
    }
    CHECK(accuracy[0] < 0.8 && accuracy[1] > 0.98);
    ml_dataset_free(data);
}

TEST(gmm_classifier, a_class_without_rows_is_never_predicted)
{
    ml_dataset *data = test_table(NULL, "iris"), *two;
    size_t rows[100];
    double proba[3], decision[3];
    const double far[4] = {1e200, -1e200, 0, 1};
    ml_model *model = classifier(SETTINGS("n_components=2")), *loaded;
    size_t n_bytes;

    for (size_t i = 0; i < 100; i++)
        rows[i] = i < 50 ? i : i + 50; /* without the second class */
    CHECK_OK(ml_dataset_subset(data, rows, 100, &two));
    CHECK_OK(ml_model_fit(model, two, NULL));
    void *bytes = test_saved(model, &n_bytes);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    for (size_t i = 0; i < 2; i++) {
        const double *x = far;
        double row[4];
        if (i) {
            CHECK_OK(ml_dataset_row(data, 75, row, 4));
            x = row;
        }
        CHECK_OK(ml_model_predict_row(loaded, ML_PREDICT_PROBA, x, 4, proba, 3, NULL, 0));
        CHECK_OK(ml_model_predict_row(loaded, ML_DECISION, x, 4, decision, 3, NULL, 0));
        CHECK(proba[1] == 0 && isfinite(decision[0]) && isfinite(decision[1]) && isfinite(decision[2]));
        CHECK_CLOSE(proba[0] + proba[2], 1, 1e-15);
    }
    free(bytes);
    ml_model_free(loaded);
    ml_model_free(model);
    ml_dataset_free(two);
    ml_dataset_free(data);
}

TEST(gmm_classifier, a_class_that_is_too_small_is_named)
{
    ml_dataset *data = test_table(NULL, "iris"), *few;
    size_t rows[53];
    ml_model *model = classifier(SETTINGS("n_components=4"));

    for (size_t i = 0; i < 53; i++)
        rows[i] = i;
    CHECK_OK(ml_dataset_subset(data, rows, 53, &few));
    CHECK_FAILS(ml_model_fit(model, few, NULL), ML_E_DATA,
                "gmm_classifier: versicolor: gmm: n_components is 4, the data has 3 rows");
    ml_model_free(model);
    ml_dataset_free(few);
    ml_dataset_free(data);
}
