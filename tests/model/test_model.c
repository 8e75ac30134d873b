/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"
#include "test.h"

static ml_model *model(ml_context *context, const char *kind)
{
    ml_model *m;

    CHECK_OK(ml_model_create(context, kind, &m));
    return m;
}

TEST(model, null_arguments_are_named)
{
    ml_model *m = model(NULL, "decision_tree"), *out = m;
    ml_dataset *data;
    double x = 0;

    CHECK_OK(ml_dataset_make(NULL, "blobs", NULL, &data));
    CHECK_FAILS(ml_model_create(NULL, NULL, &out), ML_E_ARGUMENT, "kind is NULL");
    CHECK(out == NULL);
    CHECK_FAILS(ml_model_create(NULL, "mlp", NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_fit(NULL, data, NULL), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_fit(m, NULL, NULL), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_model_predict(NULL, data, &x, 1), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_predict(m, NULL, &x, 1), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_model_predict(m, data, NULL, 1), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_set_int(NULL, "a", 1), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_set_int(m, NULL, 1), ML_E_ARGUMENT, "name is NULL");
    CHECK_FAILS(ml_model_set_text(m, "criterion", NULL), ML_E_ARGUMENT, "value is NULL");
    CHECK_FAILS(ml_model_clone(NULL, &out), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_add_member(m, "a", NULL), ML_E_ARGUMENT, "member is NULL");
    CHECK_FAILS(ml_model_predict_row(m, ML_PREDICT, NULL, 1, &x, 1, NULL, 0), ML_E_ARGUMENT, "x is NULL");
    ml_model_free(NULL);
    CHECK(ml_model_kind(NULL) == NULL && ml_model_n_features(NULL) == 0 && ml_model_member(NULL, 0) == NULL);
    ml_model_free(m);
    ml_dataset_free(data);
}

TEST(model, members_are_refused_with_a_reason)
{
    ml_model *pipe = model(NULL, "pipeline"), *scaler = model(NULL, "standard_scaler");
    ml_model *other = model(NULL, "pipeline"), *tree = model(NULL, "decision_tree");
    const char *const BAD[] = {"", "a__b", "a b", "a/b", "é"};
    char too_long[65];

    memset(too_long, 'a', 64);
    too_long[64] = 0;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK_FAILS(ml_model_add_member(pipe, BAD[i], scaler), ML_E_ARGUMENT, "name");
    CHECK_FAILS(ml_model_add_member(pipe, too_long, scaler), ML_E_ARGUMENT, "64");
    CHECK_FAILS(ml_model_add_member(tree, "x", scaler), ML_E_UNSUPPORTED, "decision_tree takes no members");
    CHECK_FAILS(ml_model_add_member(pipe, "self", pipe), ML_E_ARGUMENT, "itself");
    CHECK_OK(ml_model_add_member(pipe, "scale", scaler));
    CHECK_FAILS(ml_model_add_member(pipe, "scale", tree), ML_E_ARGUMENT, "already");
    CHECK_FAILS(ml_model_add_member(other, "scale", scaler), ML_E_ARGUMENT, "member of another");
    CHECK_OK(ml_model_add_member(other, "pipe", pipe));
    CHECK_FAILS(ml_model_add_member(pipe, "loop", other), ML_E_ARGUMENT, "itself");
    CHECK(ml_model_member_count(other) == 1 && !strcmp(ml_model_member_name(other, 0), "pipe"));
    CHECK(ml_model_member(other, 0) == pipe && ml_model_member(other, 1) == NULL);
    ml_model_free(tree);
    ml_model_free(other);
}

TEST(model, composites_nest_four_deep_and_no_deeper)
{
    ml_model *chain[5];

    for (int i = 0; i < 5; i++)
        chain[i] = model(NULL, "pipeline");
    CHECK_OK(ml_model_add_member(chain[3], "leaf", model(NULL, "decision_tree")));
    CHECK_OK(ml_model_add_member(chain[2], "p", chain[3]));
    CHECK_OK(ml_model_add_member(chain[1], "p", chain[2]));
    CHECK_OK(ml_model_add_member(chain[0], "p", chain[1]));
    CHECK_FAILS(ml_model_add_member(chain[4], "p", chain[0]), ML_E_LIMIT, "deeper than 4");
    CHECK_FAILS(ml_model_add_member(chain[3], "q", chain[4]), ML_E_LIMIT, "deeper than 4");
    ml_model_free(chain[0]);
    ml_model_free(chain[4]);
}

TEST(model, the_data_decides_the_task)
{
    ml_model *tree = model(NULL, "decision_tree"), *linear = model(NULL, "linear_regression");
    ml_model *logistic = model(NULL, "logistic_regression");
    ml_dataset *iris = test_table(NULL, "iris"), *diabetes = test_table(NULL, "diabetes"), *plain;
    const double x[4] = {1, 2, 3, 4};

    CHECK_OK(ml_model_fit(tree, iris, NULL));
    CHECK(ml_model_n_classes(tree, 0) == 3 && ml_model_width(tree, ML_PREDICT_PROBA) == 3);
    CHECK(!strcmp(ml_model_class_name(tree, 0, 1), "versicolor"));
    CHECK(ml_model_n_outputs(tree) == 1 && !strcmp(ml_model_output_name(tree, 0), "target"));
    CHECK(!strcmp(ml_model_feature_name(tree, 2), "petal_length_cm"));
    CHECK_OK(ml_model_fit(tree, diabetes, NULL));
    CHECK(ml_model_n_classes(tree, 0) == 0 && ml_model_width(tree, ML_PREDICT_PROBA) == 0);
    CHECK_FAILS(ml_model_fit(linear, iris, NULL), ML_E_UNSUPPORTED, "does not learn labels");
    CHECK_FAILS(ml_model_fit(logistic, diabetes, NULL), ML_E_UNSUPPORTED, "does not learn reals");
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 2, 2, 0, 0, ML_COPY, &plain));
    CHECK_FAILS(ml_model_fit(tree, plain, NULL), ML_E_DATA, "needs an output");
    ml_model_free(tree);
    ml_model_free(linear);
    ml_model_free(logistic);
    ml_dataset_free(iris);
    ml_dataset_free(diabetes);
    ml_dataset_free(plain);
}

TEST(model, cells_that_a_kind_cannot_use_are_named)
{
    const char text[] = "a,b,y\n1,2,0\n3,,1\n5,6,0\n";
    const char words[] = "a,b,y\n1,x,0\n3,z,1\n5,x,0\n";
    const ml_csv_options options = {.struct_size = sizeof options, .target = "y"};
    ml_model *m = model(NULL, "logistic_regression");
    ml_dataset *gaps, *named;

    CHECK_OK(ml_dataset_from_csv_memory(NULL, text, sizeof text - 1, NULL, &options, &gaps));
    CHECK_OK(ml_dataset_from_csv_memory(NULL, words, sizeof words - 1, NULL, &options, &named));
    CHECK_FAILS(ml_model_fit(m, gaps, NULL), ML_E_DATA, "row 1 of feature 'b' is missing");
    CHECK_FAILS(ml_model_fit(m, named, NULL), ML_E_DATA, "feature 'b' is categorical");
    ml_dataset_free(gaps);
    ml_dataset_free(named);
    ml_model_free(m);
}

TEST(model, rows_without_label_are_left_out)
{
    const double x[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int64_t all[8] = {0, 0, 0, -1, 1, 1, -1, 1}, some[6] = {0, 0, 0, 1, 1, 1};
    const double without[6] = {0, 1, 2, 4, 5, 7};
    ml_dataset *a, *b;
    ml_model *m = model(NULL, "logistic_regression"), *n = model(NULL, "logistic_regression");
    ml_tensor s = {.struct_size = sizeof s}, t = {.struct_size = sizeof t};

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 8, 1, 0, 0, ML_COPY, &a));
    CHECK_OK(ml_dataset_set_labels(a, NULL, all, 8, -1));
    CHECK_OK(ml_dataset_from_matrix(NULL, without, ML_FLOAT64, 6, 1, 0, 0, ML_COPY, &b));
    CHECK_OK(ml_dataset_set_labels(b, NULL, some, 6, -1));
    CHECK_OK(ml_model_fit(m, a, NULL));
    CHECK_OK(ml_model_fit(n, b, NULL));
    CHECK_OK(ml_model_tensor(m, "coef", &s));
    CHECK_OK(ml_model_tensor(n, "coef", &t));
    CHECK_SAME_BYTES(s.data, 16, t.data, 16);
    CHECK_FAILS(ml_model_tensor(m, "nothing", &s), ML_E_ARGUMENT, "nothing");
    ml_model_free(m);
    ml_model_free(n);
    ml_dataset_free(a);
    ml_dataset_free(b);
}

TEST(model, features_are_matched_by_name)
{
    const char *const names[4] = {"sepal_length_cm", "petal_length_cm", "sepal_width_cm", "petal_width_cm"};
    ml_dataset *iris = test_table(NULL, "iris"), *other;
    ml_model *m = model(NULL, "decision_tree");
    double x[4] = {5, 3, 2, 1}, out;

    CHECK_OK(ml_model_fit(m, iris, NULL));
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 1, 4, 0, 0, ML_COPY, &other));
    CHECK_OK(ml_model_predict(m, other, &out, 1)); /* unnamed: by position */
    CHECK_OK(ml_dataset_set_feature_names(other, names, 4));
    CHECK_FAILS(ml_model_predict(m, other, &out, 1), ML_E_DATA, "petal_length_cm");
    CHECK_FAILS(ml_model_predict(m, iris, &out, 1), ML_E_SHAPE, "150");
    ml_model_free(m);
    ml_dataset_free(iris);
    ml_dataset_free(other);
}

TEST(model, single_precision_kinds_refuse_what_they_cannot_hold)
{
    double x[4] = {1, 2, 1e39, 4}, out;
    const int64_t y[4] = {0, 1, 0, 1};
    ml_dataset *data;
    ml_model *m = model(NULL, "mlp");

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 4, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, 4, -1));
    CHECK_FAILS(ml_model_fit(m, data, NULL), ML_E_DATA, "row 2 of feature 'x0' is too large");
    ml_dataset_free(data);
    x[2] = 3;
    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 4, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, NULL, y, 4, -1));
    CHECK_OK(ml_model_fit(m, data, NULL));
    x[0] = -1e39;
    CHECK_FAILS(ml_model_predict_row(m, ML_PREDICT, x, 1, &out, 1, NULL, 0), ML_E_DATA, "too large");
    x[0] = INFINITY;
    CHECK_FAILS(ml_model_predict_row(m, ML_PREDICT, x, 1, &out, 1, NULL, 0), ML_E_DATA, "infinite");
    ml_dataset_free(data);
    ml_model_free(m);
}

TEST(model, a_row_needs_as_much_scratch_as_the_model_says)
{
    ml_dataset *digits = test_table(NULL, "digits");
    ml_model *m = model(NULL, "mlp");
    double row[64], on_stack[10], in_scratch[10];
    size_t n_bytes;
    void *scratch;

    CHECK_OK(ml_model_set_text(m, "hidden_layer_sizes", "512"));
    CHECK_OK(ml_model_set_int(m, "max_iter", 1));
    CHECK_OK(ml_model_fit(m, digits, NULL));
    CHECK_OK(ml_dataset_row(digits, 3, row, 64));
    n_bytes = ml_model_scratch_size(m);
    scratch = malloc(n_bytes);
    CHECK_OK(ml_model_predict_row(m, ML_PREDICT_PROBA, row, 64, in_scratch, 10, scratch, n_bytes));
    CHECK_FAILS(ml_model_predict_row(m, ML_PREDICT_PROBA, row, 64, in_scratch, 10, scratch, n_bytes - 1), ML_E_SHAPE,
                "scratch has");
    if (n_bytes <= 8192) {
        CHECK_OK(ml_model_predict_row(m, ML_PREDICT_PROBA, row, 64, on_stack, 10, NULL, 0));
        CHECK_SAME_BYTES(on_stack, sizeof on_stack, in_scratch, sizeof in_scratch);
    }
    free(scratch);
    ml_model_free(m);
    ml_dataset_free(digits);
}

TEST(model, scratch_of_a_row_may_lie_anywhere)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *m = model(NULL, "mlp");
    double row[4], on_stack[3], in_scratch[3];
    char *scratch;

    CHECK_OK(ml_model_set_int(m, "max_iter", 1));
    CHECK_OK(ml_model_fit(m, iris, NULL));
    CHECK_OK(ml_dataset_row(iris, 3, row, 4));
    CHECK(ml_model_scratch_size(m) <= 8192);
    CHECK_FAILS(ml_model_predict_row(m, 0, row, 4, on_stack, 3, NULL, 0), ML_E_ARGUMENT, "what is 0");
    CHECK_FAILS(ml_model_predict_row(m, 6, row, 4, on_stack, 3, NULL, 0), ML_E_ARGUMENT, "what is 6");
    CHECK(ml_model_width(m, -1) == 0 && ml_model_width(m, 6) == 0);
    CHECK_OK(ml_model_predict_row(m, ML_PREDICT_PROBA, row, 4, on_stack, 3, NULL, 0));
    for (size_t offset = 0; offset < 64; offset++) {
        scratch = malloc(offset + ml_model_scratch_size(m)); /* exactly: a sanitizer sees what lies beyond */
        CHECK_OK(ml_model_predict_row(m, ML_PREDICT_PROBA, row, 4, in_scratch, 3, scratch + offset,
                                      ml_model_scratch_size(m)));
        CHECK_SAME_BYTES(on_stack, sizeof on_stack, in_scratch, sizeof in_scratch);
        free(scratch);
    }
    ml_model_free(m);
    ml_dataset_free(iris);
}

static size_t n_bytes_of(const ml_tensor *t)
{
    size_t n = ml__dtype_size(t->dtype);

    for (uint32_t r = 0; r < t->rank; r++)
        n *= (size_t)t->shape[r];
    return n;
}

static void check_same_tensors(const ml_model *a, const ml_model *b)
{
    CHECK(ml_model_tensor_count(a) == ml_model_tensor_count(b));
    for (size_t i = 0; i < ml_model_tensor_count(a); i++) {
        ml_tensor s = {.struct_size = sizeof s}, t = {.struct_size = sizeof t};

        CHECK_OK(ml_model_tensor_at(a, i, &s));
        CHECK_OK(ml_model_tensor(b, s.name, &t));
        CHECK(s.dtype == t.dtype && s.rank == t.rank && !memcmp(s.shape, t.shape, sizeof s.shape));
        CHECK_MSG(!memcmp(s.data, t.data, n_bytes_of(&s)), "tensor %s differs", s.name);
    }
}

TEST(model, a_member_learns_what_it_would_alone)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *alone = model(NULL, "random_forest"), *ensemble = model(NULL, "weighted_average"),
             *pipe = model(NULL, "pipeline"), *first, *second;

    CHECK_OK(ml_model_set_int(alone, "n_estimators", 5));
    CHECK_OK(ml_model_clone(alone, &first));
    CHECK_OK(ml_model_clone(alone, &second));
    CHECK_OK(ml_model_fit(alone, iris, NULL));
    CHECK_OK(ml_model_add_member(pipe, "forest", second));
    CHECK_OK(ml_model_add_member(ensemble, "forest", first));
    CHECK_OK(ml_model_add_member(ensemble, "pipe", pipe));
    CHECK_OK(ml_model_fit(ensemble, iris, NULL));
    check_same_tensors(alone, ml_model_member(ensemble, 0));
    check_same_tensors(alone, ml_model_member(ml_model_member(ensemble, 1), 0));
    ml_model_free(alone);
    ml_model_free(ensemble);
    ml_dataset_free(iris);
}

static int32_t refit(void *user, const ml_progress *p)
{
    ml_model *m = user;

    (void)p;
    CHECK_FAILS(ml_model_set_int(m, "n_estimators", 3), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_fit(m, NULL, NULL), ML_E_ARGUMENT, "data");
    return 0;
}

TEST(model, a_model_in_use_is_busy)
{
    ml_model *m = model(NULL, "random_forest");
    ml_dataset *iris = test_table(NULL, "iris");
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = refit, .monitor_user = m};

    CHECK_OK(ml_model_fit(m, iris, &options));
    ml_model_free(m);
    ml_dataset_free(iris);
}

typedef struct composite {
    ml_model *pipe, *forest;
    const ml_dataset *iris;
    int n_calls;
} composite;

static int32_t change_composite(void *user, const ml_progress *p)
{
    composite *c = user;
    ml_model *other = model(NULL, "pipeline"), *scaler = model(NULL, "standard_scaler");

    (void)p;
    c->n_calls++;
    CHECK_FAILS(ml_model_set_int(c->pipe, "forest__n_estimators", 3), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_set_text(c->forest, "n_estimators", "3"), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_fit(c->forest, c->iris, NULL), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_add_member(c->pipe, "more", scaler), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_add_member(other, "pipe", c->pipe), ML_E_BUSY, "in use");
    CHECK_FAILS(ml_model_add_member(other, "forest", c->forest), ML_E_ARGUMENT, "member of another");
    ml_model_free(other);
    ml_model_free(scaler);
    return 1;
}

TEST(model, a_composite_in_use_is_busy_with_all_its_members)
{
    composite c = {.pipe = model(NULL, "pipeline"), .forest = model(NULL, "random_forest")};
    ml_dataset *iris = test_table(NULL, "iris");
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = change_composite, .monitor_user = &c};

    c.iris = iris;
    CHECK_OK(ml_model_add_member(c.pipe, "forest", c.forest));
    CHECK_FAILS(ml_model_fit(c.pipe, iris, &options), ML_E_CANCELLED, "stopped");
    CHECK(c.n_calls == 1);
    CHECK_OK(ml_model_set_int(c.pipe, "forest__n_estimators", 3));
    CHECK_OK(ml_model_set_int(c.forest, "n_estimators", 4));
    ml_model_free(c.pipe);
    ml_dataset_free(iris);
}

TEST(model, freeing_a_member_is_left_to_its_composite)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_model *pipe = model(context, "pipeline"), *tree = model(context, "decision_tree");

    CHECK_OK(ml_model_add_member(pipe, "tree", tree));
    ml_model_free(tree);
    CHECK_OK(ml_model_set_int(tree, "max_depth", 2));
    ml_model_free(pipe);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}

static int32_t collect_stages(void *user, const ml_progress *p)
{
    char *stages = user;

    if (!strstr(stages, p->stage) && strlen(stages) + strlen(p->stage) + 2 < 4096) {
        strcat(stages, p->stage);
        strcat(stages, "\n");
    }
    return 0;
}

TEST(model, progress_names_the_path)
{
    static char stages[4096];
    ml_model *ensemble = model(NULL, "weighted_average"), *pipe = model(NULL, "pipeline");
    ml_dataset *iris = test_table(NULL, "iris");
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = collect_stages, .monitor_user = stages};

    CHECK_OK(ml_model_add_member(pipe, "scale", model(NULL, "standard_scaler")));
    CHECK_OK(ml_model_add_member(pipe, "forest", model(NULL, "random_forest")));
    CHECK_OK(ml_model_set_int(pipe, "forest__n_estimators", 2));
    CHECK_OK(ml_model_add_member(ensemble, "pipe", pipe));
    CHECK_OK(ml_model_add_member(ensemble, "linear", model(NULL, "logistic_regression")));
    stages[0] = 0;
    CHECK_OK(ml_model_fit(ensemble, iris, &options));
    CHECK_MSG(strstr(stages, "weighted_average/pipe/forest"), "stages:\n%s", stages);
    CHECK_MSG(strstr(stages, "weighted_average/pipe/fold 2/forest"), "stages:\n%s", stages);
    ml_model_free(ensemble);
    ml_dataset_free(iris);
}

TEST(model, options_of_another_size)
{
    ml_model *m = model(NULL, "decision_tree");
    ml_dataset *iris = test_table(NULL, "iris");
    struct {
        ml_fit_options known;
        uint64_t later;
    } newer = {.known = {.struct_size = sizeof newer}};
    ml_fit_options older = {.struct_size = offsetof(ml_fit_options, deadline_seconds), .deadline_seconds = NAN};

    CHECK_OK(ml_model_fit(m, iris, &newer.known));
    newer.later = 1;
    CHECK_FAILS(ml_model_fit(m, iris, &newer.known), ML_E_ARGUMENT, "ml_fit_options");
    CHECK_OK(ml_model_fit(m, iris, &older));
    older.struct_size = sizeof older;
    CHECK_FAILS(ml_model_fit(m, iris, &older), ML_E_ARGUMENT, "deadline_seconds");
    older.struct_size = 0;
    CHECK_FAILS(ml_model_fit(m, iris, &older), ML_E_ARGUMENT, "struct_size");
    ml_model_free(m);
    ml_dataset_free(iris);
}

static void keep_message(void *user, int32_t level, const char *message)
{
    if (level == ML_LOG_WARNING)
        snprintf(user, 256, "%s", message);
}

static ml_context *listening(char message[256])
{
    const ml_context_options options = {.struct_size = sizeof options, .log = keep_message, .log_user = message};
    ml_context *context;

    message[0] = 0;
    CHECK_OK(ml_context_create(&options, &context));
    return context;
}

TEST(model, learning_from_one_class_is_logged)
{
    const double x[3] = {1, 2, 3};
    const int64_t y[3] = {4, 4, 4};
    char message[256];
    ml_context *context = listening(message);
    ml_dataset *data;
    ml_model *m = model(context, "decision_tree");

    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, 3, 1, 0, 0, ML_COPY, &data));
    CHECK_OK(ml_dataset_set_labels(data, "kind", y, 3, -1));
    CHECK_OK(ml_model_fit(m, data, NULL));
    CHECK_MSG(strstr(message, "output 'kind' has one class only, '4'"), "%s", message);
    ml_model_free(m);
    ml_dataset_free(data);
    ml_context_free(context);
}

TEST(model, a_text_among_numbers_is_logged)
{
    const char text[] = "a,b,c\n1,x,7\n2,y,8\noops,z,9\n";
    char message[256];
    ml_context *context = listening(message);
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_csv_memory(context, text, sizeof text - 1, "table", NULL, &data));
    CHECK_MSG(!strcmp(message, "table, column 'a' is categorical because of 'oops' in line 4, after 2 numbers"), "%s",
              message);
    CHECK(ml_dataset_n_categories(data, 0) == 3 && ml_dataset_n_categories(data, 2) == 0);
    ml_dataset_free(data);
    ml_context_free(context);
}
