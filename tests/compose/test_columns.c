/* SPDX-License-Identifier: Apache-2.0 */
/* column_transformer, and the data layer's selection of columns. */
#include "../learn/helpers.h"
#include "model/model.h"

static ml_dataset *people(void)
{
    const ml_csv_options options = {.struct_size = sizeof options, .target = "income"};
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_csv(NULL, test_expected_path("people.csv"), &options, &data));
    return data;
}

/* num: a pipeline that fills and scales; cat: one_hot_encoder. */
static ml_model *add_columns(ml_model *parent, const char *table)
{
    ml_model *columns = parent ? add_member(parent, "columns", "column_transformer") : NULL, *num;

    if (!columns)
        columns = new_model(NULL, "column_transformer");
    num = add_member(columns, "num", "pipeline");
    CHECK_OK(ml_model_set_text(add_member(num, "fill", "simple_imputer"), "strategy", "median"));
    add_member(num, "scale", "standard_scaler");
    add_member(columns, "cat", "one_hot_encoder");
    CHECK_OK(ml_model_set_text(columns, "columns", table));
    return columns;
}

static void check_names(const ml_model *model, const char *const *names, size_t n)
{
    ml__arena arena;
    ml__schema features = {0};

    ml__arena_init(&arena, model->context);
    CHECK_OK(model->kind->name_features(model, &arena, &features));
    CHECK(features.n_features == n);
    for (size_t j = 0; j < n; j++)
        CHECK_MSG(!strcmp(features.features[j].name, names[j]), "feature %zu is '%s', expected '%s'", j,
                  features.features[j].name, names[j]);
    ml__arena_free(&arena);
}

TEST(column_transformer, agrees_with_scikit_learn)
{
    static const char *const NAMES[] = {"num__age",
                                        "num__hours",
                                        "cat__work=private",
                                        "cat__work=public",
                                        "cat__work=self",
                                        "cat__education=basic",
                                        "cat__education=doctor",
                                        "cat__education=master",
                                        "cat__education=school",
                                        "remainder__gain"};
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("column_transformer.txt"), &n_expected), *out;
    ml_dataset *data = people();
    ml_model *columns = add_columns(NULL, "num = age, hours; cat = categorical");

    CHECK(n_expected == 10 * 10 + 120 * 2);
    CHECK_OK(ml_model_set_text(columns, "remainder", "passthrough"));
    CHECK_OK(ml_model_fit(columns, data, NULL));
    CHECK(ml_model_width(columns, ML_TRANSFORM) == 10);
    out = outputs_of(columns, data, ML_TRANSFORM, &n);
    for (size_t i = 0; i < 100; i++)
        CHECK_CLOSE(out[i], expected[i], 1e-14);
    check_names(columns, NAMES, 10);
    free(out);
    free(expected);
    ml_model_free(columns);
    ml_dataset_free(data);
}

/* Missing categories and numbers are filled on the way, so the model behind sees none: nothing is refused. */
TEST(column_transformer, before_a_model_agrees_with_scikit_learn)
{
    size_t n_expected, n;
    double *expected = test_read_numbers(test_expected_path("column_transformer.txt"), &n_expected), *out;
    ml_dataset *data = people();
    ml_model *pipe = new_model(NULL, "pipeline");

    add_columns(pipe, "num=numeric;cat=categorical");
    CHECK_OK(ml_model_set_real(add_member(pipe, "model", "logistic_regression"), "tol", 1e-11));
    CHECK_OK(ml_model_set_int(pipe, "model__max_iter", 10000));
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    out = outputs_of(pipe, data, ML_PREDICT_PROBA, &n);
    CHECK(n == 240);
    for (size_t i = 0; i < n; i++)
        CHECK_CLOSE(out[i], expected[100 + i], 1e-8);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 3), "cat__work=private"));
    free(out);
    free(expected);
    ml_model_free(pipe);
    ml_dataset_free(data);
}

/* ---- which columns ---- */

/* The columns of a six-column matrix that member "a" gets, as digits. */
static void check_selection(const char *table, const char *of_a, const char *of_b)
{
    static const double X[12] = {0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5};
    ml_dataset *data = matrix(NULL, X, 2, 6);
    ml_model *columns = new_model(NULL, "column_transformer");
    double out[24];
    char got[13] = "";
    size_t width;

    add_member(columns, "a", "passthrough");
    add_member(columns, "b", "passthrough");
    CHECK_OK(ml_model_set_text(columns, "columns", table));
    CHECK_OK(ml_model_fit(columns, data, NULL));
    width = ml_model_width(columns, ML_TRANSFORM);
    CHECK_OK(ml_model_transform(columns, data, out, 2 * width));
    for (size_t j = 0; j < width; j++) {
        got[j] = (char)('0' + (int)out[width + j]);
        CHECK(out[j] == out[width + j]);
    }
    CHECK_MSG(width == strlen(of_a) + strlen(of_b) && !strncmp(got, of_a, strlen(of_a)) &&
                  !strcmp(got + strlen(of_a), of_b),
              "%s gives %s, expected %s and %s", table, got, of_a, of_b);
    ml_model_free(columns);
    ml_dataset_free(data);
}

TEST(column_transformer, columns_are_named_numbered_and_described)
{
    check_selection("a=#0;b=#-1", "0", "5");
    check_selection("a=x3,#1;b=#2:4", "31", "23");
    check_selection("a=#:2;b=#-2:", "01", "45");
    check_selection("a=#1:-3 , #0;b=rest", "120", "345");
    check_selection(" a = rest ; b = \"x5\" , x0 ; ", "1234", "50");
    check_selection("a=numeric,#2;b=categorical", "012345", "");
    check_selection("a=all;b=all", "012345", "012345");
    check_selection("a=#0;b=#1;a=#2,#0,x2", "02", "1");
    check_selection("a=#:;b=#5", "012345", "5");
}

TEST(column_transformer, quoted_names_are_names)
{
    static const char CSV[] = "\"a, b\",numeric,#0,\"x\"\"y=\"\n1,2,3,4\n5,6,7,8\n";
    ml_dataset *data;
    ml_model *columns = new_model(NULL, "column_transformer");
    double out[6];

    CHECK_OK(ml_dataset_from_csv_memory(NULL, CSV, sizeof CSV - 1, NULL, NULL, &data));
    add_member(columns, "a", "passthrough");
    CHECK_OK(ml_model_set_text(columns, "columns", "a=\"x\"\"y=\",\"#0\",\"numeric\""));
    CHECK_OK(ml_model_fit(columns, data, NULL));
    CHECK_OK(ml_model_transform(columns, data, out, 6));
    CHECK(out[0] == 4 && out[1] == 3 && out[2] == 2 && out[5] == 6);
    CHECK_OK(ml_model_set_text(columns, "columns", "a=\"a, b\",#0"));
    CHECK_OK(ml_model_fit(columns, data, NULL));
    CHECK(ml_model_width(columns, ML_TRANSFORM) == 1);
    ml_model_free(columns);
    ml_dataset_free(data);
}

TEST(column_transformer, tables_that_are_none_are_refused)
{
    static const char *const BAD[] = {"a",     "a=",     "=b",      "a=b,",   "a=,b",
                                      "a=\"b", "a=b\"c", "a=b c;d", "a=\"\"", "a=b;;=c"};
    ml_model *columns = new_model(NULL, "column_transformer");
    char text[5000], got[16];

    CHECK_OK(ml_model_set_text(columns, "columns", "a=b"));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        CHECK_FAILS(ml_model_set_text(columns, "columns", BAD[i]), ML_E_PARAMETER,
                    "parameter 'columns' takes a table member=column,column;member=column");
    memset(text, 'c', sizeof text);
    memcpy(text, "a=", 2);
    text[sizeof text - 1] = 0;
    CHECK_FAILS(ml_model_set_text(columns, "columns", text), ML_E_PARAMETER, "at most 4095 characters, got 4999");
    CHECK_FAILS(ml_model_set_int(columns, "columns", 3), ML_E_PARAMETER, "takes a table");
    CHECK_OK(ml_model_get_text(columns, "columns", got, sizeof got, NULL));
    CHECK(!strcmp(got, "a=b"));
    ml_model_free(columns);
}

TEST(column_transformer, a_long_table_survives_a_file)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *columns = new_model(NULL, "column_transformer"), *loaded;
    char text[4096] = "a=#0", got[4096];
    size_t n_bytes;
    void *bytes;

    for (size_t n = strlen(text); n + 3 < sizeof text; n += 3)
        strcpy(text + n, ",#1");
    add_member(columns, "a", "standard_scaler");
    CHECK_OK(ml_model_set_text(columns, "columns", text));
    CHECK_OK(ml_model_fit(columns, iris, NULL));
    CHECK(ml_model_width(columns, ML_TRANSFORM) == 2);
    bytes = test_saved(columns, &n_bytes);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_get_text(loaded, "columns", got, sizeof got, NULL));
    CHECK(!strcmp(got, text));
    free(bytes);
    ml_model_free(columns);
    ml_model_free(loaded);
    ml_dataset_free(iris);
}

TEST(column_transformer, errors_name_column_and_member)
{
    static const struct {
        const char *table;
        ml_status code;
        const char *message;
    } CASES[] = {
        {"d=all", ML_E_PARAMETER, "columns: there is no member 'd'"},
        {"a=all;c=all", ML_E_PARAMETER, "columns: member 'b' is given none, \"b=all\" gives it all"},
        {"a=height;b=all;c=all", ML_E_DATA, "columns: no feature is named 'height'"},
        {"a=#5;b=all;c=all", ML_E_DATA, "columns: '#5' is none of the 5 columns"},
        {"a=#9223372036854775807;b=all;c=all", ML_E_DATA, "'#9223372036854775807' is none of the 5 columns"},
        {"a=#-6;b=all;c=all", ML_E_DATA, "'#-6' is none of the 5 columns"},
        {"a=#3:2;b=all;c=all", ML_E_DATA, "'#3:2' is none of the 5 columns"},
        {"a=#one;b=all;c=all", ML_E_DATA, "'#one' is none of the 5 columns"},
        {"a=categorical;b=all;c=all", ML_E_DATA,
         "a: standard_scaler takes numbers only, feature 'work' is categorical"},
        {"a=numeric;b=age;c=all", ML_E_DATA, "b: pca takes no missing values, row 4 of feature 'age'"},
    };
    ml_dataset *data = people(), *iris = test_table(NULL, "iris");
    ml_model *columns = new_model(NULL, "column_transformer");

    add_member(columns, "a", "standard_scaler");
    add_member(columns, "b", "pca");
    add_member(columns, "c", "passthrough");
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        CHECK_OK(ml_model_set_text(columns, "columns", CASES[c].table));
        CHECK_FAILS(ml_model_fit(columns, data, NULL), CASES[c].code, CASES[c].message);
    }
    CHECK_OK(ml_model_set_text(columns, "columns", "a=categorical;b=categorical;c=categorical"));
    CHECK_FAILS(ml_model_fit(columns, iris, NULL), ML_E_DATA, "no member gets a column of the 4, and none is kept");
    add_member(columns, "remainder", "decision_tree");
    CHECK_FAILS(ml_model_fit(columns, iris, NULL), ML_E_PARAMETER,
                "member 'remainder' (decision_tree) cannot transform");
    ml_model_free(columns);
    columns = new_model(NULL, "column_transformer");
    add_member(columns, "remainder", "passthrough");
    CHECK_OK(ml_model_set_text(columns, "columns", "remainder=#0"));
    CHECK_OK(ml_model_fit(columns, iris, NULL));
    CHECK_OK(ml_model_set_text(columns, "remainder", "passthrough"));
    CHECK_FAILS(ml_model_fit(columns, iris, NULL), ML_E_PARAMETER, "cannot be named 'remainder'");
    ml_model_free(columns);
    ml_dataset_free(data);
    ml_dataset_free(iris);
}

TEST(column_transformer, columns_that_no_member_gets_may_be_of_any_sort)
{
    ml_dataset *data = people();
    ml_model *columns = new_model(NULL, "column_transformer"), *pipe = new_model(NULL, "pipeline");

    add_member(columns, "scale", "pca");
    CHECK_OK(ml_model_set_text(columns, "columns", "scale=gain"));
    CHECK_OK(ml_model_add_member(pipe, "columns", columns));
    add_member(pipe, "model", "logistic_regression");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    ml_model_free(pipe);
    ml_dataset_free(data);
}

/* A member that takes no missing values is asked, also when the fit saw none. */
TEST(column_transformer, missing_values_are_refused_by_the_member_that_sees_them)
{
    ml_dataset *iris = test_table(NULL, "iris"), *holes = with_holes(iris);
    ml_model *columns = new_model(NULL, "column_transformer"), *pipe = new_model(NULL, "pipeline");
    double *out;
    size_t n;

    add_member(columns, "a", "standard_scaler");
    add_member(columns, "b", "pca");
    CHECK_OK(ml_model_set_text(columns, "columns", "a=#0;b=#1"));
    CHECK_OK(ml_model_fit(columns, iris, NULL));
    out = malloc(300 * sizeof *out);
    CHECK_FAILS(ml_model_transform(columns, holes, out, 300), ML_E_DATA,
                "member 'b' (pca) takes no missing values, feature 'sepal_width_cm' has one");
    ml_model_free(columns);
    free(out);
    columns = add_member(pipe, "columns", "column_transformer");
    add_member(columns, "a", "standard_scaler");
    CHECK_OK(ml_model_set_text(columns, "columns", "a=all"));
    add_member(pipe, "model", "logistic_regression");
    CHECK_OK(ml_model_fit(pipe, iris, NULL));
    out = outputs_of(pipe, iris, ML_PREDICT, &n);
    CHECK_FAILS(ml_model_predict(pipe, holes, out, n), ML_E_DATA,
                "member 'model' (logistic_regression) takes no missing values, feature 'a__sepal_length_cm' has one");
    ml_model_free(pipe);
    ml_dataset_free(iris);
    ml_dataset_free(holes);
    free(out);
}

/* ---- with other composites, validation data and weights ---- */

TEST(column_transformer, nests_and_survives_a_file)
{
    ml_dataset *data = people();
    ml_model *pipe = new_model(NULL, "pipeline"), *columns = add_member(pipe, "columns", "column_transformer"), *both,
             *inner, *loaded;
    double *p, *q;
    size_t n_bytes, n, m;
    void *bytes;

    both = add_member(columns, "num", "feature_union");
    inner = add_member(both, "ranks", "pipeline");
    CHECK_OK(ml_model_set_text(add_member(inner, "fill", "simple_imputer"), "add_indicator", "true"));
    add_member(inner, "rank", "quantile_transformer");
    CHECK_OK(ml_model_set_text(add_member(both, "fill", "simple_imputer"), "strategy", "median"));
    add_member(columns, "cat", "one_hot_encoder");
    CHECK_OK(ml_model_set_text(columns, "columns", "num=rest;cat=work,education"));
    add_member(pipe, "model", "logistic_regression");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_n_features(ml_model_member(pipe, 1)) == (3 + 2) + 3 + 7);
    CHECK(!strcmp(ml_model_feature_name(ml_model_member(pipe, 1), 4), "num__ranks__missingindicator_hours"));
    bytes = test_saved(pipe, &n_bytes);
    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    p = outputs_of(pipe, data, ML_PREDICT_PROBA, &n);
    q = outputs_of(loaded, data, ML_PREDICT_PROBA, &m);
    CHECK_SAME_BYTES(p, n * sizeof *p, q, m * sizeof *q);
    free(bytes);
    free(p);
    free(q);
    ml_model_free(pipe);
    ml_model_free(loaded);
    ml_dataset_free(data);
}

TEST(column_transformer, validation_data_and_weights_reach_what_follows)
{
    ml_dataset *data = people(), *train, *held_out;
    ml_model *pipe = new_model(NULL, "pipeline"), *scaler;
    ml_fit_options options = {.struct_size = sizeof options};
    double w[120], mean, W = 0, y[120];

    for (int i = 0; i < 120; i++)
        w[i] = 1 + i % 3;
    CHECK_OK(ml_dataset_set_weights(data, w, 120));
    CHECK_OK(ml_dataset_split(data, 0.3, 1, ML_STRATIFY, &train, &held_out));
    add_columns(pipe, "num=numeric;cat=categorical");
    CHECK_OK(ml_model_set_int(add_member(pipe, "net", "logistic_regression"), "max_iter", 20));
    options.validation = held_out;
    CHECK_OK(ml_model_fit(pipe, train, &options));
    CHECK_OK(ml_model_predict(pipe, held_out, y, ml_dataset_n_rows(held_out)));
    /* "gain" misses no value: its mean is the weighted one */
    scaler = pipe->learned->members.items[0].model->learned->members.items[0].model->learned->members.items[1].model;
    mean = 0;
    ml__dataset_read_weights(train, w);
    for (size_t i = 0; i < ml_dataset_n_rows(train); i++) {
        double row[5];

        CHECK_OK(ml_dataset_row(train, i, row, 5));
        mean += w[i] * row[4];
        W += w[i];
    }
    CHECK_CLOSE(reals_of(scaler, "mean")[2], mean / W, 1e-13);
    ml_model_free(pipe);
    ml_dataset_free(train);
    ml_dataset_free(held_out);
    ml_dataset_free(data);
}

TEST(column_transformer, other_categories_and_names_are_refused)
{
    static const char OTHER[] = "age,work,hours,education,gain\n30,private,40,doctor,5\n20,nowhere,30,master,6\n",
                      NAMES[] = "age,job,hours,education,gain\n30,private,40,doctor,5\n20,self,30,master,6\n";
    ml_dataset *data = people(), *other, *names;
    ml_model *columns = add_columns(NULL, "num=numeric;cat=categorical");
    double out[20];

    CHECK_OK(ml_model_fit(columns, data, NULL));
    CHECK_OK(ml_dataset_from_csv_memory(NULL, OTHER, sizeof OTHER - 1, NULL, NULL, &other));
    CHECK_OK(ml_dataset_from_csv_memory(NULL, NAMES, sizeof NAMES - 1, NULL, NULL, &names));
    CHECK_FAILS(ml_model_transform(columns, other, out, 20), ML_E_DATA, "('work') has 2 categories, expected 3");
    CHECK_FAILS(ml_model_transform(columns, names, out, 20), ML_E_DATA, "feature 1 is 'job', expected 'work'");
    ml_model_free(columns);
    ml_dataset_free(data);
    ml_dataset_free(other);
    ml_dataset_free(names);
}

/* ---- columns of a dataset ---- */

TEST(column_transformer, selected_columns_keep_names_categories_outputs_and_weights)
{
    static const int64_t COLUMNS[] = {3, 0};
    ml_dataset *data = people(), *view, *made;
    size_t rows[] = {7, 2, 5};
    double wide[5], narrow[2], weights[120], y[3];

    for (int i = 0; i < 120; i++)
        weights[i] = 1 + i;
    CHECK_OK(ml_dataset_set_weights(data, weights, 120));
    CHECK_OK(ml_dataset_subset(data, rows, 3, &view));
    CHECK_OK(ml__dataset_select(view, COLUMNS, 2, &made));
    CHECK(ml_dataset_n_rows(made) == 3 && ml_dataset_n_features(made) == 2);
    CHECK(!strcmp(ml_dataset_feature_name(made, 0), "education") && !strcmp(ml_dataset_feature_name(made, 1), "age"));
    CHECK(ml__dataset_schema(made)->features[0].n_categories == 4 &&
          !ml__dataset_schema(made)->features[1].n_categories);
    CHECK(!strcmp(ml__dataset_schema(made)->features[0].categories[2], "master"));
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(ml_dataset_row(data, rows[i], wide, 5));
        CHECK_OK(ml_dataset_row(made, i, narrow, 2));
        CHECK_CLOSE(narrow[0], wide[3], 0);
        CHECK_CLOSE(narrow[1], wide[0], 0);
    }
    ml__dataset_read_weights(made, weights);
    CHECK(weights[0] == 8 && weights[1] == 3 && weights[2] == 6);
    CHECK_OK(ml_dataset_output(made, 0, y, 3));
    CHECK(!strcmp(ml_dataset_class_name(made, 0, (size_t)y[0]), ml_dataset_class_name(data, 0, (size_t)y[0])));
    ml_dataset_free(made);
    ml_dataset_free(view);
    ml_dataset_free(data);
}

/* ---- what a file could say ---- */

TEST(column_transformer, tensors_that_do_not_fit_are_refused)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *columns = new_model(NULL, "column_transformer");
    const int64_t *column, *offsets;

    add_member(columns, "a", "standard_scaler");
    add_member(columns, "b", "passthrough");
    CHECK_OK(ml_model_set_text(columns, "columns", "a=#0;b=#2:"));
    CHECK_OK(ml_model_set_text(columns, "remainder", "passthrough"));
    CHECK_OK(ml_model_fit(columns, iris, NULL));
    column = test_tensor(columns, "columns")->data;
    offsets = test_tensor(columns, "offsets")->data;
    CHECK(offsets[0] == 0 && offsets[1] == 1 && offsets[2] == 3 && offsets[3] == 4 && column[3] == 1);
    CHECK_REFUSED_VALUE(columns, "columns", 3, 4, "element 3 is 4, there are 4");
    CHECK_REFUSED_VALUE(columns, "offsets", 1, 2, "member 'a' takes 1 features and gets 2");
    CHECK_REFUSED_VALUE(columns, "offsets", 1, 4, "'offsets' descends at element 2");
    CHECK_REFUSED_VALUE(columns, "offsets", 3, 5, "does not span the 4 columns");
    CHECK_OK(ml__learned_validate(columns, columns->learned, false));
    ml_model_free(columns);
    ml_dataset_free(iris);
}

/* ---- feature_union ---- */

TEST(feature_union, is_its_members_side_by_side)
{
    static const char *const NAMES[] = {"raw__sepal_length_cm", "raw__sepal_width_cm", "raw__petal_length_cm",
                                        "raw__petal_width_cm",  "mix__gmm_p0",         "mix__gmm_p1"};
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *both = new_model(NULL, "feature_union"), *mix = new_model(NULL, "gmm");
    double *a, *b;
    size_t n, m;

    add_member(both, "raw", "passthrough");
    CHECK_OK(ml_model_set_int(add_member(both, "mix", "gmm"), "n_components", 2));
    CHECK_OK(ml_model_set_int(mix, "n_components", 2));
    CHECK_OK(ml_model_set_text(mix, "passthrough", "true"));
    CHECK_OK(ml_model_fit(both, iris, NULL));
    CHECK_OK(ml_model_fit(mix, iris, NULL));
    a = outputs_of(both, iris, ML_TRANSFORM, &n);
    b = outputs_of(mix, iris, ML_TRANSFORM, &m);
    CHECK_SAME_BYTES(a, n * sizeof *a, b, m * sizeof *b);
    CHECK(ml_model_stop_reason(both) == ml_model_stop_reason(mix));
    check_names(both, NAMES, 6);
    free(a);
    free(b);
    ml_model_free(both);
    ml_model_free(mix);
    ml_dataset_free(iris);
}

/* Posteriors and the features themselves, for a network: what it learns from a mixture that keeps the features. */
TEST(feature_union, feeds_a_network)
{
    ml_dataset *wine = test_table(NULL, "wine");
    ml_model *a = new_model(NULL, "pipeline"), *b = new_model(NULL, "pipeline"), *both;
    double *p, *q, accuracy;
    size_t n, m;

    add_member(a, "scale", "standard_scaler");
    both = add_member(a, "both", "feature_union");
    add_member(both, "raw", "passthrough");
    CHECK_OK(ml_model_set_int(add_member(both, "mix", "gmm"), "n_components", 3));
    CHECK_OK(ml_model_set_int(add_member(a, "net", "mlp"), "max_iter", 40));
    add_member(b, "scale", "standard_scaler");
    CHECK_OK(ml_model_set_text(add_member(b, "mix", "gmm"), "passthrough", "true"));
    CHECK_OK(ml_model_set_int(b, "mix__n_components", 3));
    CHECK_OK(ml_model_set_int(add_member(b, "net", "mlp"), "max_iter", 40));
    CHECK_OK(ml_model_fit(a, wine, NULL));
    CHECK_OK(ml_model_fit(b, wine, NULL));
    p = outputs_of(a, wine, ML_PREDICT_PROBA, &n);
    q = outputs_of(b, wine, ML_PREDICT_PROBA, &m);
    CHECK_SAME_BYTES(p, n * sizeof *p, q, m * sizeof *q);
    CHECK_OK(ml_model_score(a, wine, "accuracy", &accuracy));
    CHECK(accuracy > 0.95);
    free(p);
    free(q);
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(wine);
}

TEST(feature_union, takes_what_all_members_take)
{
    ml_dataset *data = people();
    ml_model *both = new_model(NULL, "feature_union"), *pipe = new_model(NULL, "pipeline"), *code;
    double *out;
    size_t n;

    add_member(both, "a", "simple_imputer");
    add_member(both, "b", "standard_scaler");
    CHECK_FAILS(ml_model_fit(both, data, NULL), ML_E_DATA, "feature_union takes numbers only, feature 'work'");
    ml_model_free(both);
    both = add_member(pipe, "both", "feature_union");
    add_member(both, "fill", "simple_imputer");
    code = add_member(both, "code", "pipeline");
    add_member(code, "encode", "one_hot_encoder");
    add_member(code, "fill", "simple_imputer");
    add_member(pipe, "tree", "decision_tree");
    CHECK_OK(ml_model_fit(pipe, data, NULL));
    CHECK(ml_model_n_features(ml_model_member(pipe, 1)) == 5 + 10);
    CHECK(ml__dataset_schema(data)->features[1].n_categories == 3 &&
          pipe->learned->members.items[1].model->learned->schema.features[1].n_categories == 3);
    out = outputs_of(pipe, data, ML_PREDICT, &n);
    free(out);
    ml_model_free(pipe);
    ml_dataset_free(data);
}

TEST(feature_union, members_that_cannot_transform_are_named)
{
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *both = new_model(NULL, "feature_union"), *pipe = add_member(both, "p", "pipeline");

    add_member(pipe, "tree", "decision_tree");
    CHECK_FAILS(ml_model_fit(both, iris, NULL), ML_E_PARAMETER, "member 'p' (pipeline) cannot transform");
    ml_model_free(both);
    ml_dataset_free(iris);
}

/* ---- while it is fitted ---- */

static int32_t collect(void *user, const ml_progress *progress)
{
    char *stages = user;

    if (strlen(stages) + strlen(progress->stage) + 2 < 512)
        strcat(strcat(stages, progress->stage), " ");
    return ML_MONITOR_CONTINUE;
}

TEST(feature_union, a_monitor_sees_the_path)
{
    char stages[512] = "";
    const ml_fit_options options = {.struct_size = sizeof options, .monitor = collect, .monitor_user = stages};
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *pipe = new_model(NULL, "pipeline"), *both = add_member(pipe, "both", "feature_union");

    add_member(both, "a", "standard_scaler");
    add_member(both, "b", "passthrough");
    CHECK_OK(ml_model_fit(pipe, iris, &options));
    CHECK_MSG(!strcmp(stages, "pipeline/both/a pipeline/both pipeline/both/b pipeline/both pipeline "), "stages: %s",
              stages);
    ml_model_free(pipe);
    ml_dataset_free(iris);
}

TEST(feature_union, a_deadline_in_any_member_is_its_stop_reason)
{
    const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
    ml_dataset *iris = test_table(NULL, "iris");
    ml_model *both = new_model(NULL, "feature_union");

    CHECK_OK(ml_model_set_int(add_member(both, "mix", "gmm"), "n_components", 3));
    add_member(both, "raw", "passthrough");
    CHECK_OK(ml_model_fit(both, iris, &options));
    CHECK(ml_model_stop_reason(both) == ML_STOP_DEADLINE);
    CHECK(ml_model_stop_reason(ml_model_member(both, 1)) == ML_STOP_COMPLETE);
    ml_model_free(both);
    ml_dataset_free(iris);
}

/* ---- new features as a dataset ---- */

static const ml_csv_options IRIS = {.struct_size = sizeof IRIS, .target = "target", .task = ML_TASK_CLASSIFY};

static ml_dataset *iris_in_file(void)
{
    ml_dataset *data;

    CHECK_OK(ml_dataset_open_csv(NULL, test_data_path("iris.csv"), &IRIS, &data));
    return data;
}

static ml_model *scaled_beside_components(ml_context *context, const ml_dataset *data)
{
    ml_model *both = new_model(context, "feature_union");

    add_member(both, "scaled", "standard_scaler");
    CHECK_OK(ml_model_set_int(add_member(both, "main", "pca"), "n_components", 2));
    CHECK_OK(ml_model_fit(both, data, NULL));
    return both;
}

TEST(transform_dataset, has_the_new_features_and_the_old_outputs)
{
    static const char *const NAMES[] = {"scaled__sepal_length_cm",
                                        "scaled__sepal_width_cm",
                                        "scaled__petal_length_cm",
                                        "scaled__petal_width_cm",
                                        "main__pca0",
                                        "main__pca1"};

    for (int streamed = 0; streamed < 2; streamed++) {
        ml_dataset *iris = streamed ? iris_in_file() : test_table(NULL, "iris"), *made;
        ml_model *both = scaled_beside_components(NULL, iris), *bayes;
        double want[150 * 6], got[6];
        int32_t labels[150], made_labels[150];

        CHECK_OK(ml_model_transform(both, iris, want, 150 * 6));
        CHECK_OK(ml_model_transform_dataset(both, iris, &made));
        ml_model_free(both);
        CHECK(ml_dataset_n_rows(made) == 150 && ml_dataset_n_features(made) == 6);
        for (size_t j = 0; j < 6; j++)
            CHECK_MSG(!strcmp(ml_dataset_feature_name(made, j), NAMES[j]), "%s", ml_dataset_feature_name(made, j));
        for (size_t i = 0; i < 150; i++) {
            CHECK_OK(ml_dataset_row(made, i, got, 6));
            CHECK_SAME_BYTES(got, sizeof got, want + i * 6, sizeof got);
        }
        ml__dataset_read_labels(iris, 0, labels);
        ml__dataset_read_labels(made, 0, made_labels);
        CHECK_SAME_BYTES(made_labels, sizeof labels, labels, sizeof labels);
        ml_dataset_free(iris);
        bayes = fitted_model(NULL, "gmm_classifier", made);
        CHECK(ml_model_n_classes(bayes, 0) == 3);
        ml_model_free(bayes);
        ml_dataset_free(made);
    }
}

TEST(transform_dataset, outlives_the_contexts_of_model_and_data)
{
    for (int shared = 0; shared < 2; shared++) {
        test_allocator for_model = {0}, for_data = {0};
        ml_context *a = test_context(&for_model, 1), *b = shared ? a : test_context(&for_data, 1);
        ml_dataset *iris, *made;
        ml_model *both;
        double row[6];

        CHECK_OK(ml_dataset_open_csv(b, test_data_path("iris.csv"), &IRIS, &iris));
        both = scaled_beside_components(a, iris);
        CHECK_OK(ml_model_transform_dataset(both, iris, &made));
        ml_model_free(both);
        ml_dataset_free(iris);
        ml_context_free(a);
        if (!shared)
            ml_context_free(b);
        CHECK_OK(ml_dataset_row(made, 149, row, 6));
        ml_dataset_free(made);
        CHECK(!for_model.n_live && !for_data.n_live);
    }
}

TEST(transform_dataset, bad_arguments_are_refused)
{
    const double x[] = {1, 2, NAN, 4, 5, 6, 1, 1}, tall[] = {1e200, 1, 1, 1};
    ml_dataset *iris = test_table(NULL, "iris"), *missing = matrix(NULL, x, 2, 4), *large = matrix(NULL, tall, 1, 4);
    ml_dataset *out = iris;
    ml_model *both = scaled_beside_components(NULL, iris), *forest = fitted_model(NULL, "decision_tree", iris);
    ml_model *fresh = new_model(NULL, "standard_scaler"), *powers = new_model(NULL, "polynomial_features");

    CHECK_FAILS(ml_model_transform_dataset(NULL, iris, &out), ML_E_ARGUMENT, "model");
    CHECK(!out);
    CHECK_FAILS(ml_model_transform_dataset(both, NULL, &out), ML_E_ARGUMENT, "data");
    CHECK_FAILS(ml_model_transform_dataset(both, iris, NULL), ML_E_ARGUMENT, "out");
    CHECK_FAILS(ml_model_transform_dataset(fresh, iris, &out), ML_E_STATE, "standard_scaler is not fitted");
    CHECK_FAILS(ml_model_transform_dataset(forest, iris, &out), ML_E_UNSUPPORTED, "decision_tree");
    CHECK_FAILS(ml_model_transform_dataset(both, missing, &out), ML_E_DATA, "missing");
    CHECK(!out);
    CHECK_OK(ml_model_fit(powers, iris, NULL));
    CHECK_FAILS(ml_model_transform_dataset(powers, large, &out), ML_E_DATA, "row 0, column 5");
    CHECK(!out);
    ml_model_free(powers);
    ml_model_free(fresh);
    ml_model_free(forest);
    ml_model_free(both);
    ml_dataset_free(large);
    ml_dataset_free(missing);
    ml_dataset_free(iris);
}

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
} to_transform;

static ml_status transform_once(ml_context *context, void *argument)
{
    const to_transform *t = argument;
    ml_dataset *out;
    const ml_status st = ml_model_transform_dataset(t->model, t->data, &out);

    (void)context;
    ml_dataset_free(out);
    return st;
}

TEST(transform_dataset, every_allocation_may_fail)
{
    for (int streamed = 0; streamed < 2; streamed++) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, 2);
        ml_dataset *iris = streamed ? iris_in_file() : test_table(NULL, "iris");
        ml_model *both = scaled_beside_components(context, iris);

        CHECK(test_failing_allocations(&allocator, context, "transform_dataset", transform_once,
                                       &(to_transform){both, iris}) > 4);
        ml_model_free(both);
        ml_dataset_free(iris);
        ml_context_free(context);
    }
}
