/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dataset.h"
#include "test.h"

static ml_dataset *from_text(const char *text, const char *target, uint32_t header)
{
    const ml_csv_options options = {.struct_size = sizeof options, .target = target, .header = header};
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_csv_memory(NULL, text, strlen(text), NULL, &options, &data));
    return data;
}

static ml_status match(const ml_dataset *expected, const ml_dataset *data)
{
    return ml__schema_match(ml__dataset_schema(expected), ml__dataset_schema(data));
}

TEST(schema, names_are_compared_in_order)
{
    ml_dataset *ab = from_text("a,b\n1,2\n", NULL, ML_HEADER_DETECT), *ba = from_text("b,a\n1,2\n", NULL, 0);
    ml_dataset *three = from_text("a,b,c\n1,2,3\n", NULL, 0);

    CHECK_OK(match(ab, ab));
    CHECK_FAILS(match(ab, ba), ML_E_DATA, "feature 0 is 'b', expected 'a'");
    CHECK_FAILS(match(ab, three), ML_E_SHAPE, "the data has 3 features, expected 2");
    ml_dataset_free(ab);
    ml_dataset_free(ba);
    ml_dataset_free(three);
}

TEST(schema, default_names_match_any)
{
    const double x[] = {1, 2};
    ml_dataset *named = from_text("a,b\n1,2\n", NULL, 0), *gap = from_text("5,1,2\n", "x1", 0);
    ml_dataset *shuffled = from_text("x1,x0\n1,2\n", NULL, 0), *matrix;

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 1, 2, 0, 0, ML_COPY, &matrix));
    CHECK(!strcmp(ml_dataset_feature_name(gap, 0), "x0") && !strcmp(ml_dataset_feature_name(gap, 1), "x2"));
    CHECK_OK(match(named, matrix));
    CHECK_OK(match(matrix, named));
    CHECK_OK(match(gap, named));
    CHECK_OK(match(gap, matrix));
    CHECK_FAILS(match(named, shuffled), ML_E_DATA, "feature 0 is 'x1', expected 'a'");
    CHECK_OK(match(shuffled, matrix));
    ml_dataset_free(named);
    ml_dataset_free(gap);
    ml_dataset_free(shuffled);
    ml_dataset_free(matrix);
}

TEST(schema, categories_are_compared)
{
    const double x[] = {1, 2};
    ml_dataset *ab = from_text("k,v\na,1\nb,2\n", NULL, ML_HEADER_YES), *ac = from_text("k,v\na,1\nc,2\n", NULL, 1);
    ml_dataset *a = from_text("k,v\na,1\na,2\n", NULL, 1), *number = from_text("k,v\n7,1\n8,2\n", NULL, 1), *matrix;

    CHECK_OK(ml_dataset_from_matrix(NULL, x, ML_FLOAT64, 1, 2, 0, 0, ML_COPY, &matrix));
    CHECK_FAILS(match(ab, ac), ML_E_DATA, "category 1 of feature 0 ('k') is 'c', expected 'b'");
    CHECK_FAILS(match(ab, a), ML_E_DATA, "feature 0 ('k') has 1 categories, expected 2");
    CHECK_FAILS(match(ab, number), ML_E_DATA, "feature 0 ('k') has 0 categories, expected 2");
    CHECK_FAILS(match(number, ab), ML_E_DATA, "feature 0 ('k') has 2 categories, expected 0");
    CHECK_OK(match(ab, matrix)); /* codes without names */
    CHECK_FAILS(match(matrix, ab), ML_E_DATA, "feature 0 ('k') has 2 categories, expected 0");
    ml_dataset_free(ab);
    ml_dataset_free(ac);
    ml_dataset_free(a);
    ml_dataset_free(number);
    ml_dataset_free(matrix);
}

TEST(schema, copies_share_nothing)
{
    ml_dataset *data = from_text("k,v,y\na,1,p\nb,2,q\n", "y", ML_HEADER_YES);
    ml__arena arena;
    ml__schema copy;

    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__schema_copy(&arena, ml__dataset_schema(data), &copy));
    ml_dataset_free(data);
    CHECK(copy.n_features == 2 && copy.n_outputs == 1 && copy.features[1].n_categories == 0);
    CHECK(!strcmp(copy.features[0].name, "k") && !strcmp(copy.features[0].categories[1], "b"));
    CHECK(!strcmp(copy.outputs[0].name, "y") && !strcmp(copy.outputs[0].classes[1], "q"));
    CHECK(ml__schema_width(&copy) == 2);
    ml__arena_free(&arena);
}

static ml_status copy_schema(ml_context *context, void *argument)
{
    ml__arena arena;
    ml__schema copy;
    ml_status st;

    ml__arena_init(&arena, context);
    st = ml__schema_copy(&arena, argument, &copy);
    ml__arena_free(&arena);
    return st;
}

TEST(schema, copying_survives_failing_allocations)
{
    char wide[1 << 14];
    size_t n = 0;
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data;
    ml__schema schema;

    for (int j = 0; j < 500; j++)
        n += (size_t)snprintf(wide + n, sizeof wide - n, "%sa_rather_long_name_%d", j ? "," : "", j);
    wide[n++] = '\n';
    for (int j = 0; j < 500; j++)
        n += (size_t)snprintf(wide + n, sizeof wide - n, "%sq", j ? "," : "");
    data = from_text(wide, NULL, ML_HEADER_YES);
    schema = *ml__dataset_schema(data);
    CHECK(test_failing_allocations(&allocator, context, "copy", copy_schema, &schema) > 0);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
