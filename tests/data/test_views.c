/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"
#include "data/dataset.h"
#include "test.h"

/* n rows of one feature that is the row number; labels code_of(row), or none. */
static ml_dataset *numbered(ml_context *context, size_t n, int64_t (*code_of)(size_t row))
{
    double *x = malloc(n * sizeof *x);
    int64_t *labels = malloc(n * sizeof *labels);
    ml_dataset *data;

    for (size_t i = 0; i < n; i++) {
        x[i] = (double)i;
        labels[i] = code_of ? code_of(i) : 0;
    }
    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, n, 1, 0, 0, ML_COPY, &data));
    if (code_of)
        CHECK_OK(ml_dataset_set_labels(data, "kind", labels, n, -1));
    free(x);
    free(labels);
    return data;
}

static size_t row_number(const ml_dataset *view, size_t i)
{
    double x;

    CHECK_OK(ml_dataset_row(view, i, &x, 1));
    return (size_t)x;
}

static double label(const ml_dataset *view, size_t i)
{
    const size_t n = ml_dataset_n_rows(view);
    double *values = malloc(n * sizeof *values), value;

    CHECK_OK(ml_dataset_output(view, 0, values, n));
    value = values[i];
    free(values);
    return value;
}

/* Add 1 to seen[row] for every row of the view; they ascend. */
static void mark(const ml_dataset *view, size_t *seen)
{
    for (size_t i = 0; i < ml_dataset_n_rows(view); i++) {
        seen[row_number(view, i)]++;
        CHECK(i == 0 || row_number(view, i) > row_number(view, i - 1));
    }
}

static void check_partition(const ml_dataset *train, const ml_dataset *test, size_t n)
{
    size_t *seen = calloc(n, sizeof *seen);

    CHECK(ml_dataset_n_rows(train) + ml_dataset_n_rows(test) == n);
    mark(train, seen);
    mark(test, seen);
    for (size_t i = 0; i < n; i++)
        CHECK(seen[i] == 1);
    free(seen);
}

/* Rows with each label; the last count is of missing ones. */
static void count_labels(const ml_dataset *data, size_t counts[8])
{
    const size_t n = ml_dataset_n_rows(data);
    int32_t *codes = malloc(n * sizeof *codes);

    memset(counts, 0, 8 * sizeof *counts);
    ml__dataset_read_labels(data, 0, codes);
    for (size_t i = 0; i < n; i++)
        counts[codes[i] < 0 ? 7 : codes[i]]++;
    free(codes);
}

static int64_t three_kinds(size_t row)
{
    return row % 10 == 0 ? 5 : row % 3 == 0 ? 9 : 7;
}

static int64_t some_missing(size_t row)
{
    return row % 4 == 1 ? -1 : (int64_t)(row % 5);
}

/* ---- subsets ---- */

TEST(views, subset_keeps_order_and_repetitions)
{
    const size_t rows[] = {4, 0, 4, 2};
    ml_dataset *data = numbered(NULL, 5, three_kinds), *view;

    CHECK_OK(ml_dataset_subset(data, rows, 4, &view));
    CHECK(ml_dataset_n_rows(view) == 4 && ml_dataset_n_features(view) == 1);
    for (size_t i = 0; i < 4; i++) {
        CHECK(row_number(view, i) == rows[i]);
        CHECK(label(view, i) == label(data, rows[i]));
    }
    CHECK(!strcmp(ml_dataset_class_name(view, 0, 1), "7"));
    CHECK(ml__dataset_dense(view, ML_FLOAT64) == NULL);
    ml_dataset_free(view);
    ml_dataset_free(data);
}

TEST(views, views_of_views_compose)
{
    size_t rows[64], want[64];
    ml_dataset *data = numbered(NULL, 64, three_kinds), *view = data;
    ml__rng rng = ml__rng_make(3, 0);

    for (size_t i = 0; i < 64; i++)
        want[i] = i;
    for (int depth = 0; depth < 20; depth++) {
        const size_t n = ml_dataset_n_rows(view);
        size_t next[64];
        ml_dataset *deeper;
        for (size_t i = 0; i < 64; i++) {
            rows[i] = (size_t)ml__rng_below(&rng, n);
            next[i] = want[rows[i]];
        }
        memcpy(want, next, sizeof want);
        CHECK_OK(ml_dataset_subset(view, rows, 64, &deeper));
        ml_dataset_free(view); /* the deeper view keeps the table */
        view = deeper;
        for (size_t i = 0; i < 64; i++)
            CHECK(row_number(view, i) == want[i]);
    }
    ml_dataset_free(view);
}

TEST(views, subset_refuses_bad_rows)
{
    const size_t rows[] = {0, 5};
    ml_dataset *data = numbered(NULL, 5, NULL), *view;

    CHECK_FAILS(ml_dataset_subset(data, rows, 2, &view), ML_E_ARGUMENT, "rows[1] is 5, the dataset has 5 rows");
    CHECK(view == NULL);
    CHECK_FAILS(ml_dataset_subset(data, rows, 0, &view), ML_E_DATA, "a subset needs at least 1 row");
    CHECK_FAILS(ml_dataset_subset(data, NULL, 1, &view), ML_E_ARGUMENT, "rows is NULL");
    CHECK_FAILS(ml_dataset_subset(NULL, rows, 1, &view), ML_E_ARGUMENT, "dataset is NULL");
    CHECK_FAILS(ml_dataset_subset(data, rows, 1, NULL), ML_E_ARGUMENT, "out is NULL");
    ml_dataset_free(data);
}

TEST(views, rows_are_shared_not_copied)
{
    enum { N = 1000, D = 1000 };
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    double *x = calloc(N * D, sizeof *x);
    ml_dataset *data, *train, *test;
    uint64_t before;

    CHECK_OK(ml_dataset_from_matrix(context, x, ML_FLOAT64, N, D, 0, 0, ML_COPY, &data));
    before = ml_context_memory(context);
    CHECK_OK(ml_dataset_split(data, 0.5, 1, 0, &train, &test));
    CHECK(ml_context_memory(context) - before < 100 * N); /* the matrix has 8000 N bytes */
    ml_dataset_free(data);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
    free(x);
}

/* ---- split ---- */

TEST(views, split_partitions_the_rows)
{
    static const double SIZES[] = {1e-9, 0.1, 0.25, 0.5, 0.75, 0.999999999};

    for (size_t n = 2; n < 40; n++) {
        ml_dataset *data = numbered(NULL, n, NULL), *train, *test;
        for (size_t s = 0; s < 6; s++)
            for (uint32_t flags = 0; flags <= ML_ORDERED; flags += ML_ORDERED) {
                const double wanted = fmin(fmax(round(SIZES[s] * (double)n), 1), (double)n - 1);
                CHECK_OK(ml_dataset_split(data, SIZES[s], n, flags, &train, &test));
                CHECK(ml_dataset_n_rows(test) == (size_t)wanted);
                check_partition(train, test, n);
                if (flags == ML_ORDERED)
                    CHECK(row_number(test, 0) == n - (size_t)wanted);
                ml_dataset_free(train);
                ml_dataset_free(test);
            }
        ml_dataset_free(data);
    }
}

TEST(views, stratified_split_keeps_proportions)
{
    for (size_t n = 20; n < 300; n += 7)
        for (double size = 0.05; size < 1; size += 0.09) {
            ml_dataset *data = numbered(NULL, n, n % 2 ? three_kinds : some_missing), *train, *test;
            size_t all[8], in_test[8], in_train[8];
            const double n_test = fmin(fmax(round(size * (double)n), 1), (double)n - 1);
            CHECK_OK(ml_dataset_split(data, size, n, ML_STRATIFY, &train, &test));
            CHECK(ml_dataset_n_rows(test) == (size_t)n_test);
            check_partition(train, test, n);
            count_labels(data, all);
            count_labels(test, in_test);
            count_labels(train, in_train);
            for (size_t k = 0; k < 8; k++) {
                const double share = n_test * (double)all[k] / (double)n;
                CHECK(fabs((double)in_test[k] - share) < 1 && in_test[k] + in_train[k] == all[k]);
            }
            ml_dataset_free(train);
            ml_dataset_free(test);
            ml_dataset_free(data);
        }
}

TEST(views, the_seed_decides_the_split)
{
    ml_dataset *data = numbered(NULL, 50, three_kinds), *train, *test, *again, *other;
    size_t n_equal = 0;

    CHECK_OK(ml_dataset_split(data, 0.5, 1, ML_STRATIFY, &train, &test));
    ml_dataset_free(train);
    CHECK_OK(ml_dataset_split(data, 0.5, 1, ML_STRATIFY, &train, &again));
    ml_dataset_free(train);
    CHECK_OK(ml_dataset_split(data, 0.5, 2, ML_STRATIFY, &train, &other));
    ml_dataset_free(train);
    for (size_t i = 0; i < 25; i++) {
        CHECK(row_number(test, i) == row_number(again, i));
        n_equal += row_number(test, i) == row_number(other, i);
    }
    CHECK(n_equal < 25);
    ml_dataset_free(test);
    ml_dataset_free(again);
    ml_dataset_free(other);
    ml_dataset_free(data);
}

/* Each row is in the test part about as often as any other. */
TEST(views, splits_are_uniform)
{
    enum { N = 20, N_SEEDS = 4000 };
    ml_dataset *data = numbered(NULL, N, NULL), *train, *test;
    size_t counts[N] = {0};

    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        CHECK_OK(ml_dataset_split(data, 0.25, seed, 0, &train, &test));
        for (size_t i = 0; i < ml_dataset_n_rows(test); i++)
            counts[row_number(test, i)]++;
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
    for (size_t i = 0; i < N; i++) /* binomial: mean 1000, deviation 27 */
        CHECK_MSG(counts[i] > 880 && counts[i] < 1120, "row %zu was drawn %zu times of %d", i, counts[i], N_SEEDS);
    ml_dataset_free(data);
}

static int64_t one_alone(size_t row)
{
    return row == 3 ? 42 : 7;
}

TEST(views, split_refuses_what_it_cannot_do)
{
    ml_dataset *data = numbered(NULL, 10, one_alone), *plain = numbered(NULL, 10, NULL), *single, *train, *test;
    const double reals[10] = {0.5};
    const size_t row = 0;

    CHECK_FAILS(ml_dataset_split(data, 0, 0, 0, &train, &test), ML_E_ARGUMENT,
                "test_size is 0, expected a number between 0 and 1");
    CHECK_FAILS(ml_dataset_split(data, 1, 0, 0, &train, &test), ML_E_ARGUMENT, "test_size is 1");
    CHECK_FAILS(ml_dataset_split(data, NAN, 0, 0, &train, &test), ML_E_ARGUMENT, "test_size is nan");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, 3, &train, &test), ML_E_ARGUMENT,
                "ML_STRATIFY and ML_ORDERED exclude each other");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, 4, &train, &test), ML_E_ARGUMENT, "flags is 4");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, ML_STRATIFY, &train, &test), ML_E_DATA,
                "class '42' has 1 row, ML_STRATIFY needs 2 for two parts");
    CHECK(train == NULL && test == NULL);
    CHECK_FAILS(ml_dataset_split(plain, 0.5, 0, ML_STRATIFY, &train, &test), ML_E_DATA,
                "ML_STRATIFY needs labels, the dataset has no output");
    CHECK_OK(ml_dataset_set_targets(plain, "price", reals, 10));
    CHECK_FAILS(ml_dataset_split(plain, 0.5, 0, ML_STRATIFY, &train, &test), ML_E_DATA,
                "ML_STRATIFY needs labels, output 'price' is real");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, 0, NULL, &test), ML_E_ARGUMENT, "train is NULL");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, 0, &train, NULL), ML_E_ARGUMENT, "test is NULL");
    CHECK_FAILS(ml_dataset_split(data, 0.5, 0, 0, &train, &train), ML_E_ARGUMENT, "the same pointer");
    CHECK_FAILS(ml_dataset_split(NULL, 0.5, 0, 0, &train, &test), ML_E_ARGUMENT, "dataset is NULL");
    CHECK_OK(ml_dataset_subset(data, &row, 1, &single));
    CHECK_FAILS(ml_dataset_split(single, 0.5, 0, 0, &train, &test), ML_E_DATA, "1 row cannot be divided in two parts");
    ml_dataset_free(single);
    ml_dataset_free(plain);
    ml_dataset_free(data);
}

/* ---- folds ---- */

TEST(views, folds_partition_the_rows)
{
    for (size_t n = 2; n < 60; n += 3)
        for (size_t n_folds = 2; n_folds <= n && n_folds < 12; n_folds++)
            for (uint32_t flags = 0; flags <= ML_ORDERED; flags++) {
                ml_dataset *data = numbered(NULL, n, some_missing), *train, *test;
                size_t *seen = calloc(n, sizeof *seen), all[8], counts[8];
                count_labels(data, all);
                for (size_t fold = 0; fold < n_folds; fold++) {
                    CHECK_OK(ml_dataset_fold(data, n_folds, fold, 5, flags, &train, &test));
                    check_partition(train, test, n);
                    mark(test, seen);
                    CHECK(ml_dataset_n_rows(test) - n / n_folds <= (n % n_folds != 0));
                    count_labels(test, counts);
                    for (size_t k = 0; k < 8 && flags == ML_STRATIFY; k++)
                        CHECK(counts[k] - all[k] / n_folds <= 1);
                    ml_dataset_free(train);
                    ml_dataset_free(test);
                }
                for (size_t i = 0; i < n; i++)
                    CHECK(seen[i] == 1);
                free(seen);
                ml_dataset_free(data);
            }
}

TEST(views, ordered_folds_are_runs)
{
    static const size_t FIRST[] = {0, 4, 8, 11};
    ml_dataset *data = numbered(NULL, 11, NULL), *train, *test;

    for (size_t fold = 0; fold < 3; fold++) {
        CHECK_OK(ml_dataset_fold(data, 3, fold, 0, ML_ORDERED, &train, &test));
        CHECK(ml_dataset_n_rows(test) == FIRST[fold + 1] - FIRST[fold] && row_number(test, 0) == FIRST[fold]);
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
    ml_dataset_free(data);
}

TEST(views, fold_refuses_bad_numbers)
{
    ml_dataset *data = numbered(NULL, 10, one_alone), *train, *test;

    CHECK_FAILS(ml_dataset_fold(data, 1, 0, 0, 0, &train, &test), ML_E_ARGUMENT,
                "n_folds is 1, expected 2 to 10 (the rows)");
    CHECK_FAILS(ml_dataset_fold(data, 11, 0, 0, 0, &train, &test), ML_E_ARGUMENT, "n_folds is 11");
    CHECK_FAILS(ml_dataset_fold(data, 5, 5, 0, 0, &train, &test), ML_E_ARGUMENT, "fold is 5, expected 0 to 4");
    CHECK_OK(ml_dataset_fold(data, 5, 4, 0, ML_STRATIFY, &train, &test)); /* a class of one row is allowed here */
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(data);
}

TEST(views, folds_of_folds_stay_within_their_part)
{
    ml_dataset *data = numbered(NULL, 60, three_kinds), *train, *test, *inner_train, *inner_test;
    size_t seen[60] = {0};

    CHECK_OK(ml_dataset_fold(data, 4, 1, 0, ML_STRATIFY, &train, &test));
    mark(train, seen);
    ml_dataset_free(data);
    CHECK_OK(ml_dataset_fold(train, 3, 2, 0, ML_STRATIFY, &inner_train, &inner_test));
    ml_dataset_free(train);
    CHECK(ml_dataset_n_rows(inner_test) == 15 && ml_dataset_n_rows(inner_train) == 30);
    mark(inner_train, seen);
    mark(inner_test, seen);
    for (size_t i = 0; i < 60; i++)
        CHECK(seen[i] == 0 || seen[i] == 2);
    ml_dataset_free(test);
    ml_dataset_free(inner_train);
    ml_dataset_free(inner_test);
}

/* ---- weights, labels, other features ---- */

TEST(views, weights_follow_their_rows)
{
    const double weights[] = {1, 2, 3, 4}, other[] = {5, 6};
    const size_t rows[] = {3, 1}, turned[] = {1, 0};
    double out[4];
    ml_dataset *data = numbered(NULL, 4, NULL), *view, *reweighted, *deeper, *without;

    CHECK_OK(ml_dataset_set_weights(data, weights, 4));
    CHECK_OK(ml_dataset_subset(data, rows, 2, &view));
    CHECK_OK(ml_dataset_weights(view, out, 2));
    CHECK(out[0] == 4 && out[1] == 2);
    CHECK_OK(ml__dataset_reweight(view, other, &reweighted));
    CHECK_OK(ml_dataset_subset(reweighted, turned, 2, &deeper));
    CHECK_OK(ml_dataset_weights(deeper, out, 2));
    CHECK(out[0] == 6 && out[1] == 5 && row_number(deeper, 0) == 1);
    CHECK_OK(ml__dataset_reweight(view, NULL, &without));
    CHECK(ml__dataset_has_weights(view) && ml__dataset_has_weights(deeper) && !ml__dataset_has_weights(without));
    ml_dataset_free(deeper);
    CHECK_OK(ml_dataset_subset(without, turned, 2, &deeper));
    CHECK_OK(ml_dataset_weights(deeper, out, 2));
    CHECK(out[0] == 1 && out[1] == 1 && !ml__dataset_has_weights(deeper));
    ml_dataset_free(deeper);
    ml_dataset_free(without);
    ml_dataset_free(reweighted);
    ml_dataset_free(view);
    ml_dataset_free(data);
}

TEST(views, labelled_leaves_out_rows_that_lack_an_output)
{
    const int64_t labels[] = {1, -1, 2, 1};
    const double reals[] = {NAN, 1, 2, 3}, half[] = {NAN, 1, NAN, NAN};
    ml_dataset *data = numbered(NULL, 4, NULL), *labelled;

    CHECK_OK(ml__dataset_labelled(data, &labelled));
    CHECK(labelled == NULL);
    CHECK_OK(ml_dataset_set_labels(data, "a", labels, 4, -1));
    CHECK_OK(ml_dataset_add_targets(data, "b", reals, 4));
    CHECK_OK(ml__dataset_labelled(data, &labelled));
    CHECK(ml_dataset_n_rows(labelled) == 2 && row_number(labelled, 0) == 2 && row_number(labelled, 1) == 3);
    CHECK(ml_dataset_n_rows(data) == 4);
    ml_dataset_free(labelled);
    CHECK_OK(ml_dataset_set_labels(data, "a", labels, 4, -1));
    CHECK_OK(ml_dataset_add_targets(data, "b", half, 4));
    CHECK_FAILS(ml__dataset_labelled(data, &labelled), ML_E_DATA, "none of the 4 rows has a value for every output");
    ml_dataset_free(data);
}

TEST(views, with_some_output_leaves_out_rows_that_lack_all)
{
    const int64_t labels[] = {1, -1, -1, 1};
    const double reals[] = {NAN, NAN, 2, 3}, full[] = {0, 1, 2, 3}, weights[] = {0, 2, 0, 4};
    ml_dataset *data = numbered(NULL, 4, NULL), *view, *deeper;
    double kept[3];

    CHECK_OK(ml__dataset_with_some_output(data, &view));
    CHECK(view == NULL);
    CHECK_OK(ml_dataset_set_labels(data, "a", labels, 4, -1));
    CHECK_OK(ml_dataset_add_targets(data, "b", reals, 4));
    CHECK_OK(ml_dataset_set_weights(data, weights, 4));
    CHECK_OK(ml__dataset_with_some_output(data, &view));
    CHECK(ml_dataset_n_rows(view) == 3 && row_number(view, 0) == 0 && row_number(view, 1) == 2);
    CHECK_OK(ml_dataset_weights(view, kept, 3));
    CHECK(kept[0] == 0 && kept[1] == 0 && kept[2] == 4);
    CHECK_OK(ml__dataset_with_some_output(view, &deeper));
    CHECK(deeper == NULL);
    ml_dataset_free(view);
    CHECK_OK(ml_dataset_subset(data, (const size_t[]){1}, 1, &view));
    CHECK_FAILS(ml__dataset_with_some_output(view, &deeper), ML_E_DATA,
                "none of the 1 rows has a value for any output");
    ml_dataset_free(view);
    CHECK_OK(ml_dataset_add_targets(data, "c", full, 4));
    CHECK_OK(ml__dataset_with_some_output(data, &view));
    CHECK(view == NULL);
    ml_dataset_free(data);
}

TEST(views, with_features_keeps_outputs_and_weights)
{
    const double weights[] = {1, 2, 3, 4}, reals[] = {0, 1, NAN, 3}, x[] = {1, 2, 3, 4};
    const size_t rows[] = {2, 0};
    ml__feature features[] = {{.name = (char[]){"p"}}, {.name = (char[]){"q"}}};
    const ml__schema schema = {.n_features = 2, .features = features};
    double row[2], out[2];
    ml_dataset *data = numbered(NULL, 4, three_kinds), *view, *made;

    CHECK_OK(ml_dataset_add_targets(data, "real", reals, 4));
    CHECK_OK(ml_dataset_set_weights(data, weights, 4));
    CHECK_OK(ml_dataset_subset(data, rows, 2, &view));
    CHECK_OK(ml__dataset_with_features(view, x, &schema, &made));
    ml_dataset_free(view);
    ml_dataset_free(data);
    CHECK(ml_dataset_n_rows(made) == 2 && !strcmp(ml_dataset_feature_name(made, 1), "q"));
    CHECK_OK(ml_dataset_row(made, 1, row, 2));
    CHECK(row[0] == 3 && row[1] == 4);
    CHECK_OK(ml_dataset_weights(made, out, 2));
    CHECK(out[0] == 3 && out[1] == 1);
    CHECK(ml_dataset_n_outputs(made) == 2 && !strcmp(ml_dataset_class_name(made, 0, 0), "5"));
    CHECK(label(made, 0) == 1 && label(made, 1) == 0);
    CHECK_OK(ml_dataset_output(made, 1, out, 2));
    CHECK(isnan(out[0]) && out[1] == 0);
    ml_dataset_free(made);
}

/* ---- failing allocations ---- */

static ml_status try_subset(ml_context *context, void *data)
{
    const size_t rows[] = {1, 0};
    ml_dataset *view;
    const ml_status st = ml_dataset_subset(data, rows, 2, &view);

    (void)context;
    CHECK((st == ML_OK) == (view != NULL));
    ml_dataset_free(view);
    return st;
}

static ml_status try_split(ml_context *context, void *data)
{
    ml_dataset *train, *test;
    const ml_status st = ml_dataset_split(data, 0.5, 0, ML_STRATIFY, &train, &test);

    (void)context;
    CHECK((st == ML_OK) == (train != NULL) && (st == ML_OK) == (test != NULL));
    ml_dataset_free(train);
    ml_dataset_free(test);
    return st;
}

static ml_status try_fold(ml_context *context, void *data)
{
    ml_dataset *train, *test;
    const ml_status st = ml_dataset_fold(data, 3, 1, 0, 0, &train, &test);

    (void)context;
    CHECK((st == ML_OK) == (train != NULL) && (st == ML_OK) == (test != NULL));
    ml_dataset_free(train);
    ml_dataset_free(test);
    return st;
}

static ml_status try_others(ml_context *context, void *data)
{
    double *x = calloc(ml_dataset_n_rows(data), sizeof *x);
    ml_dataset *reweighted = NULL, *labelled = NULL, *made = NULL;
    ml_status st = ml__dataset_reweight(data, x, &reweighted);

    (void)context;
    if (st == ML_OK)
        st = ml__dataset_labelled(reweighted, &labelled);
    if (st == ML_OK)
        st = ml__dataset_with_features(reweighted, x, ml__dataset_schema(data), &made);
    ml_dataset_free(reweighted);
    ml_dataset_free(labelled);
    ml_dataset_free(made);
    free(x);
    return st;
}

TEST(views, every_failing_allocation_is_survived)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data = numbered(context, 40, some_missing);

    CHECK(test_failing_allocations(&allocator, context, "subset", try_subset, data) > 0);
    CHECK(test_failing_allocations(&allocator, context, "split", try_split, data) > 0);
    CHECK(test_failing_allocations(&allocator, context, "fold", try_fold, data) > 0);
    CHECK(test_failing_allocations(&allocator, context, "derived views", try_others, data) > 0);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
