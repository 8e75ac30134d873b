/* SPDX-License-Identifier: Apache-2.0 */
/* Models whose outputs are partly labels and partly reals. */
#include "models.h"
#include "tally.h"

enum { N = 60, K = 3 };

/* Frequencies of the classes and mean of the reals, among the rows that have them. */
typedef struct {
    double share[K], mean;
    size_t most;
} truth;

static truth truth_of(const ml_dataset *data, size_t o_labels)
{
    truth t = {.most = 0};
    double labels[N], reals[N], n_labels = 0, n_reals = 0;

    CHECK_OK(ml_dataset_output(data, o_labels, labels, N));
    CHECK_OK(ml_dataset_output(data, 1 - o_labels, reals, N));
    for (size_t i = 0; i < N; i++) {
        if (!isnan(labels[i])) {
            t.share[(size_t)labels[i]]++;
            n_labels++;
        }
        if (!isnan(reals[i])) {
            t.mean += reals[i];
            n_reals++;
        }
    }
    for (size_t k = 0; k < K; k++) {
        t.share[k] /= n_labels;
        t.most = t.share[k] > t.share[t.most] ? k : t.most;
    }
    t.mean /= n_reals;
    return t;
}

static void check_predictions(const ml_model *model, const ml_dataset *data, size_t o_labels, truth t)
{
    double values[2 * N], proba[K * N], decision[K * N], row = 5, out[2];

    CHECK(ml_model_width(model, ML_PREDICT) == 2 && ml_model_width(model, ML_PREDICT_PROBA) == K);
    CHECK(ml_model_n_classes(model, o_labels) == K && ml_model_n_classes(model, 1 - o_labels) == 0);
    CHECK_OK(ml_model_predict(model, data, values, 2 * N));
    CHECK_OK(ml_model_predict_proba(model, data, proba, K * N));
    CHECK_OK(ml_model_decision(model, data, decision, K * N));
    CHECK_SAME_BYTES(proba, sizeof proba, decision, sizeof decision);
    for (size_t i = 0; i < N; i++) {
        CHECK(values[2 * i + o_labels] == (double)t.most && values[2 * i + 1 - o_labels] == t.mean);
        CHECK(!memcmp(proba + K * i, t.share, sizeof t.share));
    }
    CHECK_OK(ml_model_predict_row(model, ML_PREDICT, &row, 1, out, 2, NULL, 0));
    CHECK_SAME_BYTES(out, sizeof out, values, sizeof out);
}

TEST(mixed, labels_and_reals_are_predicted_side_by_side)
{
    for (size_t o_labels = 0; o_labels < 2; o_labels++) {
        ml_dataset *data = mixed_rows(NULL, N, K, o_labels == 1);
        ml_model *model = new_tally(NULL), *copy;
        const truth t = truth_of(data, o_labels);

        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(model->learned->task == ML__MIXED);
        check_predictions(model, data, o_labels, t);
        CHECK_OK(ml_model_clone(model, &copy));
        check_predictions(copy, data, o_labels, t);
        ml_model_free(copy);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(mixed, kinds_that_cannot_say_which_outputs_mix)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model;
    double out[2 * N];

    CHECK_OK(ml_model_create(NULL, "random_forest", &model));
    CHECK_FAILS(
        ml_model_fit(model, data, NULL), ML_E_UNSUPPORTED,
        "random_forest does not learn labels and reals at once: outputs 'kind' and 'size' mix labels and reals");
    CHECK_FAILS(ml_cross_val_predict(model, data, ML_PREDICT, NULL, out, 2 * N), ML_E_UNSUPPORTED, "mix labels");
    ml_model_free(model);
    CHECK_OK(ml_model_create(NULL, "logistic_regression", &model));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_UNSUPPORTED, "learns one output, the data has 2");
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(mixed, pipelines_learn_what_their_last_step_does_and_averages_do_not)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *pipe, *scaler, *average;

    CHECK_OK(ml_model_create(NULL, "pipeline", &pipe));
    CHECK_OK(ml_model_create(NULL, "standard_scaler", &scaler));
    CHECK_OK(ml_model_add_member(pipe, "scale", scaler));
    CHECK_OK(ml_model_add_member(pipe, "tally", new_tally(NULL)));
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    check_predictions(pipe, data, 0, truth_of(data, 0));
    CHECK_OK(ml_model_create(NULL, "weighted_average", &average));
    CHECK_OK(ml_model_add_member(average, "pipe", pipe));
    CHECK_FAILS(ml_model_fit(average, data, NULL), ML_E_UNSUPPORTED, "mix labels and reals");
    ml_model_free(average);
    ml_dataset_free(data);
}

TEST(mixed, transformers_ignore_the_outputs_and_can_be_saved)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *scaler, *loaded;
    size_t n;
    void *bytes;

    CHECK_OK(ml_model_create(NULL, "standard_scaler", &scaler));
    CHECK_OK(ml_model_fit(scaler, data, NULL));
    bytes = test_saved(scaler, &n);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n, NULL, &loaded));
    CHECK(ml_model_width(loaded, ML_TRANSFORM) == 1);
    free(bytes);
    ml_model_free(scaler);
    ml_model_free(loaded);
    ml_dataset_free(data);
}

static double score(const ml_model *model, const ml_dataset *data, const char *metric)
{
    double value;

    CHECK_OK(ml_model_score(model, data, metric, &value));
    return value;
}

TEST(mixed, metrics_see_the_outputs_of_their_sort)
{
    ml_dataset *data = mixed_rows(NULL, N, K, true);
    ml_model *model = new_tally(NULL);
    const truth t = truth_of(data, 1);
    double labels[N], reals[N], squares = 0, n_reals = 0, loss = 0, n_labels = 0;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_dataset_output(data, 0, reals, N));
    CHECK_OK(ml_dataset_output(data, 1, labels, N));
    for (size_t i = 0; i < N; i++) {
        if (!isnan(reals[i])) {
            squares += (reals[i] - t.mean) * (reals[i] - t.mean);
            n_reals++;
        }
        if (!isnan(labels[i])) {
            loss -= log(t.share[(size_t)labels[i]]);
            n_labels++;
        }
    }
    CHECK_CLOSE(score(model, data, NULL), t.share[t.most], 1e-15);
    CHECK_CLOSE(score(model, data, "accuracy"), t.share[t.most], 1e-15);
    CHECK_CLOSE(score(model, data, "f1_micro"), t.share[t.most], 1e-15);
    CHECK_CLOSE(score(model, data, "log_loss"), loss / n_labels, 1e-13);
    CHECK_CLOSE(score(model, data, "mse"), squares / n_reals, 1e-12);
    CHECK_CLOSE(score(model, data, "r2"), 0, 1e-12);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Two label outputs and a real one between them: accuracy is over all labels that are known. */
TEST(mixed, metrics_of_classes_take_all_label_outputs_together)
{
    const double x[4] = {1, 2, 3, 4}, y[4] = {1, 2, 3, NAN};
    const int64_t a[4] = {0, 0, 1, -1}, b[4] = {7, 7, 7, 8};
    ml_dataset *data;
    ml_model *model = new_tally(NULL);

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 4, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_add_labels(data, "a", a, 4, -1));
    CHECK_OK(ml_dataset_add_targets(data, "y", y, 4));
    CHECK_OK(ml_dataset_add_labels(data, "b", b, 4, -1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_CLOSE(score(model, data, "f1_micro"), 5.0 / 7, 1e-15);
    CHECK_CLOSE(score(model, data, "mae"), 2.0 / 3, 1e-15);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(mixed, data_of_another_sort_is_not_scored)
{
    ml_dataset *data = mixed_rows(NULL, N, K, true), *other = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL);
    double out;

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_score(model, other, NULL, &out), ML_E_DATA,
                "'kind' of the data has labels, the model predicts reals");
    CHECK_FAILS(ml_model_score(model, data, "log_likelihood", &out), ML_E_UNSUPPORTED, "score_samples");
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(other);
}

TEST(mixed, cross_validation_works)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL), *pipe;
    double scores[5], values[2 * N], proba[K * N];

    CHECK_OK(ml_cross_validate(model, data, "mae", NULL, scores, 5));
    for (size_t fold = 0; fold < 5; fold++)
        CHECK(scores[fold] > 10 && scores[fold] < 20);
    CHECK_OK(ml_cross_val_predict(model, data, ML_PREDICT, NULL, values, 2 * N));
    CHECK_OK(ml_cross_val_predict(model, data, ML_PREDICT_PROBA, NULL, proba, K * N));
    for (size_t i = 0; i < N; i++) {
        CHECK(values[2 * i] == 0 && values[2 * i + 1] > 20 && values[2 * i + 1] < 40);
        CHECK_CLOSE(proba[K * i] + proba[K * i + 1] + proba[K * i + 2], 1, 1e-15);
    }
    CHECK_OK(ml_model_create(NULL, "pipeline", &pipe));
    CHECK_OK(ml_model_add_member(pipe, "tally", model));
    CHECK_OK(ml_cross_validate(pipe, data, NULL, NULL, scores, 5));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

TEST(mixed, is_described)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false);
    ml_model *model = new_tally(NULL);
    char text[1024];

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_describe(model, text, sizeof text, NULL));
    CHECK_MSG(
        strstr(text, "fitted to classify and predict values: 1 feature (x0); kind: 3 classes (0, 1, 2); size: real"),
        "%s", text);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* What a loader asks, of a state as a file would give it. */
TEST(mixed, a_task_that_does_not_fit_the_outputs_is_refused)
{
    ml_dataset *data = mixed_rows(NULL, N, K, false), *iris = test_table(NULL, "iris");
    ml_model *model = new_tally(NULL), *tree;

    CHECK_OK(ml_model_fit(model, data, NULL));
    model->learned->task = ML__CLASSIFY;
    CHECK_REFUSED(model, "task does not fit its outputs");
    model->learned->task = ML__REGRESS;
    CHECK_REFUSED(model, "task does not fit its outputs");
    model->learned->task = ML__MIXED;
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    CHECK_OK(ml_model_create(NULL, "decision_tree", &tree));
    CHECK_OK(ml_model_fit(tree, iris, NULL));
    tree->learned->task = ML__MIXED;
    CHECK_REFUSED(tree, "its task is none that it can learn");
    ml_model_free(tree);
    ml_dataset_free(data);
    ml_dataset_free(iris);
}
