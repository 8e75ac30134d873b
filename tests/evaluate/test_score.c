/* SPDX-License-Identifier: Apache-2.0 */
/* ml_model_score and cross-validation, on a kind whose predictions are known in closed form. */
#include <float.h>
#include <math.h>

#include "model/model.h"
#include "test.h"

/*
 * The toy learns the share of each class, or the mean of each output. It predicts the shares of an output in order for
 * rows with x0 >= 0 and in reverse for others; the mean times x0; and minus x0 as log-density, infinite from 1e306 on.
 */
static ml_status toy_fit(ml__fit *f)
{
    const double *w = ml__fit_weights(f);
    const size_t width = f->task == ML__CLASSIFY  ? ml__schema_width(f->schema)
                         : f->task == ML__REGRESS ? f->n_outputs
                                                  : 1;
    double *value, total = 0;
    size_t first = 0;
    ml_status st;

    if (!w)
        return ML_E_MEMORY;
    ML__PUBLISH(f, value, "value", ML_FLOAT64, width);
    for (size_t i = 0; i < f->n; i++)
        total += w[i];
    for (size_t o = 0; o < f->n_outputs && f->task == ML__CLASSIFY; first += f->schema->outputs[o++].n_classes) {
        const int32_t *labels = ml__fit_labels(f, o);
        if (!labels)
            return ML_E_MEMORY;
        for (size_t i = 0; i < f->n; i++)
            value[first + (size_t)labels[i]] += w[i] / total;
    }
    if (f->task == ML__REGRESS) {
        const double *y = ml__fit_targets(f);
        if (!y)
            return ML_E_MEMORY;
        for (size_t i = 0; i < f->n * width; i++)
            value[i % width] += w[i / width] / total * y[i];
    }
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

static const double *toy_value(const ml_model *model)
{
    return ml__tensor_data(model->learned, "value");
}

static ml_status toy_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__schema *schema = &model->learned->schema;

    (void)scratch;
    for (size_t i = 0; i < x->n; i++) {
        const double *value = toy_value(model);
        for (size_t o = 0; o < schema->n_outputs; o++) {
            const size_t K = schema->outputs[o].n_classes;
            for (size_t c = 0; c < K; c++)
                *out++ = value[x->f64[i * x->d] >= 0 ? c : K - 1 - c];
            value += K;
        }
    }
    return ML_OK;
}

static ml_status toy_values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        for (size_t o = 0; o < model->learned->schema.n_outputs; o++)
            *out++ = toy_value(model)[o] * x->f64[i * x->d];
    return ML_OK;
}

static ml_status toy_score(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    (void)model;
    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        out[i] = -x->f64[i * x->d] * (fabs(x->f64[i * x->d]) < 1e306 ? 1 : 1000);
    return ML_OK;
}

static ml_status toy_check(const ml_model *model)
{
    return *(const int64_t *)model->params ? ml__fail(ML_E_PARAMETER, "toy: refuse is set") : ML_OK;
}

typedef struct toy_params {
    int64_t refuse;
} toy_params;

static const ml__param TOY_PARAMS[] = {
    ML__BOOL(toy_params, refuse, "false", "parameters that do not go together"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TOY_TENSORS[] = {{"value", ML_FLOAT64, "*", ML__FINITE}, {NULL, 0, NULL, 0}};

static const ml__kind TOY = {
    .name = "toy",
    .tasks = ML__CLASSIFY | ML__REGRESS | ML__UNSUPERVISED,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT,
    .real = ML_FLOAT64,
    .params = TOY_PARAMS,
    .params_size = sizeof(toy_params),
    .tensors = TOY_TENSORS,
    .fit = toy_fit,
    .check = toy_check,
    .proba = toy_proba,
    .values = toy_values,
    .score_samples = toy_score,
};

static ml_model *toy(ml_context *context)
{
    ml_model *model;

    CHECK_OK(ml__model_new(context, &TOY, &model));
    return model;
}

/* One feature: x0 = (i mod 5) - 2. */
static ml_dataset *rows(ml_context *context, size_t n)
{
    double x[64];
    ml_dataset *data;

    CHECK(n <= 64);
    for (size_t i = 0; i < n; i++)
        x[i] = (double)(i % 5) - 2;
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, 1, 0, 0, ML_COPY, &data));
    return data;
}

/* Labels i^2 mod 7 (four values) and i mod 2, some of them missing, and weights. */
static ml_dataset *two_label_outputs(size_t n)
{
    ml_dataset *data = rows(NULL, n);
    int64_t labels[64];
    double w[64];

    for (size_t i = 0; i < n; i++) {
        labels[i] = i % 9 == 4 ? -1 : (int64_t)(i * i % 7);
        w[i] = 0.25 * (double)(1 + i % 3);
    }
    CHECK_OK(ml_dataset_set_labels(data, "a", labels, n, -1));
    for (size_t i = 0; i < n; i++)
        labels[i] = i % 11 == 3 ? -1 : (int64_t)(i % 2);
    CHECK_OK(ml_dataset_add_labels(data, "b", labels, n, -1));
    CHECK_OK(ml_dataset_set_weights(data, w, n));
    return data;
}

/* ---- score ---- */

TEST(score, class_metrics_are_those_of_the_predictions)
{
    enum { N = 50 };
    static const size_t K[] = {4, 2};
    ml_dataset *data = two_label_outputs(N);
    ml_model *model = toy(NULL);
    double y[2 * N], p[2 * N], w[N], column[N], got;
    ml_classification_metrics m = {.struct_size = sizeof m};
    const ml_classification_options options = {.struct_size = sizeof options, .weights = w};

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict(model, data, p, 2 * N));
    CHECK_OK(ml_dataset_weights(data, w, N));
    for (size_t o = 0; o < 2; o++) {
        CHECK_OK(ml_dataset_output(data, o, column, N));
        for (size_t i = 0; i < N; i++)
            y[2 * i + o] = column[i];
    }
    CHECK_OK(ml_metrics_multioutput(NULL, y, p, N, 2, K, &options, &m));
    const struct {
        const char *name;
        double want;
    } cases[] = {
        {NULL, m.accuracy},
        {"accuracy", m.accuracy},
        {"precision_micro", m.micro.precision},
        {"precision_macro", m.macro.precision},
        {"precision_weighted", m.weighted.precision},
        {"recall_micro", m.micro.recall},
        {"recall_macro", m.macro.recall},
        {"recall_weighted", m.weighted.recall},
        {"f1_micro", m.micro.f_score},
        {"f1_macro", m.macro.f_score},
        {"f1_weighted", m.weighted.f_score},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CHECK_OK(ml_model_score(model, data, cases[c].name, &got));
        CHECK_SAME_BYTES(&got, sizeof got, &cases[c].want, sizeof got);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(score, log_loss_is_the_mean_over_outputs_of_known_labels)
{
    enum { N = 50 };
    ml_dataset *data = two_label_outputs(N);
    ml_model *model = toy(NULL);
    double proba[6 * N], w[N], y[N], want = 0, got;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_predict_proba(model, data, proba, 6 * N));
    CHECK_OK(ml_dataset_weights(data, w, N));
    for (size_t o = 0; o < 2; o++) {
        double loss = 0, total = 0;
        CHECK_OK(ml_dataset_output(data, o, y, N));
        for (size_t i = 0; i < N; i++) {
            if (isnan(y[i]))
                continue;
            loss -= w[i] * log(proba[6 * i + 4 * o + (size_t)y[i]]);
            total += w[i];
        }
        want += loss / total / 2;
    }
    CHECK_OK(ml_model_score(model, data, "log_loss", &got));
    CHECK_CLOSE(got, want, 1e-14);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(score, classes_are_matched_by_name)
{
    const int64_t train_labels[] = {10, 20, 20, 30, 20}, test_labels[] = {20, 30, 40, 20};
    const double x[] = {1, 2, 3, 4}; /* the toy says 20 everywhere */
    ml_dataset *train = rows(NULL, 5), *test;
    ml_model *model = toy(NULL);
    double got;

    CHECK_OK(ml_dataset_set_labels(train, "y", train_labels, 5, -1));
    CHECK_OK(ml_model_fit(model, train, NULL));
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 4, 1, 0, 0, ML_COPY, &test));
    CHECK_OK(ml_dataset_set_labels(test, "y", test_labels, 4, -1));
    CHECK_OK(ml_model_score(model, test, "accuracy", &got));
    CHECK(got == 0.5);
    CHECK_OK(ml_model_score(model, test, "recall_macro", &got));
    CHECK_CLOSE(got, 1.0 / 3, 1e-15); /* of 20, 30 and 40 */
    CHECK_FAILS(ml_model_score(model, test, "log_loss", &got), ML_E_DATA,
                "output 'y' of the data has a class that the model never saw");
    CHECK_OK(ml_dataset_set_labels(test, "y", test_labels, 4, 40));
    CHECK_OK(ml_model_score(model, test, "log_loss", &got));
    CHECK_CLOSE(got, -(2 * log(0.6) + log(0.2)) / 3, 1e-15);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(test);
}

TEST(score, regression_metrics_skip_missing_values)
{
    enum { N = 20 };
    static const char *const NAMES[] = {NULL, "r2", "mse", "rmse", "mae"};
    double y[2][N], known[2][N], p[2 * N], p_known[N], want[5] = {0}, got;
    ml_dataset *data = rows(NULL, N), *whole = rows(NULL, N);
    ml_model *model = toy(NULL);

    for (size_t i = 0; i < N; i++) {
        y[0][i] = (double)(3 * i);
        y[1][i] = 7 - (double)i;
    }
    CHECK_OK(ml_dataset_set_targets(whole, "a", y[0], N));
    CHECK_OK(ml_dataset_add_targets(whole, "b", y[1], N));
    CHECK_OK(ml_model_fit(model, whole, NULL));
    y[0][3] = y[1][0] = y[1][19] = NAN;
    CHECK_OK(ml_dataset_set_targets(data, "a", y[0], N));
    CHECK_OK(ml_dataset_add_targets(data, "b", y[1], N));
    CHECK_OK(ml_model_predict(model, data, p, 2 * N));
    for (size_t o = 0; o < 2; o++) {
        ml_regression_metrics m = {.struct_size = sizeof m};
        size_t n = 0;
        for (size_t i = 0; i < N; i++)
            if (!isnan(y[o][i])) {
                known[o][n] = y[o][i];
                p_known[n++] = p[2 * i + o];
            }
        CHECK_OK(ml_metrics_regression(known[o], p_known, NULL, n, 1, &m));
        const double numbers[] = {m.r2, m.r2, m.mse, m.rmse, m.mae};
        for (size_t c = 0; c < 5; c++)
            want[c] += numbers[c] / 2;
    }
    for (size_t c = 0; c < 5; c++) {
        CHECK_OK(ml_model_score(model, data, NAMES[c], &got));
        CHECK_CLOSE(got, want[c], 1e-15);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(whole);
}

TEST(score, log_likelihood_is_the_weighted_mean)
{
    const double w[] = {1, 0, 0, 2, 1};
    ml_dataset *data = rows(NULL, 5);
    ml_model *model = toy(NULL);
    double got;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_score(model, data, NULL, &got));
    CHECK(got == 0);
    CHECK_OK(ml_dataset_set_weights(data, w, 5));
    CHECK_OK(ml_model_score(model, data, "log_likelihood", &got));
    CHECK_CLOSE(got, -(-2.0 + 2 * 1 + 2) / 4, 1e-15);
    ml_model_free(model);
    ml_dataset_free(data);
}

static ml_status score_of_rows(const ml_model *model, const double *x, size_t n, double *out)
{
    ml_dataset *data;
    ml_status st;

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, n, 1, 0, 0, ML_COPY, &data));
    st = ml_model_score(model, data, NULL, out);
    ml_dataset_free(data);
    return st;
}

TEST(score, log_likelihood_is_finite_or_refused)
{
    const double some[] = {1, 1e307, 3}, both[] = {1e307, -1e307};
    ml_dataset *data = rows(NULL, 5);
    ml_model *model = toy(NULL), *kmeans;
    double far[64], got = -7;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(score_of_rows(model, some, 3, &got), ML_E_NUMERIC,
                "toy: the mean of what score_samples gives for 3 rows is not finite");
    CHECK_FAILS(score_of_rows(model, both, 2, &got), ML_E_NUMERIC, "for 2 rows is not finite");
    CHECK(got == -7);
    CHECK_OK(ml_model_create(NULL, "kmeans", &kmeans));
    CHECK_OK(ml_model_set_int(kmeans, "n_clusters", 2));
    CHECK_OK(ml_model_fit(kmeans, data, NULL));
    for (size_t i = 0; i < 64; i++)
        far[i] = 1e200;
    for (size_t n = 1; n <= 64; n++) { /* whatever 1/n rounds to */
        CHECK_OK(score_of_rows(kmeans, far, n, &got));
        CHECK(got <= -0.999 * DBL_MAX && got >= -DBL_MAX);
    }
    ml_model_free(kmeans);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(score, what_cannot_be_scored_is_told)
{
    const int64_t labels[] = {0, 1, 1, 0, 1};
    const double values[] = {1, 2, 3, 4, 5}, missing[] = {NAN, NAN, 1, NAN, NAN};
    const size_t first_rows[] = {0, 1};
    ml_dataset *plain = rows(NULL, 5), *classes = rows(NULL, 5), *reals = rows(NULL, 5), *two = rows(NULL, 5), *part;
    ml_model *model = toy(NULL), *fresh = toy(NULL);
    double got = -7;

    CHECK_OK(ml_dataset_set_labels(classes, "y", labels, 5, -1));
    CHECK_OK(ml_dataset_set_targets(reals, "y", values, 5));
    CHECK_OK(ml_dataset_set_labels(two, "y", labels, 5, -1));
    CHECK_OK(ml_dataset_add_labels(two, "z", labels, 5, -1));
    CHECK_FAILS(ml_model_score(fresh, classes, NULL, &got), ML_E_STATE, "toy is not fitted");
    CHECK_OK(ml_model_fit(model, classes, NULL));
    CHECK_FAILS(ml_model_score(NULL, classes, NULL, &got), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_score(model, NULL, NULL, &got), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_model_score(model, classes, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_score(model, classes, "accurracy", &got), ML_E_ARGUMENT,
                "there is no metric 'accurracy'; there are: accuracy, log_loss, precision_micro");
    CHECK(strstr(ml_last_error(), "f1_weighted, mse, rmse, mae, r2, log_likelihood"));
    CHECK_FAILS(ml_model_score(model, plain, NULL, &got), ML_E_DATA, "the data has no output");
    CHECK_FAILS(ml_model_score(model, two, NULL, &got), ML_E_SHAPE, "the data has 2 outputs, the model 1");
    CHECK_FAILS(ml_model_score(model, reals, NULL, &got), ML_E_DATA,
                "output 'y' of the data has reals, the model predicts classes");
    CHECK_FAILS(ml_model_score(model, classes, "rmse", &got), ML_E_UNSUPPORTED,
                "predicts reals, this toy was fitted to labels");
    CHECK_OK(ml_dataset_set_targets(reals, "y", missing, 5));
    CHECK_OK(ml_model_fit(model, reals, NULL));
    CHECK_OK(ml_dataset_subset(reals, first_rows, 2, &part));
    CHECK_FAILS(ml_model_score(model, part, NULL, &got), ML_E_DATA, "the data has no value to score against");
    CHECK_FAILS(ml_model_score(model, reals, "f1_micro", &got), ML_E_UNSUPPORTED,
                "predicts classes, this toy was fitted to reals");
    CHECK(got == -7);
    ml_dataset_free(part);
    ml_dataset_free(plain);
    ml_dataset_free(classes);
    ml_dataset_free(reals);
    ml_dataset_free(two);
    ml_model_free(model);
    ml_model_free(fresh);
}

/* ---- cross-validation ---- */

static ml_dataset *unbalanced(ml_context *context) /* 30 rows of class 0, 10 of class 1, x0 = 1 */
{
    double x[40];
    int64_t labels[40];
    ml_dataset *data;

    for (size_t i = 0; i < 40; i++) {
        x[i] = 1;
        labels[i] = i % 4 == 0;
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, 40, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, "y", labels, 40, -1));
    return data;
}

TEST(cross_validate, a_constant_classifier_scores_the_majority_share)
{
    ml_dataset *data = unbalanced(NULL);
    ml_model *model = toy(NULL), *tree;
    const ml_cv_options ten = {.struct_size = sizeof ten, .n_folds = 10, .seed = 3};
    double scores[10];

    CHECK_OK(ml_cross_validate(model, data, NULL, NULL, scores, 5));
    for (size_t fold = 0; fold < 5; fold++)
        CHECK(scores[fold] == 0.75);
    CHECK_OK(ml_cross_validate(model, data, "recall_macro", &ten, scores, 10));
    for (size_t fold = 0; fold < 10; fold++)
        CHECK(scores[fold] == 0.5);
    CHECK(!ml_model_is_fitted(model));
    CHECK_OK(ml_model_create(NULL, "decision_tree", &tree));
    CHECK_OK(ml_cross_validate(tree, data, "f1_micro", NULL, scores, 5));
    for (size_t fold = 0; fold < 5; fold++)
        CHECK(scores[fold] == 0.75);
    ml_model_free(tree);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(cross_validate, scores_are_those_of_the_folds)
{
    ml_dataset *data = rows(NULL, 41), *train, *test;
    ml_model *model = toy(NULL);
    const ml_cv_options options = {.struct_size = sizeof options, .n_folds = 4, .seed = 9, .flags = ML_ORDERED};
    double y[41], scores[4], want;

    for (size_t i = 0; i < 41; i++)
        y[i] = (double)(i * i % 13);
    CHECK_OK(ml_dataset_set_targets(data, "y", y, 41));
    CHECK_OK(ml_cross_validate(model, data, "rmse", &options, scores, 4));
    for (size_t fold = 0; fold < 4; fold++) {
        CHECK_OK(ml_dataset_fold(data, 4, fold, 9, ML_ORDERED, &train, &test));
        CHECK_OK(ml_model_fit(model, train, NULL));
        CHECK_OK(ml_model_score(model, test, "rmse", &want));
        CHECK(scores[fold] == want);
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(cross_validate, leaving_one_out_predicts_from_all_others)
{
    enum { N = 17 };
    ml_dataset *data = rows(NULL, N);
    ml_model *model = toy(NULL);
    const ml_cv_options options = {.struct_size = sizeof options, .n_folds = N, .seed = 5};
    double y[N], out[N], sum = 0;

    for (size_t i = 0; i < N; i++)
        sum += y[i] = (double)(1 << i);
    CHECK_OK(ml_dataset_set_targets(data, "y", y, N));
    CHECK_OK(ml_cross_val_predict(model, data, ML_PREDICT, &options, out, N));
    for (size_t i = 0; i < N; i++)
        CHECK_CLOSE(out[i], (sum - y[i]) / (N - 1) * ((double)(i % 5) - 2), 1e-13);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(cross_validate, each_row_is_predicted_without_its_fold)
{
    /* 40 rows, 5 stratified folds of 8: every model learns from 24 and 8 rows */
    ml_dataset *data = unbalanced(NULL);
    ml_model *model = toy(NULL);
    double proba[80], label[40];

    CHECK_OK(ml_cross_val_predict(model, data, ML_PREDICT_PROBA, NULL, proba, 80));
    CHECK_OK(ml_cross_val_predict(model, data, ML_PREDICT, NULL, label, 40));
    for (size_t i = 0; i < 40; i++) {
        CHECK_CLOSE(proba[2 * i], 0.75, 1e-14);
        CHECK_CLOSE(proba[2 * i + 1], 0.25, 1e-14);
        CHECK(label[i] == 0);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(cross_validate, a_density_is_scored_without_outputs)
{
    ml_dataset *data = rows(NULL, 50);
    ml_model *model, *mixture;
    double scores[5];

    model = toy(NULL);
    CHECK_OK(ml_model_create(NULL, "gmm", &mixture));
    CHECK_OK(ml_cross_validate(model, data, NULL, NULL, scores, 5));
    CHECK_CLOSE(scores[0] + scores[1] + scores[2] + scores[3] + scores[4], 0, 1e-14);
    CHECK_OK(ml_cross_validate(mixture, data, "log_likelihood", NULL, scores, 5));
    for (size_t fold = 0; fold < 5; fold++)
        CHECK(scores[fold] < -1 && scores[fold] > -3);
    ml_model_free(mixture);
    ml_model_free(model);
    ml_dataset_free(data);
}

typedef struct watch {
    size_t n, stop_at;
    char stage[64];
} watch;

static int32_t look(void *user, const ml_progress *p)
{
    watch *w = user;

    snprintf(w->stage, sizeof w->stage, "%s", p->stage);
    return ++w->n == w->stop_at;
}

TEST(cross_validate, the_monitor_sees_folds_and_may_cancel)
{
    ml_dataset *data = unbalanced(NULL);
    ml_model *model = toy(NULL);
    char want[64];

    for (size_t stop_at = 1; stop_at <= 6; stop_at++) {
        watch w = {.stop_at = stop_at};
        const ml_cv_options options = {.struct_size = sizeof options, .monitor = look, .monitor_user = &w};
        double scores[5] = {-1, -1, -1, -1, -1}, out[40] = {-1};
        const ml_status st = ml_cross_validate(model, data, NULL, &options, scores, 5);
        const size_t fold = stop_at < 5 ? stop_at : 5;

        CHECK(st == (stop_at <= 5 ? ML_E_CANCELLED : ML_OK));
        CHECK(w.n == fold && (scores[0] == -1) == (stop_at <= 5));
        snprintf(want, sizeof want, "cross_validate/fold %zu", fold);
        CHECK_MSG(!strcmp(w.stage, want), "%s", w.stage);

        w = (watch){.stop_at = stop_at};
        CHECK(ml_cross_val_predict(model, data, ML_PREDICT, &options, out, 40) == st);
        CHECK(w.n == fold && (out[0] == -1) == (stop_at <= 5));
        snprintf(want, sizeof want, "cross_val_predict/fold %zu", fold);
        CHECK_MSG(!strcmp(w.stage, want), "%s", w.stage);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(cross_validate, wrong_requests_are_told)
{
    ml_dataset *data = unbalanced(NULL), *plain = rows(NULL, 10);
    ml_model *model = toy(NULL), *mixture;
    ml_cv_options options = {.struct_size = sizeof options, .n_folds = 41};
    double scores[41], out[80];

    CHECK_OK(ml_model_create(NULL, "gmm", &mixture));
    CHECK_FAILS(ml_cross_validate(NULL, data, NULL, NULL, scores, 5), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_cross_validate(model, NULL, NULL, NULL, scores, 5), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_cross_validate(model, data, NULL, NULL, NULL, 5), ML_E_ARGUMENT, "scores is NULL");
    CHECK_FAILS(ml_cross_validate(model, data, NULL, NULL, scores, 4), ML_E_SHAPE,
                "scores has 4 elements, there are 5 folds");
    CHECK_FAILS(ml_cross_validate(model, data, "f2", NULL, scores, 5), ML_E_ARGUMENT, "there is no metric 'f2'");
    CHECK_FAILS(ml_cross_validate(model, data, NULL, &options, scores, 41), ML_E_ARGUMENT, "");
    options.struct_size = 1;
    CHECK_FAILS(ml_cross_validate(model, data, NULL, &options, scores, 5), ML_E_ARGUMENT, "ml_cv_options");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_PREDICT, NULL, NULL, 40), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_PREDICT, NULL, out, 41), ML_E_SHAPE,
                "out has 41 elements, 40 rows give 1 each");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_TRANSFORM, NULL, out, 40), ML_E_ARGUMENT,
                "expected ML_PREDICT or ML_PREDICT_PROBA");
    CHECK_FAILS(ml_cross_val_predict(model, plain, ML_PREDICT, NULL, out, 10), ML_E_DATA, "no output to predict");
    CHECK_FAILS(ml_cross_val_predict(mixture, data, ML_PREDICT, NULL, out, 40), ML_E_UNSUPPORTED,
                "gmm does not learn labels such as output 'y'");
    CHECK_OK(ml_model_set_text(model, "refuse", "true"));
    CHECK_FAILS(ml_cross_validate(model, data, NULL, NULL, scores, 5), ML_E_PARAMETER, "toy: refuse is set");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_PREDICT, NULL, out, 40), ML_E_PARAMETER, "toy: refuse is set");
    ml_model_free(mixture);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(plain);
}

typedef struct cross_validation {
    const ml_dataset *data;
    const ml_model *model;
    bool predict;
} cross_validation;

static ml_status cross_validate_again(ml_context *context, void *argument)
{
    const cross_validation *c = argument;
    double scores[5] = {-1}, out[40] = {-1};
    const ml_status st = c->predict ? ml_cross_val_predict(c->model, c->data, ML_PREDICT, NULL, out, 40)
                                    : ml_cross_validate(c->model, c->data, NULL, NULL, scores, 5);

    (void)context;
    CHECK(st == ML_OK || (scores[0] == -1 && out[0] == -1));
    return st;
}

TEST(cross_validate, every_allocation_may_fail)
{
    test_allocator a = {0};
    ml_context *context = test_context(&a, 1);
    ml_dataset *data = unbalanced(context);
    ml_model *model = toy(context);

    for (int predict = 0; predict < 2; predict++) {
        cross_validation c = {data, model, predict};

        CHECK(test_failing_allocations(&a, context, "cross-validation", cross_validate_again, &c) >= 20);
    }
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(a.n_live == 0);
}
