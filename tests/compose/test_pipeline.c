/* SPDX-License-Identifier: Apache-2.0 */
#include "../learn/helpers.h"
#include "model/model.h"

static ml_model *scaled(const char *kind)
{
    ml_model *pipe = new_model(NULL, "pipeline");

    add_member(pipe, "scale", "standard_scaler");
    add_member(pipe, "last", kind);
    return pipe;
}

/* The same rows and outputs with the features that a fitted transformer makes of them. */
static ml_dataset *transformed(const ml_model *transformer, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data), width = ml_model_width(transformer, ML_TRANSFORM);
    double *x = outputs_of(transformer, data, ML_TRANSFORM, &(size_t){0}), *y = malloc(n * sizeof *y);
    int64_t *labels = malloc(n * sizeof *labels);
    ml_dataset *made = matrix(NULL, x, n, width);

    CHECK_OK(ml_dataset_output(data, 0, y, n));
    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    if (ml_dataset_n_classes(data, 0))
        CHECK_OK(ml_dataset_set_labels(made, NULL, labels, n, -1));
    else
        CHECK_OK(ml_dataset_set_targets(made, NULL, y, n));
    free(x);
    free(y);
    free(labels);
    return made;
}

TEST(pipeline, is_its_steps_one_after_the_other)
{
    static const int32_t CALLS[] = {ML_PREDICT, ML_PREDICT_PROBA, ML_DECISION};
    ml_dataset *wine = test_table(NULL, "wine"), *by_hand;
    ml_model *pipe = scaled("logistic_regression"), *scaler, *last;

    CHECK_OK(ml_model_fit(pipe, wine, NULL));
    scaler = fitted_model(NULL, "standard_scaler", wine);
    by_hand = transformed(scaler, wine);
    last = fitted_model(NULL, "logistic_regression", by_hand);
    for (int c = 0; c < 3; c++) {
        size_t n, m;
        double *a = outputs_of(pipe, wine, CALLS[c], &n), *b = outputs_of(last, by_hand, CALLS[c], &m);

        CHECK_SAME_BYTES(a, n * sizeof *a, b, m * sizeof *b);
        free(a);
        free(b);
    }
    CHECK(ml_model_width(pipe, ML_TRANSFORM) == 0 && ml_model_width(pipe, ML_SCORE_SAMPLES) == 0);
    CHECK(!strcmp(ml_model_class_name(pipe, 0, 2), "class_2"));
    CHECK(ml_model_stop_reason(pipe) == ML_STOP_CONVERGED);
    ml_model_free(pipe);
    ml_model_free(scaler);
    ml_model_free(last);
    ml_dataset_free(by_hand);
    ml_dataset_free(wine);
}

TEST(pipeline, a_deadline_in_any_step_is_its_stop_reason)
{
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    ml_dataset *boston = test_table(NULL, "boston");
    ml_model *pipe = new_model(NULL, "pipeline");
    double r2;

    CHECK_OK(ml_model_set_int(add_member(pipe, "mix", "gmm"), "n_components", 3));
    add_member(pipe, "last", "linear_regression");
    CHECK_OK(ml_model_fit(pipe, boston, &options));
    CHECK(ml_model_stop_reason(ml_model_member(pipe, 0)) == ML_STOP_DEADLINE);
    CHECK(ml_model_stop_reason(ml_model_member(pipe, 1)) == ML_STOP_COMPLETE);
    CHECK(ml_model_stop_reason(pipe) == ML_STOP_DEADLINE);
    CHECK_OK(ml_model_score(pipe, boston, NULL, &r2));
    CHECK(r2 > 0);
    ml_model_free(pipe);
    ml_dataset_free(boston);
}

TEST(pipeline, of_a_regressor_and_with_weights)
{
    ml_dataset *boston = test_table(NULL, "boston");
    ml_model *pipe = scaled("linear_regression"), *alone;
    double a[506], b[506];

    set_weights(boston, 0.25);
    CHECK_OK(ml_model_fit(pipe, boston, NULL));
    alone = fitted_model(NULL, "linear_regression", boston);
    CHECK_OK(ml_model_predict(pipe, boston, a, 506));
    CHECK_OK(ml_model_predict(alone, boston, b, 506));
    for (int i = 0; i < 506; i++)
        CHECK_CLOSE(a[i], b[i], 1e-11);
    CHECK_FAILS(ml_model_predict_proba(pipe, boston, a, 506), ML_E_UNSUPPORTED, "as a regressor");
    ml_model_free(pipe);
    ml_model_free(alone);
    ml_dataset_free(boston);
}

TEST(pipeline, rows_are_independent_of_each_other)
{
    ml_dataset *digits = test_table(NULL, "digits");
    ml_model *pipe = new_model(NULL, "pipeline");

    add_member(pipe, "a", "standard_scaler");
    add_member(pipe, "b", "simple_imputer");
    add_member(pipe, "c", "standard_scaler");
    CHECK_OK(ml_model_set_int(add_member(pipe, "d", "logistic_regression"), "max_iter", 5));
    CHECK_OK(ml_model_fit(pipe, digits, NULL));
    check_rows_alone(pipe, digits, ML_PREDICT_PROBA, 13);
    ml_model_free(pipe);
    ml_dataset_free(digits);
}

TEST(pipeline, of_transformers_transforms_and_nests)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *outer = new_model(NULL, "pipeline"), *inner = add_member(outer, "inner", "pipeline"), *flat;
    double *a, *b;
    size_t n, m;

    add_member(inner, "impute", "simple_imputer");
    add_member(inner, "scale", "standard_scaler");
    add_member(outer, "net", "logistic_regression");
    CHECK_OK(ml_model_fit(outer, iris, NULL));
    CHECK(ml_model_width(ml_model_member(outer, 0), ML_TRANSFORM) == 4);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(outer, 1), 3), "petal_width_cm"));
    flat = scaled("logistic_regression");
    CHECK_OK(ml_model_fit(flat, iris, NULL));
    a = outputs_of(outer, iris, ML_PREDICT_PROBA, &n);
    b = outputs_of(flat, iris, ML_PREDICT_PROBA, &m);
    CHECK_SAME_BYTES(a, n * sizeof *a, b, m * sizeof *b);
    free(a);
    free(b);
    ml_model_free(outer);
    ml_model_free(flat);
    ml_dataset_free(iris);
}

static void check_same_tensor(const ml__learned *a, const ml__learned *b, const char *name)
{
    const ml__named_tensor *t = ml__learned_find(a, name), *u = ml__learned_find(b, name);

    CHECK(t && u && t->shape[0] == u->shape[0]);
    CHECK_SAME_BYTES(t->data, (size_t)t->shape[0] * ml__dtype_size(t->dtype), u->data,
                     (size_t)u->shape[0] * ml__dtype_size(u->dtype));
}

/* Steps are fitted as if alone, on what the steps before them make of the training and the validation data. */
TEST(pipeline, learns_again_by_the_steps_that_it_has_now)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *pipe = new_model(NULL, "pipeline");

    add_member(pipe, "scale", "standard_scaler");
    CHECK_OK(ml_model_fit(pipe, wine, NULL));
    CHECK(ml_model_width(pipe, ML_TRANSFORM) == 13 && !ml_model_width(pipe, ML_PREDICT));
    add_member(pipe, "last", "logistic_regression");
    CHECK_OK(ml_model_fit(pipe, wine, NULL));
    CHECK(!ml_model_width(pipe, ML_TRANSFORM) && ml_model_width(pipe, ML_PREDICT_PROBA) == 3);
    ml_model_free(pipe);
    ml_dataset_free(wine);
}

TEST(pipeline, validation_data_goes_through_the_steps)
{
    ml_dataset *wine = test_table(NULL, "wine"), *train, *held_out, *train_by_hand, *held_out_by_hand;
    ml_model *pipe = scaled("mlp"), *scaler, *net = new_model(NULL, "mlp");
    ml_fit_options options = {.struct_size = sizeof options};

    CHECK_OK(ml_dataset_split(wine, 0.3, 1, ML_STRATIFY, &train, &held_out));
    scaler = fitted_model(NULL, "standard_scaler", train);
    train_by_hand = transformed(scaler, train);
    held_out_by_hand = transformed(scaler, held_out);
    CHECK_OK(ml_model_set_int(pipe, "last__max_iter", 10));
    CHECK_OK(ml_model_set_int(net, "max_iter", 10));
    options.validation = held_out;
    CHECK_OK(ml_model_fit(pipe, train, &options));
    options.validation = held_out_by_hand;
    CHECK_OK(ml_model_fit(net, train_by_hand, &options));
    check_same_tensor(pipe->learned->members.items[1].model->learned, net->learned, "validation_scores");
    check_same_tensor(pipe->learned->members.items[1].model->learned, net->learned, "biases.0");
    ml_model_free(pipe);
    ml_model_free(net);
    ml_model_free(scaler);
    ml_dataset_free(train);
    ml_dataset_free(held_out);
    ml_dataset_free(train_by_hand);
    ml_dataset_free(held_out_by_hand);
    ml_dataset_free(wine);
}

/* ---- missing values ---- */

TEST(pipeline, accepts_missing_values_when_they_are_filled_in_time)
{
    ml_dataset *boston = test_table(NULL, "boston"), *holes = with_holes(boston);
    ml_model *pipe = new_model(NULL, "pipeline"), *late = scaled("linear_regression");
    double y[506], out[506];

    CHECK_OK(ml_dataset_output(boston, 0, y, 506));
    CHECK_OK(ml_dataset_set_targets(holes, NULL, y, 506));
    add_member(pipe, "scale", "standard_scaler");
    add_member(pipe, "impute", "simple_imputer");
    add_member(pipe, "line", "linear_regression");
    CHECK_OK(ml_model_fit(pipe, holes, NULL));
    CHECK_OK(ml_model_predict(pipe, holes, out, 506));
    for (int i = 0; i < 506; i++)
        CHECK(isfinite(out[i]));
    CHECK_FAILS(ml_model_fit(late, holes, NULL), ML_E_DATA,
                "pipeline takes no missing values, row 0 of feature 'x0' is missing (member 'last' (linear_regression) "
                "refuses them");
    CHECK_OK(ml_model_fit(late, boston, NULL));
    CHECK_FAILS(ml_model_predict(late, holes, out, 506), ML_E_DATA, "pipeline takes no missing values, row 0");
    CHECK(strstr(ml_last_error(), "member 'last' (linear_regression)"));
    ml_model_free(pipe);
    ml_model_free(late);
    ml_dataset_free(boston);
    ml_dataset_free(holes);
}

/* ---- errors ---- */

TEST(pipeline, errors_name_the_step)
{
    static const char CSV[] = "a,b,y\n1,u,0\n2,v,1\n3,u,1\n4,,0\n";
    const ml_csv_options options = {.struct_size = sizeof options, .target = "y", .task = ML_TASK_CLASSIFY};
    ml_dataset *iris = test_table(NULL, "iris"), *texts;
    ml_model *pipe = new_model(NULL, "pipeline"), *inner;

    CHECK_OK(ml_dataset_from_csv_memory(NULL, CSV, sizeof CSV - 1, NULL, &options, &texts));
    CHECK_FAILS(ml_model_fit(pipe, iris, NULL), ML_E_PARAMETER, "pipeline needs at least 1 member, it has 0");
    inner = add_member(pipe, "net", "pipeline");
    add_member(inner, "classify", "logistic_regression");
    CHECK_OK(ml_model_fit(pipe, iris, NULL));
    add_member(pipe, "scale", "standard_scaler");
    CHECK_FAILS(ml_model_fit(pipe, iris, NULL), ML_E_PARAMETER,
                "step 'net' (pipeline) cannot transform, so it can only be the last one");
    CHECK(ml_model_width(pipe, ML_PREDICT_PROBA) == 3); /* what it had */
    ml_model_free(pipe);

    pipe = new_model(NULL, "pipeline");
    add_member(pipe, "impute", "simple_imputer");
    add_member(pipe, "scale", "standard_scaler");
    CHECK_FAILS(ml_model_fit(pipe, texts, NULL), ML_E_DATA,
                "scale: standard_scaler takes numbers only, feature 'b' is categorical");
    ml_model_free(pipe);
    ml_dataset_free(iris);
    ml_dataset_free(texts);
}

TEST(pipeline, numbers_that_leave_the_range_are_an_error)
{
    const double x[] = {1e-150, 2e-150, 3e-150}, huge = 1e300;
    ml_dataset *small = matrix(NULL, x, 3, 1), *far = matrix(NULL, &huge, 1, 1);
    ml_model *pipe = new_model(NULL, "pipeline");
    double out;

    add_member(pipe, "a", "standard_scaler");
    add_member(pipe, "b", "standard_scaler");
    CHECK_OK(ml_model_fit(pipe, small, NULL));
    CHECK_FAILS(ml_model_transform(pipe, far, &out, 1), ML_E_NUMERIC, "step 'a' turns a feature into inf");
    CHECK_FAILS(ml_model_predict_row(pipe, ML_TRANSFORM, &huge, 1, &out, 1, NULL, 0), ML_E_NUMERIC, "step 'a'");
    ml_model_free(pipe);
    ml_dataset_free(small);
    ml_dataset_free(far);
}

/* ---- what a file could say ---- */

static void swap_steps(ml__learned *learned)
{
    const ml__member first = learned->members.items[0];

    learned->members.items[0] = learned->members.items[1];
    learned->members.items[1] = first;
}

TEST(pipeline, steps_that_do_not_chain_are_refused)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *pipe = scaled("logistic_regression");
    ml__learned *learned;
    int32_t task;

    CHECK_OK(ml_model_fit(pipe, iris, NULL));
    learned = pipe->learned;
    CHECK_OK(ml__learned_validate(pipe, learned, false));
    swap_steps(learned);
    CHECK_REFUSED(pipe, "step 'last' cannot transform");
    swap_steps(learned);
    learned->schema.n_features = 3;
    CHECK_REFUSED(pipe, "step 'scale' takes 4 features and gets 3");
    learned->schema.n_features = 4;
    task = learned->members.items[1].model->learned->task;
    learned->members.items[1].model->learned->task = ML__UNSUPERVISED;
    CHECK_REFUSED(pipe, "outputs are not those of its last step");
    learned->members.items[1].model->learned->task = task;
    learned->members.items[1].model->learned->schema.outputs[0].n_classes = 2;
    CHECK_REFUSED(pipe, "outputs are not those of its last step");
    learned->members.items[1].model->learned->schema.outputs[0].n_classes = 3;
    CHECK_OK(ml__learned_validate(pipe, learned, false));
    ml_model_free(pipe);
    ml_dataset_free(iris);
}

/* ---- the way back ---- */

static void check_back(const ml_model *pipe, const ml_dataset *data, const double *z, size_t width)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    double *x = rows_of(data), *back = malloc(n * d * sizeof *back);

    CHECK_OK(ml_model_inverse_transform(pipe, z, n, width, back, n * d));
    for (size_t i = 0; i < n * d; i++)
        CHECK_CLOSE(back[i], x[i], 1e-13);
    free(x);
    free(back);
}

TEST(pipeline, goes_back_through_its_steps)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *pipe = new_model(NULL, "pipeline"), *inner = add_member(pipe, "inner", "pipeline"), *with_last, *scaler;
    size_t n;
    double *z;

    CHECK_OK(ml_model_set_text(add_member(inner, "mean", "standard_scaler"), "with_std", "false"));
    add_member(inner, "scale", "standard_scaler");
    CHECK_OK(ml_model_set_text(add_member(pipe, "again", "standard_scaler"), "with_mean", "false"));
    CHECK_OK(ml_model_fit(pipe, wine, NULL));
    z = outputs_of(pipe, wine, ML_TRANSFORM, &n);
    check_back(pipe, wine, z, 13);
    free(z);
    with_last = scaled("logistic_regression"); /* whose step is taken back, the predictor left out */
    CHECK_OK(ml_model_fit(with_last, wine, NULL));
    scaler = fitted_model(NULL, "standard_scaler", wine);
    z = outputs_of(scaler, wine, ML_TRANSFORM, &n);
    CHECK(ml_model_width(with_last, ML_TRANSFORM) == 0);
    check_back(with_last, wine, z, 13);
    free(z);
    ml_model_free(pipe);
    ml_model_free(with_last);
    ml_model_free(scaler);
    ml_dataset_free(wine);
}

TEST(pipeline, a_step_without_a_way_back_is_named)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *pipe = new_model(NULL, "pipeline"), *tree = new_model(NULL, "pipeline"),
             *huge = new_model(NULL, "pipeline"), *codes = new_model(NULL, "pipeline");
    double z[13] = {0}, out[13];

    add_member(pipe, "fill", "simple_imputer");
    add_member(pipe, "scale", "standard_scaler");
    CHECK_OK(ml_model_fit(pipe, wine, NULL));
    CHECK_FAILS(ml_model_inverse_transform(pipe, z, 1, 13, out, 13), ML_E_UNSUPPORTED,
                "step 'fill' (simple_imputer) has no inverse_transform");
    add_member(tree, "tree", "decision_tree");
    CHECK_OK(ml_model_fit(tree, wine, NULL));
    CHECK_FAILS(ml_model_inverse_transform(tree, z, 1, 13, out, 13), ML_E_UNSUPPORTED, "pipeline has no inverse");
    add_member(codes, "scale", "standard_scaler"); /* codes of the step before the clusters are not the pipeline's */
    CHECK_OK(ml_model_set_int(add_member(codes, "pca", "pca"), "n_components", 2));
    add_member(codes, "cluster", "kmeans");
    CHECK_OK(ml_model_fit(codes, wine, NULL));
    for (size_t width = 2; width <= 8; width += 6)
        CHECK_FAILS(ml_model_inverse_transform(codes, z, 1, width, out, 13), ML_E_UNSUPPORTED,
                    "pipeline has no inverse_transform: its step 'cluster' (kmeans) has no inverse_transform, and all");
    add_member(huge, "scale", "standard_scaler");
    CHECK_OK(ml_model_fit(huge, wine, NULL));
    z[12] = 1e308;
    CHECK_FAILS(ml_model_inverse_transform(huge, z, 1, 13, out, 13), ML_E_NUMERIC,
                "step 'scale' turns a feature into inf");
    ml_model_free(pipe);
    ml_model_free(tree);
    ml_model_free(codes);
    ml_model_free(huge);
    ml_dataset_free(wine);
}
