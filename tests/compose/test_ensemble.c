/* SPDX-License-Identifier: Apache-2.0 */
#include "../learn/helpers.h"
#include "compose/simplex.h"
#include "model/model.h"

static ml_ensemble *new_ensemble(ml_context *context)
{
    ml_ensemble *ensemble;

    CHECK_OK(ml_ensemble_create(context, &ensemble));
    return ensemble;
}

static ml_model *add(ml_ensemble *ensemble, const char *name, const char *kind, double weight)
{
    ml_model *member = new_model(NULL, kind);

    CHECK_OK(ml_ensemble_add(ensemble, name, member, weight));
    return member;
}

static void fit(ml_ensemble *ensemble, const ml_dataset *data)
{
    CHECK_OK(ml_model_fit(ml_ensemble_model(ensemble), data, NULL));
}

/* ---- the average ---- */

TEST(ensemble, averages_probabilities_with_the_given_weights)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    const ml_model *model = ml_ensemble_model(ensemble);
    double *all, *a, *b, weights[3], total;
    size_t n;

    add(ensemble, "line", "logistic_regression", 3);
    CHECK_OK(ml_model_set_int(add(ensemble, "tree", "decision_tree", 1), "max_depth", 2));
    add(ensemble, "unused", "logistic_regression", 0);
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 3));
    CHECK(weights[0] == 0.75 && weights[1] == 0.25 && weights[2] == 0);
    all = outputs_of(model, iris, ML_PREDICT_PROBA, &n);
    a = outputs_of(ml_model_member(model, 0), iris, ML_PREDICT_PROBA, &n);
    b = outputs_of(ml_model_member(model, 1), iris, ML_PREDICT_PROBA, &n);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(all[i], 0.75 * a[i] + 0.25 * b[i], 1e-16);
    for (size_t i = 0; i < n; i += 3) {
        total = all[i] + all[i + 1] + all[i + 2];
        CHECK_CLOSE(total, 1, 1e-14);
    }
    CHECK(ml_model_width(model, ML_PREDICT) == 1 && ml_model_width(model, ML_DECISION) == 0);
    free(all);
    free(a);
    free(b);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

TEST(ensemble, averages_values_of_several_outputs)
{
    ml_dataset *boston = test_table(NULL, "boston");
    ml_model *model = new_model(NULL, "weighted_average");
    double y[506], *all, *a, *b;
    size_t n;

    CHECK_OK(ml_dataset_output(boston, 0, y, 506));
    for (int i = 0; i < 506; i++)
        y[i] = sqrt(y[i]);
    CHECK_OK(ml_dataset_add_targets(boston, "root", y, 506));
    CHECK_OK(ml_model_set_text(model, "weights", "uniform"));
    add_member(model, "line", "linear_regression");
    CHECK_OK(ml_model_set_real(add_member(model, "ridge", "linear_regression"), "alpha", 1e4));
    CHECK_OK(ml_model_fit(model, boston, NULL));
    all = outputs_of(model, boston, ML_PREDICT, &n);
    CHECK(n == 1012);
    a = outputs_of(ml_model_member(model, 0), boston, ML_PREDICT, &n);
    b = outputs_of(ml_model_member(model, 1), boston, ML_PREDICT, &n);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(all[i], (a[i] + b[i]) / 2, 1e-15);
    free(all);
    free(a);
    free(b);
    /* cross-validated weights of two outputs */
    CHECK_OK(ml_model_set_text(model, "weights", "auto"));
    CHECK_OK(ml_model_fit(model, boston, NULL));
    CHECK_CLOSE(reals_of(model, "weights")[0] + reals_of(model, "weights")[1], 1, 1e-15);
    ml_model_free(model);
    ml_dataset_free(boston);
}

TEST(ensemble, rows_are_independent_of_each_other)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_ensemble *ensemble = new_ensemble(NULL);

    add(ensemble, "line", "logistic_regression", 1.5);
    add_member(add(ensemble, "pipe", "pipeline", 0.7), "tree", "decision_tree");
    fit(ensemble, wine);
    check_rows_alone(ml_ensemble_model(ensemble), wine, ML_PREDICT_PROBA, 1);
    ml_ensemble_free(ensemble);
    ml_dataset_free(wine);
}

TEST(ensemble, members_are_fitted_as_if_alone)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_ensemble *ensemble = new_ensemble(NULL);
    ml_model *alone = new_model(NULL, "random_forest");
    double *a, *b;
    size_t n, m;

    add(ensemble, "line", "logistic_regression", 0);
    CHECK_OK(ml_model_set_int(add(ensemble, "forest", "random_forest", 1), "n_estimators", 10));
    CHECK_OK(ml_model_set_int(ml_ensemble_model(ensemble), "random_state", 3));
    CHECK_OK(ml_model_set_int(alone, "n_estimators", 10));
    fit(ensemble, wine);
    CHECK_OK(ml_model_fit(alone, wine, NULL));
    a = outputs_of(ml_ensemble_model(ensemble), wine, ML_PREDICT_PROBA, &n);
    b = outputs_of(alone, wine, ML_PREDICT_PROBA, &m);
    CHECK_SAME_BYTES(a, n * sizeof *a, b, m * sizeof *b);
    free(a);
    free(b);
    ml_model_free(alone);
    ml_ensemble_free(ensemble);
    ml_dataset_free(wine);
}

TEST(ensemble, huge_weights_do_not_overflow)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    double weights[2];

    add(ensemble, "a", "logistic_regression", 1.5e308);
    add(ensemble, "b", "logistic_regression", 1.5e308);
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 2));
    CHECK(weights[0] == 0.5 && weights[1] == 0.5);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

/* ---- cross-validated weights ---- */

/* The documented folds and seeds give the same out-of-fold predictions, whose best weights are the published ones. */
TEST(ensemble, weights_are_the_optimum_on_out_of_fold_predictions)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_ensemble *ensemble = new_ensemble(NULL);
    const uint64_t seed = ml__seed_mix(0, 5);
    const ml__folds folds = {.n_folds = 4, .seed = seed, .flags = ML_STRATIFY};
    double *q = malloc(178 * 3 * sizeof *q), P[178 * 3], y[178], ones[178], weights[3], expected[3], gap;
    ml__run run = {0};
    ml__arena arena;

    CHECK_OK(ml_model_set_real(add(ensemble, "line", "logistic_regression", ML_AUTO_WEIGHT), "C", 1e-3));
    CHECK_OK(ml_model_set_int(add(ensemble, "tree", "decision_tree", ML_AUTO_WEIGHT), "max_depth", 2));
    CHECK_OK(ml_model_set_int(add(ensemble, "forest", "random_forest", ML_AUTO_WEIGHT), "n_estimators", 10));
    CHECK_OK(ml_model_set_int(ml_ensemble_model(ensemble), "random_state", 5));
    CHECK_OK(ml_model_set_int(ml_ensemble_model(ensemble), "n_folds", 4));
    fit(ensemble, wine);
    CHECK_OK(ml_dataset_output(wine, 0, y, 178));
    for (size_t m = 0; m < 3; m++) {
        const ml_model *member = ml_ensemble_model(ensemble)->members.items[m].model;

        CHECK_OK(ml__out_of_fold(&run, member, wine, &folds, ml__seed_mix(seed, m), ML_PREDICT_PROBA, q));
        for (int i = 0; i < 178; i++) {
            P[3 * i + m] = fmax(1e-15, q[3 * i + (int)y[i]]);
            ones[i] = 1;
        }
    }
    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__simplex_log_loss(&arena, 178, 3, P, ones, expected, &gap));
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 3));
    CHECK(gap <= 1e-9);
    CHECK_SAME_BYTES(weights, sizeof weights, expected, sizeof expected);
    CHECK(weights[2] > 0.3); /* the forest is the best of the three */
    ml__arena_free(&arena);
    free(q);
    ml_ensemble_free(ensemble);
    ml_dataset_free(wine);
}

/* A kind for several label outputs, with missing labels: the frequencies of the classes, whatever x is. */
typedef struct {
    double pseudo_count;
} frequency_params;

static const ml__param FREQUENCY_PARAMS[] = {
    ML__REAL(frequency_params, pseudo_count, "1", ML__RANGE(0, INFINITY), "added to every count"),
    ML__PARAMS_END,
};
static const ml__tensor_rule FREQUENCY_TENSORS[] = {{"p", ML_FLOAT64, "C", ML__FINITE}, {NULL, 0, NULL, 0}};

static ml_status frequency_fit(ml__fit *f)
{
    const double pseudo_count = ((const frequency_params *)f->params)->pseudo_count;
    double *p;
    ml_status st = ML_OK;

    ML__PUBLISH(f, p, "p", ML_FLOAT64, ml__schema_width(f->schema));
    for (size_t o = 0; o < f->n_outputs; p += f->schema->outputs[o++].n_classes) {
        const size_t K = f->schema->outputs[o].n_classes;
        const int32_t *labels = ml__fit_labels(f, o);
        double total = pseudo_count * (double)K;

        for (size_t i = 0; i < f->n; i++)
            if (labels[i] >= 0) {
                p[labels[i]]++;
                total++;
            }
        for (size_t k = 0; k < K; k++)
            p[k] = (p[k] + pseudo_count) / total;
    }
done:
    return st;
}

static ml_status frequency_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t C = ml__schema_width(&model->learned->schema);

    (void)scratch;
    for (size_t i = 0; i < x->n; i++)
        memcpy(out + i * C, ml__tensor_data(model->learned, "p"), C * sizeof *out);
    return ML_OK;
}

static const ml__kind FREQUENCIES = {
    .name = "frequencies",
    .doc = "class frequencies",
    .tasks = ML__CLASSIFY,
    .accepts = ML__MULTI_OUTPUT | ML__MISSING_LABELS,
    .real = ML_FLOAT64,
    .params = FREQUENCY_PARAMS,
    .params_size = sizeof(frequency_params),
    .tensors = FREQUENCY_TENSORS,
    .fit = frequency_fit,
    .proba = frequency_proba,
};

/* Two label outputs of 3 and 2 classes, the second known for every third row only. */
TEST(ensemble, every_known_label_of_every_output_is_an_observation)
{
    enum { N = 150 };
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    const ml_model *model = ml_ensemble_model(ensemble);
    const uint64_t seed = ml__seed_mix(0, 0);
    const ml__folds folds = {.n_folds = 3, .seed = seed, .flags = ML_STRATIFY};
    static double y[N], q[N * 5], P[2 * 2 * N], ones[2 * N], out[N * 2];
    static int64_t second[N];
    double expected[2], weights[2], gap;
    ml__run run = {0};
    ml__arena arena;

    CHECK_OK(ml_dataset_output(iris, 0, y, N));
    for (int i = 0; i < N; i++)
        second[i] = i % 3 ? -1 : i % 50 < 10;
    CHECK_OK(ml_dataset_add_labels(iris, "second", second, N, -1));
    CHECK_OK(ml_model_set_int(ml_ensemble_model(ensemble), "n_folds", 3));
    for (size_t m = 0; m < 2; m++) {
        ml_model *member;

        CHECK_OK(ml__model_new(NULL, &FREQUENCIES, &member));
        CHECK_OK(ml_model_set_real(member, "pseudo_count", m ? 200 : 0));
        CHECK_OK(ml_ensemble_add(ensemble, m ? "b" : "a", member, ML_AUTO_WEIGHT));
    }
    fit(ensemble, iris);
    CHECK(ml_model_width(model, ML_PREDICT_PROBA) == 5);
    CHECK_OK(ml_model_predict(model, iris, out, 2 * N));
    for (size_t m = 0; m < 2; m++) {
        size_t r = 0;

        CHECK_OK(ml__out_of_fold(&run, model->members.items[m].model, iris, &folds, ml__seed_mix(seed, m),
                                 ML_PREDICT_PROBA, q));
        for (int i = 0; i < N; i++, r++) {
            P[2 * r + m] = q[5 * i + (int)y[i]];
            ones[r] = 1;
        }
        for (int i = 0; i < N; i++)
            if (second[i] >= 0) {
                P[2 * r + m] = q[5 * i + 3 + second[i]];
                ones[r++] = 1;
            }
        CHECK(r == 200);
    }
    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__simplex_log_loss(&arena, 200, 2, P, ones, expected, &gap));
    ml__arena_free(&arena);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 2));
    CHECK_SAME_BYTES(weights, sizeof weights, expected, sizeof expected);
    CHECK(weights[0] > 0.01);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

/* Trees give the true class of some rows probability 0, all of them; the other rows still tell the trees apart. */
TEST(ensemble, rows_that_nobody_foresaw_do_not_decide)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    double weights[2];

    CHECK_OK(ml_model_set_int(add(ensemble, "full", "decision_tree", ML_AUTO_WEIGHT), "max_depth", 20));
    CHECK_OK(ml_model_set_int(add(ensemble, "small", "decision_tree", ML_AUTO_WEIGHT), "max_depth", 3));
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 2));
    CHECK_CLOSE(weights[0] + weights[1], 1, 1e-15);
    CHECK_MSG(weights[1] > 0.6, "%g", weights[1]);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

TEST(ensemble, a_member_that_knows_nothing_gets_nothing)
{
    ml_dataset *iris = test_table(NULL, "iris"), *boston = test_table(NULL, "boston");
    ml_ensemble *classes = new_ensemble(NULL), *reals = new_ensemble(NULL);
    double weights[2];

    add(classes, "good", "logistic_regression", ML_AUTO_WEIGHT);
    CHECK_OK(ml_model_set_real(add(classes, "flat", "logistic_regression", ML_AUTO_WEIGHT), "C", 1e-9));
    fit(classes, iris);
    CHECK_OK(ml_ensemble_weights(classes, weights, 2));
    CHECK(weights[0] == 1 && weights[1] == 0);
    add(reals, "good", "linear_regression", ML_AUTO_WEIGHT);
    CHECK_OK(ml_model_set_real(add(reals, "flat", "linear_regression", ML_AUTO_WEIGHT), "alpha", 1e15));
    fit(reals, boston);
    CHECK_OK(ml_ensemble_weights(reals, weights, 2));
    CHECK(weights[0] > 0.9 && weights[1] < 0.1);
    ml_ensemble_free(classes);
    ml_ensemble_free(reals);
    ml_dataset_free(iris);
    ml_dataset_free(boston);
}

TEST(ensemble, equal_members_share_and_one_member_gets_all)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    double weights[3];

    add(ensemble, "a", "logistic_regression", ML_AUTO_WEIGHT);
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 1));
    CHECK(weights[0] == 1);
    add(ensemble, "b", "logistic_regression", ML_AUTO_WEIGHT);
    add(ensemble, "c", "logistic_regression", ML_AUTO_WEIGHT);
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 3));
    for (int m = 0; m < 3; m++)
        CHECK_CLOSE(weights[m], 1.0 / 3, 1e-15);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

TEST(ensemble, blending_is_not_worse_than_any_member)
{
    ml_dataset *diabetes = test_table(NULL, "diabetes"), *train, *test;
    ml_ensemble *ensemble = new_ensemble(NULL);
    const ml_model *model = ml_ensemble_model(ensemble);
    double together, alone;

    CHECK_OK(ml_dataset_split(diabetes, 0.3, 3, 0, &train, &test));
    add(ensemble, "line", "linear_regression", ML_AUTO_WEIGHT);
    CHECK_OK(ml_model_set_int(add(ensemble, "forest", "random_forest", ML_AUTO_WEIGHT), "n_estimators", 30));
    CHECK_OK(ml_model_set_int(add(ensemble, "tree", "decision_tree", ML_AUTO_WEIGHT), "max_depth", 3));
    fit(ensemble, train);
    CHECK_OK(ml_model_score(model, test, "rmse", &together));
    for (size_t m = 0; m < 3; m++) {
        CHECK_OK(ml_model_score(ml_model_member(model, m), test, "rmse", &alone));
        CHECK_MSG(together <= alone * 1.02, "rmse %g, member %zu alone %g", together, m, alone);
    }
    ml_ensemble_free(ensemble);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(diabetes);
}

/* 20 rows, 2 features; the last class has `n_rare` rows. */
static ml_dataset *with_rare_class(size_t n_rare)
{
    double x[40];
    int64_t labels[20];
    ml_dataset *data;

    for (size_t i = 0; i < 20; i++) {
        labels[i] = i >= 20 - n_rare ? 2 : (int64_t)(i % 2);
        x[2 * i] = (double)labels[i] + 0.3 * sin((double)i);
        x[2 * i + 1] = cos(3.0 * (double)i);
    }
    data = matrix(NULL, x, 20, 2);
    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, 20, -1));
    return data;
}

TEST(ensemble, classes_rarer_than_folds_keep_their_column)
{
    for (size_t n_rare = 1; n_rare <= 3; n_rare++) {
        ml_dataset *data = with_rare_class(n_rare);
        ml_ensemble *ensemble = new_ensemble(NULL);
        double proba[60], weights[3];

        add(ensemble, "line", "logistic_regression", ML_AUTO_WEIGHT);
        add(ensemble, "tree", "decision_tree", ML_AUTO_WEIGHT);
        CHECK_OK(ml_model_set_int(add(ensemble, "forest", "random_forest", ML_AUTO_WEIGHT), "n_estimators", 5));
        fit(ensemble, data);
        CHECK_OK(ml_ensemble_weights(ensemble, weights, 3));
        CHECK_CLOSE(weights[0] + weights[1] + weights[2], 1, 1e-15);
        CHECK_OK(ml_model_predict_proba(ml_ensemble_model(ensemble), data, proba, 60));
        ml_ensemble_free(ensemble);
        ml_dataset_free(data);
    }
}

TEST(ensemble, rows_of_weight_0_do_not_count)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_ensemble *ensemble = new_ensemble(NULL);
    double w[150], weights[2];

    for (int i = 0; i < 150; i++)
        w[i] = i % 3 != 1;
    CHECK_OK(ml_dataset_set_weights(iris, w, 150));
    add(ensemble, "line", "logistic_regression", ML_AUTO_WEIGHT);
    CHECK_OK(ml_model_set_int(add(ensemble, "tree", "decision_tree", ML_AUTO_WEIGHT), "max_depth", 1));
    fit(ensemble, iris);
    CHECK_OK(ml_ensemble_weights(ensemble, weights, 2));
    CHECK(weights[0] > 0.8);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

/* ---- nesting, threads, cancelling ---- */

/* pipeline(scale, average(line, tree)) and a forest in an average. */
static ml_model *nested(ml_context *context)
{
    ml_model *outer = new_model(context, "weighted_average"), *pipe = new_model(context, "pipeline");
    ml_model *inner = new_model(context, "weighted_average"), *part;

    CHECK_OK(ml_model_set_int(outer, "n_folds", 2));
    CHECK_OK(ml_model_set_int(inner, "n_folds", 3));
    CHECK_OK(ml_model_create(context, "logistic_regression", &part));
    CHECK_OK(ml_model_set_int(part, "max_iter", 3));
    CHECK_OK(ml_model_add_member(inner, "line", part));
    CHECK_OK(ml_model_create(context, "decision_tree", &part));
    CHECK_OK(ml_model_set_int(part, "max_depth", 2));
    CHECK_OK(ml_model_add_member(inner, "tree", part));
    CHECK_OK(ml_model_create(context, "standard_scaler", &part));
    CHECK_OK(ml_model_add_member(pipe, "scale", part));
    CHECK_OK(ml_model_add_member(pipe, "average", inner));
    CHECK_OK(ml_model_add_member(outer, "pipe", pipe));
    CHECK_OK(ml_model_create(context, "logistic_regression", &part));
    CHECK_OK(ml_model_set_int(part, "max_iter", 2));
    CHECK_OK(ml_model_add_member(outer, "line", part));
    return outer;
}

static void *fit_nested(ml_context *context, const void *unused, size_t *n_bytes)
{
    (void)unused;
    return test_fitted_bytes(nested(context), test_table(context, "wine"), n_bytes);
}

TEST(ensemble, nested_composites_give_the_same_bytes_for_any_number_of_threads)
{
    test_any_threads("nested", fit_nested, NULL);
}

TEST(ensemble, a_loaded_one_predicts_the_same)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *model = nested(NULL), *loaded, *clone;
    double *a, *b, *c;
    size_t n, n_bytes;
    void *bytes;

    CHECK_OK(ml_model_fit(model, wine, NULL));
    bytes = test_saved(model, &n_bytes);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_clone(model, &clone));
    a = outputs_of(model, wine, ML_PREDICT_PROBA, &n);
    b = outputs_of(loaded, wine, ML_PREDICT_PROBA, &n);
    c = outputs_of(clone, wine, ML_PREDICT_PROBA, &n);
    CHECK_SAME_BYTES(a, n * sizeof *a, b, n * sizeof *b);
    CHECK_SAME_BYTES(a, n * sizeof *a, c, n * sizeof *c);
    CHECK(ml_model_ensemble(loaded) != NULL);
    free(a);
    free(b);
    free(c);
    free(bytes);
    ml_model_free(model);
    ml_model_free(loaded);
    ml_model_free(clone);
    ml_dataset_free(wine);
}

TEST(ensemble, cancelling_at_any_step_keeps_the_model)
{
    ml_dataset *data = with_rare_class(4);
    ml_model *model = nested(NULL);

    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(test_cancelled_fits("nested", model, data) >= 40);
    ml_model_free(model);
    ml_dataset_free(data);
}

static int32_t note_stage(void *user, const ml_progress *progress)
{
    if (!strcmp(progress->stage, "weighted_average/pipe/fold 2/average/tree/fold 3"))
        ++*(int *)user;
    return 0;
}

TEST(ensemble, stages_are_paths)
{
    ml_dataset *data = with_rare_class(4);
    ml_model *model = nested(NULL);
    int n_seen = 0;
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = note_stage, .monitor_user = &n_seen};

    CHECK_OK(ml_model_fit(model, data, &options));
    CHECK(n_seen > 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(ensemble, every_allocation_may_fail)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data;
    ml_model *model;
    double x[40];
    int64_t labels[20];

    for (int i = 0; i < 20; i++) {
        labels[i] = i % 2;
        x[2 * i] = labels[i] + sin(i);
        x[2 * i + 1] = cos(2 * i);
    }
    data = matrix(context, x, 20, 2);
    CHECK_OK(ml_dataset_set_labels(data, NULL, labels, 20, -1));
    model = nested(context);
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_set_int(model, "random_state", 1));
    CHECK(test_failing_refits(&allocator, context, "ensemble", model, data) > 200);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

/* ---- errors ---- */

TEST(ensemble, errors_name_the_member)
{
    ml_dataset *iris = test_table(NULL, "iris"), *boston = test_table(NULL, "boston");
    ml_ensemble *ensemble = new_ensemble(NULL);
    ml_model *model = ml_ensemble_model(ensemble);

    CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_PARAMETER, "weighted_average needs at least 1 member, it has 0");
    add(ensemble, "a", "logistic_regression", 1);
    add(ensemble, "b", "logistic_regression", ML_AUTO_WEIGHT);
    CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_PARAMETER,
                "member 'b' has no weight, 1 of 2 members have one: give all of them or none");
    CHECK_OK(ml_model_set_text(model, "weights", "fixed"));
    CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_PARAMETER, "member 'b' has no weight");
    CHECK_OK(ml_model_set_text(model, "weights", "cross_validated"));
    CHECK_OK(ml_model_fit(model, iris, NULL));
    CHECK_FAILS(ml_model_fit(model, boston, NULL), ML_E_UNSUPPORTED, "weighted_average does not learn reals");
    CHECK_OK(ml_model_set_int(model, "n_folds", 151));
    CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_DATA, "150 rows cannot make 151 folds");
    add(ensemble, "c", "linear_regression", ML_AUTO_WEIGHT);
    CHECK_FAILS(ml_model_fit(model, iris, NULL), ML_E_PARAMETER,
                "member 'c' (linear_regression) cannot be averaged with those before it");
    ml_ensemble_free(ensemble);

    ensemble = new_ensemble(NULL);
    add(ensemble, "a", "logistic_regression", 0);
    CHECK_FAILS(ml_model_fit(ml_ensemble_model(ensemble), iris, NULL), ML_E_PARAMETER,
                "the weights of all 1 members are 0");
    add(ensemble, "scale", "standard_scaler", 1);
    CHECK_FAILS(ml_model_fit(ml_ensemble_model(ensemble), iris, NULL), ML_E_PARAMETER,
                "member 'scale' (standard_scaler) predicts neither classes nor values");
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
    ml_dataset_free(boston);
}

TEST(ensemble, functions_check_their_arguments)
{
    ml_ensemble *ensemble = new_ensemble(NULL);
    ml_model *member = new_model(NULL, "logistic_regression");
    ml_dataset *iris = test_table(NULL, "iris");
    double weights[2];

    CHECK_FAILS(ml_ensemble_create(NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_ensemble_add(NULL, "a", member, 1), ML_E_ARGUMENT, "ensemble is NULL");
    CHECK_FAILS(ml_ensemble_add(ensemble, NULL, member, 1), ML_E_ARGUMENT, "name is NULL");
    CHECK_FAILS(ml_ensemble_add(ensemble, "a", NULL, 1), ML_E_ARGUMENT, "member is NULL");
    CHECK_FAILS(ml_ensemble_add(ensemble, "a", member, -2), ML_E_ARGUMENT, "weight is -2");
    CHECK_FAILS(ml_ensemble_add(ensemble, "a", member, NAN), ML_E_ARGUMENT, "weight is nan");
    CHECK_FAILS(ml_ensemble_add(ensemble, "a", member, INFINITY), ML_E_ARGUMENT, "weight is inf");
    CHECK_OK(ml_ensemble_add(ensemble, "a", member, 1));
    CHECK_FAILS(ml_ensemble_weights(NULL, weights, 1), ML_E_ARGUMENT, "ensemble is NULL");
    CHECK_FAILS(ml_ensemble_weights(ensemble, weights, 1), ML_E_STATE, "not fitted");
    fit(ensemble, iris);
    CHECK_FAILS(ml_ensemble_weights(ensemble, NULL, 1), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_ensemble_weights(ensemble, weights, 2), ML_E_SHAPE, "out has 2 elements, the ensemble 1 members");
    CHECK(ml_model_ensemble(ml_ensemble_model(ensemble)) == ensemble);
    CHECK(ml_model_ensemble(member) == NULL && ml_model_ensemble(NULL) == NULL && ml_ensemble_model(NULL) == NULL);
    ml_ensemble_free(NULL);
    ml_ensemble_free(ensemble);
    ml_dataset_free(iris);
}

/* ---- what a file could say ---- */

TEST(ensemble, inconsistent_states_are_refused)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *model = new_model(NULL, "weighted_average");
    ml__learned *learned, *theirs;
    const double *w;

    add_member(model, "a", "logistic_regression");
    CHECK_OK(ml_model_set_int(add_member(model, "b", "decision_tree"), "max_depth", 2));
    CHECK_OK(ml_model_fit(model, iris, NULL));
    learned = model->learned;
    theirs = learned->members.items[1].model->learned;
    w = ml__tensor_data(learned, "weights");
    CHECK_REFUSED_VALUE(model, "weights", 0, w[0] + 1e-6, "the weights sum to");
    CHECK_REFUSED_VALUE(model, "weights", 0, -w[0], "tensor 'weights': element 0");
    CHECK_REFUSED_VALUE(model, "weights", 0, NAN, "tensor 'weights': element 0");
    learned->members.n = 1;
    CHECK_REFUSED(model, "2 weights for 1 members");
    learned->members.n = 2;
    theirs->schema.n_features = 3;
    CHECK_REFUSED(model, "member 'b' takes 3 features, the ensemble 4");
    theirs->schema.n_features = 4;
    theirs->schema.outputs[0].n_classes = 2;
    CHECK_REFUSED(model, "the outputs of member 'b'");
    theirs->schema.outputs[0].n_classes = 3;
    theirs->schema.outputs[0].classes[1][0] = 'V';
    CHECK_REFUSED(model, "the outputs of member 'b'");
    theirs->schema.outputs[0].classes[1][0] = 'v';
    CHECK_OK(ml__learned_validate(model, learned, false));
    ml_model_free(model);
    ml_dataset_free(iris);
}
