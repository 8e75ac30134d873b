/* SPDX-License-Identifier: Apache-2.0 */
/* What the columns of a CSV file become: features, categories, labels, reals, weights. */
#include "csv_stream.h"
#include "data/dataset.h"
#include "test.h"

static ml_status read(const char *text, const ml_csv_options *options, ml_dataset **out)
{
    ml_csv_options with_size = options ? *options : (ml_csv_options){0};

    with_size.struct_size = sizeof with_size;
    test_csv_stream(text, strlen(text), &with_size);
    return ml_dataset_from_csv_memory(NULL, text, strlen(text), "t.csv", &with_size, out);
}

static ml_dataset *good(const char *text, const ml_csv_options *options)
{
    ml_dataset *data;

    CHECK_OK(read(text, options, &data));
    return data;
}

static void bad(const char *text, const ml_csv_options *options, ml_status code, const char *message)
{
    ml_dataset *data;

    CHECK_FAILS(read(text, options, &data), code, message);
    CHECK(data == NULL);
}

static double cell(const ml_dataset *data, size_t row, size_t feature)
{
    double values[64];

    CHECK_OK(ml_dataset_row(data, row, values, ml_dataset_n_features(data)));
    return values[feature];
}

static double output(const ml_dataset *data, size_t row, size_t o)
{
    double values[64];

    CHECK_OK(ml_dataset_output(data, o, values, ml_dataset_n_rows(data)));
    return values[row];
}

static bool is_class(const ml_dataset *data, size_t o, size_t k, const char *name)
{
    const char *got = ml_dataset_class_name(data, o, k);
    return got && !strcmp(got, name);
}

static bool is_category(const ml_dataset *data, size_t feature, size_t k, const char *name)
{
    const char *got = ml_dataset_category_name(data, feature, k);
    return got && !strcmp(got, name);
}

/* ---- header ---- */

TEST(csv_columns, a_first_line_without_numbers_is_a_header)
{
    ml_dataset *data = good("a,b\n1,2\n", NULL);

    CHECK(ml_dataset_n_rows(data) == 1 && !strcmp(ml_dataset_feature_name(data, 1), "b"));
    ml_dataset_free(data);
    data = good("M,0.5\nF,0.25\n", NULL);
    CHECK(ml_dataset_n_rows(data) == 2 && !strcmp(ml_dataset_feature_name(data, 1), "x1"));
    CHECK(cell(data, 0, 0) == 1 && cell(data, 1, 0) == 0); /* ranks: F, M */
    ml_dataset_free(data);
    data = good("a,b\nc,d\n", NULL); /* texts only: still a header */
    CHECK(ml_dataset_n_rows(data) == 1 && is_category(data, 0, 0, "c"));
    ml_dataset_free(data);
    data = good("a,b\nc,d\n", &(ml_csv_options){.header = ML_HEADER_NO});
    CHECK(ml_dataset_n_rows(data) == 2);
    ml_dataset_free(data);
    data = good("1,2\n3,4\n", &(ml_csv_options){.header = ML_HEADER_YES});
    CHECK(ml_dataset_n_rows(data) == 1 && !strcmp(ml_dataset_feature_name(data, 0), "1"));
    ml_dataset_free(data);
    bad("a,b\n", NULL, ML_E_DATA, "t.csv, line 1: a header without rows");
    bad("\n\n1,2\n", &(ml_csv_options){.header = ML_HEADER_YES}, ML_E_DATA, "t.csv, line 3: a header without rows");
}

TEST(csv_columns, names_must_be_usable)
{
    char text[400] = "a,";

    bad("a,,c\n1,2,3\n", NULL, ML_E_DATA, "t.csv, line 1: the name of column 2 is empty");
    bad("a,b,a\n1,2,3\n", NULL, ML_E_DATA, "t.csv, line 1: columns 1 and 3 are both named 'a'");
    memset(text + 2, 'n', 256);
    strcpy(text + 258, "\n1,2\n");
    bad(text, NULL, ML_E_DATA, "t.csv, line 1: the name of column 2 has 256 bytes, at most 255 are allowed");
    ml_dataset_free(good(",b\n1,2\n", &(ml_csv_options){.ignore = "#0"})); /* an index column without name */
    bad("\x1B[31m,\x1B[31m\n1,2\n", NULL, ML_E_DATA, "columns 1 and 2 are both named '\\x1B[31m'");
}

/* ---- roles ---- */

TEST(csv_columns, roles_are_given_by_name_or_number)
{
    static const char TEXT[] = "a,b,c,d\n1,2,3,4\n5,6,7,8\n";
    ml_dataset *data = good(TEXT, &(ml_csv_options){.target = " d , #0 ", .weight = "#-2", .task = ML_TASK_REGRESS});
    double weights[2];

    CHECK(ml_dataset_n_features(data) == 1 && !strcmp(ml_dataset_feature_name(data, 0), "b"));
    CHECK(ml_dataset_n_outputs(data) == 2 && !strcmp(ml_dataset_output_name(data, 0), "d"));
    CHECK(!strcmp(ml_dataset_output_name(data, 1), "a") && output(data, 1, 0) == 8 && output(data, 1, 1) == 5);
    CHECK_OK(ml_dataset_weights(data, weights, 2));
    CHECK(weights[0] == 3 && weights[1] == 7);
    ml_dataset_free(data);
    data = good("1,2,3\n4,5,6\n", &(ml_csv_options){.target = "x2", .ignore = "x0", .task = ML_TASK_REGRESS});
    CHECK(ml_dataset_n_features(data) == 1 && cell(data, 1, 0) == 5 && output(data, 0, 0) == 3);
    ml_dataset_free(data);
}

TEST(csv_columns, roles_that_fit_no_column_are_refused)
{
    static const char TEXT[] = "a,b,c\n1,2,3\n";
    static const char WIDE[] = "a,b,c,d,e,f,g,h,i,j\n1,2,3,4,5,6,7,8,9,0\n";

    bad(TEXT, &(ml_csv_options){.target = "z"}, ML_E_DATA, "t.csv: option target: no column 'z'; there are 3: a, b, c");
    bad(WIDE, &(ml_csv_options){.ignore = "z"}, ML_E_DATA,
        "t.csv: option ignore: no column 'z'; there are 10: a, b, c, d, e, f, g, h, ...");
    bad(TEXT, &(ml_csv_options){.target = "#3"}, ML_E_DATA, "no column '#3'");
    bad(TEXT, &(ml_csv_options){.target = "#4"}, ML_E_DATA, "no column '#4'");
    bad(TEXT, &(ml_csv_options){.target = "#-4"}, ML_E_DATA, "no column '#-4'");
    bad(TEXT, &(ml_csv_options){.target = "#99999999999999999999"}, ML_E_DATA, "no column '#99999999999999999999'");
    bad(TEXT, &(ml_csv_options){.target = ""}, ML_E_ARGUMENT, "option target has an empty name");
    bad(TEXT, &(ml_csv_options){.target = "a,,b"}, ML_E_ARGUMENT, "option target has an empty name");
    bad(TEXT, &(ml_csv_options){.target = "a,a"}, ML_E_DATA,
        "t.csv: option target: column 'a' has been named by an option already");
    bad(TEXT, &(ml_csv_options){.target = "a", .ignore = "#0"}, ML_E_DATA,
        "option ignore: column 'a' has been named by an option already");
    bad(TEXT, &(ml_csv_options){.weight = "a,b"}, ML_E_ARGUMENT, "option weight names 2 columns");
    bad(TEXT, &(ml_csv_options){.target = "a", .weight = "b", .ignore = "c"}, ML_E_DATA,
        "t.csv: no column is left for features");
    bad("a,a\n1,2\n", &(ml_csv_options){.ignore = "a"}, ML_E_DATA,
        "t.csv: option ignore: columns 1 and 2 are both named 'a'");
}

TEST(csv_columns, options_are_checked)
{
    const ml_csv_options unknown = {.struct_size = 3};
    const ml_csv_options old = {.struct_size = offsetof(ml_csv_options, ignore), .target = "b"};
    ml_dataset *data;

    bad("a\n1\n", &(ml_csv_options){.header = 3}, ML_E_ARGUMENT, "option header is 3");
    bad("a\n1\n", &(ml_csv_options){.task = 3}, ML_E_ARGUMENT, "option task is 3");
    bad("a\n1\n", &(ml_csv_options){.delimiter = '"'}, ML_E_ARGUMENT, "option delimiter is '\"'");
    bad("a\n1\n", &(ml_csv_options){.delimiter = '.'}, ML_E_ARGUMENT, "option delimiter is '.'");
    bad("a\n1\n", &(ml_csv_options){.delimiter = 'e'}, ML_E_ARGUMENT, "option delimiter is 'e'");
    bad("a\n1\n", &(ml_csv_options){.delimiter = '\n'}, ML_E_ARGUMENT, "option delimiter");
    CHECK_FAILS(ml_dataset_from_csv_memory(NULL, "a\n1\n", 4, NULL, &unknown, &data), ML_E_ARGUMENT, "struct_size");
    CHECK_OK(ml_dataset_from_csv_memory(NULL, "a,b\n1,2\n", 8, NULL, &old, &data)); /* an older caller */
    CHECK(ml_dataset_n_outputs(data) == 1);
    ml_dataset_free(data);
    CHECK_FAILS(ml_dataset_from_csv_memory(NULL, NULL, 4, NULL, NULL, &data), ML_E_ARGUMENT, "text is NULL");
    CHECK_FAILS(ml_dataset_from_csv_memory(NULL, NULL, 0, NULL, NULL, &data), ML_E_DATA,
                "memory, line 1: the file is empty");
}

/* ---- cells ---- */

TEST(csv_columns, numbers_are_read_to_the_nearest_double)
{
    ml_dataset *data = good("a\n0.1\n-1.5e-3\n+7\n.5\n5.\n9007199254740993\n1e-400\n4.9e-324\n1E22\n-0\n", NULL);

    CHECK(ml_dataset_n_categories(data, 0) == 0);
    CHECK(cell(data, 0, 0) == 0.1 && cell(data, 1, 0) == -1.5e-3 && cell(data, 2, 0) == 7 && cell(data, 3, 0) == 0.5);
    CHECK(cell(data, 4, 0) == 5 && cell(data, 5, 0) == 9007199254740992.0 && cell(data, 6, 0) == 0);
    CHECK(cell(data, 7, 0) == 4.9e-324 && cell(data, 8, 0) == 1e22);
    CHECK(cell(data, 9, 0) == 0 && signbit(cell(data, 9, 0)));
    ml_dataset_free(data);
    bad("a,b\n1,2\n\n3,-1e999\n", NULL, ML_E_DATA,
        "t.csv, line 4, column 2 ('b'): '-1e999' is beyond the range of numbers");
    ml_dataset_free(good("a,b\n1,1e999\n3,x\n", NULL)); /* among texts it is a text */
}

TEST(csv_columns, missing_texts_are_missing_and_other_texts_are_categories)
{
    ml_dataset *data = good("a,b\n1,x\n,\n?,?\nNA,NA\nN/A,N/A\nNaN,NaN\nnan,nan\nnull,null\nNULL,NULL\n", NULL);
    static const char *const TEXTS[] = {"1,5", "0x10", "1_0", "inf", "1e", "--1", "na", "1 2", "1'000"};

    for (size_t i = 1; i < 9; i++)
        CHECK(isnan(cell(data, i, 0)) && isnan(cell(data, i, 1)));
    CHECK(ml_dataset_n_categories(data, 0) == 0 && ml_dataset_n_categories(data, 1) == 1);
    ml_dataset_free(data);
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        char text[64];
        snprintf(text, sizeof text, "a;b\n1;2\n2;%s\n", TEXTS[i]);
        data = good(text, NULL);
        CHECK_MSG(ml_dataset_n_categories(data, 1) == 2 && ml_dataset_n_categories(data, 0) == 0, "%s", TEXTS[i]);
        ml_dataset_free(data);
    }
    data = good("a,b\n-999,x\nnone,y\n5,none\n", &(ml_csv_options){.missing = "-999, none"});
    CHECK(isnan(cell(data, 0, 0)) && isnan(cell(data, 1, 0)) && cell(data, 2, 0) == 5 && isnan(cell(data, 2, 1)));
    ml_dataset_free(data);
}

TEST(csv_columns, categories_are_ranks_in_byte_order)
{
    ml_dataset *data = good("k,v\nb,1\n\"a \",2\nB,3\na,4\n\xC3\xA9,5\nb,6\n10,7\n9,8\n", NULL);
    static const char *const WANT[] = {"10", "9", "B", "a", "a ", "b", "\xC3\xA9"};
    static const double CODES[] = {5, 4, 2, 3, 6, 5, 0, 1};

    CHECK(ml_dataset_n_categories(data, 0) == 7 && ml_dataset_n_categories(data, 1) == 0);
    for (size_t k = 0; k < 7; k++)
        CHECK(is_category(data, 0, k, WANT[k]));
    for (size_t i = 0; i < 8; i++)
        CHECK(cell(data, i, 0) == CODES[i]);
    ml_dataset_free(data);
    bad("k,v\na,1\nb,1\nc,1\n", &(ml_csv_options){.max_categories = 2}, ML_E_LIMIT,
        "t.csv, column 1 ('k'): at least 3 distinct values, at most 2 are allowed");
    ml_dataset_free(good("k,v\na,1\nb,1\na,1\n", &(ml_csv_options){.max_categories = 2}));
}

/* ---- outputs ---- */

TEST(csv_columns, the_task_follows_from_the_target)
{
    char text[512] = "a,y\n";
    ml_dataset *data = good("a,y\n1,no\n2,yes\n3,?\n", &(ml_csv_options){.target = "y"});

    CHECK(ml_dataset_n_classes(data, 0) == 2 && is_class(data, 0, 1, "yes"));
    CHECK(output(data, 0, 0) == 0 && output(data, 1, 0) == 1 && isnan(output(data, 2, 0)));
    ml_dataset_free(data);
    data = good("a,y\n1,10\n2,9\n3,1e1\n4,-1.0\n", &(ml_csv_options){.target = "y"});
    CHECK(ml_dataset_n_classes(data, 0) == 3 && is_class(data, 0, 0, "-1") && is_class(data, 0, 1, "9"));
    CHECK(is_class(data, 0, 2, "10") && output(data, 0, 0) == 2 && output(data, 2, 0) == 2 && output(data, 3, 0) == 0);
    ml_dataset_free(data);
    data = good("a,y\n1,10\n2,9.5\n", &(ml_csv_options){.target = "y"});
    CHECK(ml_dataset_n_classes(data, 0) == 0 && output(data, 1, 0) == 9.5);
    ml_dataset_free(data);
    for (int i = 0; i < 21; i++)
        snprintf(text + strlen(text), 32, "%d,%d\n", i, i);
    data = good(text, &(ml_csv_options){.target = "y"});
    CHECK(ml_dataset_n_classes(data, 0) == 0); /* 21 distinct whole numbers */
    ml_dataset_free(data);
    strcpy(strstr(text, "20,20"), "20,19\n");
    data = good(text, &(ml_csv_options){.target = "y"});
    CHECK(ml_dataset_n_classes(data, 0) == 20);
    ml_dataset_free(data);
}

TEST(csv_columns, the_task_may_be_asked_for)
{
    ml_dataset *data = good("a,y\n1,1\n2,2\n", &(ml_csv_options){.target = "y", .task = ML_TASK_REGRESS});

    CHECK(ml_dataset_n_classes(data, 0) == 0 && output(data, 1, 0) == 2);
    ml_dataset_free(data);
    data = good("a,y\n1,1.5\n2,1.25\n3,1.50\n", &(ml_csv_options){.target = "y", .task = ML_TASK_CLASSIFY});
    CHECK(ml_dataset_n_classes(data, 0) == 3 && is_class(data, 0, 2, "1.50")); /* not whole: texts */
    ml_dataset_free(data);
    bad("a,y\n1,1\n2,?\n3,abc\n", &(ml_csv_options){.target = "y", .task = ML_TASK_REGRESS}, ML_E_DATA,
        "t.csv, line 4, column 2 ('y'): 'abc' is not a number, to be regressed on");
    bad("a,y\n1,?\n2,\n", &(ml_csv_options){.target = "y", .task = ML_TASK_REGRESS}, ML_E_DATA,
        "t.csv, column 2 ('y'): an output without any value");
    bad("a,y\n1,?\n2,\n", &(ml_csv_options){.target = "y"}, ML_E_DATA,
        "t.csv, column 2 ('y'): output 'y' has no label at all");
}

TEST(csv_columns, weights_are_checked_with_their_place)
{
    const ml_csv_options options = {.weight = "w"};

    bad("a,w\n1,1\n2,x\n", &options, ML_E_DATA, "t.csv, line 3, column 2 ('w'): 'x' is not a number, but a weight");
    bad("a,w\n1,1\n2,-0.5\n", &options, ML_E_DATA, "t.csv, line 3, column 2 ('w'): '-0.5' is negative, but a weight");
    bad("a,w\n1,1\n2,\n", &options, ML_E_DATA, "t.csv, line 3, column 2 ('w'): '' is missing, but a weight");
    bad("a,w\n1,0\n2,0\n", &options, ML_E_DATA, "t.csv, column 2 ('w'): all weights are 0");
}

TEST(csv_columns, messages_shorten_long_cells_and_escape_bytes)
{
    char text[300] = "a,w\n1,";

    memset(text + 6, 'q', 200);
    bad(text, &(ml_csv_options){.weight = "w"}, ML_E_DATA,
        "line 2, column 2 ('w'): 'qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq' is not");
    bad("a,w\n1,\x1B%n%s\n", &(ml_csv_options){.weight = "w"}, ML_E_DATA, "'\\x1B%n%s' is not a number");
}

/* ---- schemas ---- */

TEST(csv_columns, a_schema_gives_codes_and_classes)
{
    ml_dataset *first = good("k,v,y\na,1,no\nb,2,yes\nc,3,no\n", &(ml_csv_options){.target = "y"});
    ml_csv_options options = {.target = "y", .schema = first};
    ml_dataset *data = good("k,v,y\nc,1,yes\nz,2,yes\n?,,\n", &options);

    CHECK(cell(data, 0, 0) == 2 && isnan(cell(data, 1, 0)) && isnan(cell(data, 2, 0)));
    CHECK(ml_dataset_n_categories(data, 0) == 3 && ml_dataset_n_classes(data, 0) == 2);
    CHECK(output(data, 0, 0) == 1 && output(data, 1, 0) == 1 && isnan(output(data, 2, 0)));
    CHECK_OK(ml__schema_match(ml__dataset_schema(first), ml__dataset_schema(data)));
    ml_dataset_free(data);
    data = good("k,v,y\n1,1,\n?,2,\n", &options); /* no label at all is fine here, and numbers are categories, too */
    CHECK(isnan(cell(data, 0, 0)) && isnan(output(data, 0, 0)) && ml_dataset_n_classes(data, 0) == 2);
    ml_dataset_free(data);
    data = good("k,v\nb,1\n", &(ml_csv_options){.schema = first}); /* without target */
    CHECK(cell(data, 0, 0) == 1 && ml_dataset_n_outputs(data) == 0);
    ml_dataset_free(data);
    bad("k,v,y\na,1,maybe\n", &options, ML_E_DATA,
        "t.csv, line 2, column 3 ('y'): 'maybe' is not a class of the schema");
    bad("k,v,y\na,x,no\n", &options, ML_E_DATA,
        "t.csv, line 2, column 2 ('v'): 'x' is not a number, which the schema expects");
    bad("k,u,y\na,1,no\n", &options, ML_E_DATA, "t.csv: feature 1 is 'u', expected 'v'");
    bad("k,v,w,y\na,1,2,no\n", &options, ML_E_SHAPE, "t.csv: the data has 3 features, expected 2");
    options.target = "z";
    bad("k,v,z\na,1,no\n", &options, ML_E_DATA, "t.csv: output 0 is 'z', expected 'y'");
    options.target = "y,z";
    bad("k,v,y,z\na,1,no,1\n", &options, ML_E_SHAPE, "t.csv: 2 outputs, the schema has 1");
    ml_dataset_free(first);
}

TEST(csv_columns, a_schema_of_numbers_reads_numbers)
{
    ml_dataset *first = good("a,y\n1,0\n2,1\n", &(ml_csv_options){.target = "y"});
    ml_dataset *reals = good("a,y\n1,0.5\n", &(ml_csv_options){.target = "y"});
    ml_dataset *data = good("a,y\n1,1.0\n2,1\n", &(ml_csv_options){.target = "y", .schema = first});

    CHECK(ml_dataset_n_classes(data, 0) == 2 && output(data, 0, 0) == 1 && output(data, 1, 0) == 1);
    ml_dataset_free(data);
    data = good("a,y\n1,1\n", &(ml_csv_options){.target = "y", .schema = reals});
    CHECK(ml_dataset_n_classes(data, 0) == 0 && output(data, 0, 0) == 1);
    ml_dataset_free(data);
    data = good("1,\n2,\n", &(ml_csv_options){.target = "x1", .schema = reals});
    CHECK(isnan(output(data, 0, 0)));
    ml_dataset_free(data);
    bad("a,y\n1,2\n", &(ml_csv_options){.target = "y", .schema = first}, ML_E_DATA, "'2' is not a class of the schema");
    bad("a,y\n1,u\n", &(ml_csv_options){.target = "y", .schema = reals}, ML_E_DATA,
        "'u' is not a number, which the schema expects");
    ml_dataset_free(first);
    ml_dataset_free(reals);
}

/* ---- the shipped tables ---- */

TEST(csv_columns, shipped_tables_have_their_shape)
{
    static const struct {
        const char *name;
        size_t n_rows, n_features, n_classes, row, feature;
        double value, target;
    } TABLES[] = {
        {"iris", 150, 4, 3, 149, 3, 1.8, 2},           {"wine", 178, 13, 3, 0, 12, 1065, 0},
        {"breast_cancer", 569, 30, 2, 0, 1, 10.38, 1}, {"digits", 1797, 64, 10, 1, 3, 12, 1},
        {"boston", 506, 13, 0, 1, 0, 0.02731, 21.6},   {"diabetes", 442, 10, 0, 0, 8, 4.8598, 151},
    };

    for (size_t t = 0; t < sizeof TABLES / sizeof *TABLES; t++) {
        ml_dataset *data = test_table(NULL, TABLES[t].name);
        double *targets = malloc(ml_dataset_n_rows(data) * sizeof *targets);
        size_t row, feature;
        bool found;
        CHECK(ml_dataset_n_rows(data) == TABLES[t].n_rows && ml_dataset_n_features(data) == TABLES[t].n_features);
        CHECK(ml_dataset_n_outputs(data) == 1 && ml_dataset_n_classes(data, 0) == TABLES[t].n_classes);
        CHECK_OK(ml_dataset_output(data, 0, targets, TABLES[t].n_rows));
        CHECK(cell(data, TABLES[t].row, TABLES[t].feature) == TABLES[t].value);
        CHECK(targets[TABLES[t].row] == TABLES[t].target);
        CHECK_OK(ml__dataset_find_missing(data, &found, &row, &feature));
        CHECK(!found);
        free(targets);
        ml_dataset_free(data);
    }
}

TEST(csv_columns, shipped_tables_have_their_names)
{
    ml_dataset *iris = test_table(NULL, "iris"), *digits = test_table(NULL, "digits");

    CHECK(is_class(iris, 0, 0, "setosa") && is_class(iris, 0, 1, "versicolor") && is_class(iris, 0, 2, "virginica"));
    CHECK(is_class(digits, 0, 0, "0") && is_class(digits, 0, 9, "9"));
    CHECK(!strcmp(ml_dataset_feature_name(iris, 0), "sepal_length_cm"));
    CHECK(!strcmp(ml_dataset_feature_name(digits, 63), "pixel_7_7") &&
          !strcmp(ml_dataset_output_name(iris, 0), "target"));
    ml_dataset_free(iris);
    ml_dataset_free(digits);
}

/* ---- failing allocations ---- */

typedef struct attempt {
    const char *text, *path;
    ml_csv_options options;
} attempt;

static ml_status try_csv(ml_context *context, void *argument)
{
    const attempt *a = argument;
    ml_dataset *data;
    const ml_status st = a->path
                             ? ml_dataset_from_csv(context, a->path, &a->options, &data)
                             : ml_dataset_from_csv_memory(context, a->text, strlen(a->text), NULL, &a->options, &data);

    CHECK((st == ML_OK) == (data != NULL));
    ml_dataset_free(data);
    return st;
}

TEST(csv_columns, every_failing_allocation_is_survived)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    attempt a = {.text = "k,v,w,y,z\na,1,1,no,5\nb,2,1,yes,6.5\n\"c\"\"\",3,2,no,7\n",
                 .options = {.struct_size = sizeof a.options, .target = "y,z", .weight = "w", .missing = "-"}};
    ml_dataset *schema;

    CHECK(test_failing_allocations(&allocator, context, "csv", try_csv, &a) > 0);
    CHECK_OK(ml_dataset_from_csv_memory(NULL, a.text, strlen(a.text), NULL, &a.options, &schema));
    a.options.schema = schema;
    CHECK(test_failing_allocations(&allocator, context, "csv", try_csv, &a) > 0);
    ml_dataset_free(schema);
    a = (attempt){.path = test_data_path("iris.csv"), .options = {.struct_size = sizeof a.options, .target = "target"}};
    CHECK(test_failing_allocations(&allocator, context, "csv", try_csv, &a) > 0);
    a.options = (ml_csv_options){.struct_size = sizeof a.options, .header = ML_HEADER_NO};
    CHECK(test_failing_allocations(&allocator, context, "csv", try_csv, &a) > 0);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
