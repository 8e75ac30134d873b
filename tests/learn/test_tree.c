/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/tree/tree.h"

#include <float.h>

#include "tree_toys.h"

/* ---- against scikit-learn ---- */

/* Walk both trees together; `want` has scikit-learn's nodes, 4 + K numbers each; number[i] becomes our number of its node
 * i. */
static void check_nodes(const ml_model *model, const double *want, size_t K, double tolerance, int32_t *number)
{
    struct {
        size_t got, want, depth;
    } stack[64] = {{0, 0, 0}};
    size_t n_open = 1;

    while (n_open) {
        const size_t depth = stack[--n_open].depth;
        const ml_tree_node got = toy_node(model, 0, stack[n_open].got);
        const double *node = want + stack[n_open].want * (4 + K);

        number[stack[n_open].want] = (int32_t)stack[n_open].got;
        CHECK(got.depth == depth);
        CHECK(got.feature == (node[0] < 0 ? -1 : (int32_t)node[0]));
        if (node[0] < 0) {
            CHECK(got.left == -1 && got.right == -1 && got.threshold == 0 && got.n_values == K);
            for (size_t k = 0; k < K; k++)
                CHECK_CLOSE(got.value[k], node[4 + k], tolerance);
            continue;
        }
        CHECK(!got.value && !got.n_values && got.right == got.left + 1);
        CHECK(got.threshold <= node[1] && nextafterf((float)got.threshold, INFINITY) > node[1]);
        CHECK(n_open + 2 < 64);
        stack[n_open].got = (size_t)got.left;
        stack[n_open].want = (size_t)node[2];
        stack[n_open++].depth = depth + 1;
        stack[n_open].got = (size_t)got.right;
        stack[n_open].want = (size_t)node[3];
        stack[n_open++].depth = depth + 1;
    }
}

/* `want` has scikit-learn's number of each row's leaf, then the length of each row's path. */
static void check_leaves(const ml_model *model, const ml_dataset *data, const double *x, const double *want,
                         const int32_t *number)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    int32_t *leaves = malloc(n * sizeof *leaves), path[64];
    size_t length;

    CHECK_OK(ml_model_tree_leaves(model, data, leaves, n));
    for (size_t i = 0; i < n; i++) {
        CHECK(leaves[i] == number[(size_t)want[i]]);
        CHECK_OK(ml_model_tree_path(model, 0, x + i * d, d, path, 64, &length));
        CHECK(length == (size_t)want[n + i] && path[0] == 0 && path[length - 1] == leaves[i]);
    }
    free(leaves);
}

static void set_case(ml_model *model, const double *rules)
{
    static const char *const CRITERIA[] = {"auto", "gini", "entropy", "log_loss", "squared_error"};

    CHECK_OK(ml_model_set_text(model, "criterion", CRITERIA[(int)rules[0]]));
    CHECK_OK(ml_model_set_int(model, "max_depth", (int64_t)rules[1]));
    CHECK_OK(ml_model_set_int(model, "min_samples_split", (int64_t)rules[2]));
    CHECK_OK(ml_model_set_int(model, "min_samples_leaf", (int64_t)rules[3]));
    CHECK_OK(ml_model_set_real(model, "min_impurity_decrease", rules[4]));
}

TEST(tree, nodes_and_leaves_are_those_of_scikit_learn)
{
    size_t n_numbers, n_leaves;
    double *numbers = test_read_numbers(test_expected_path("trees_nodes.txt"), &n_numbers);
    double *leaves = test_read_numbers(test_expected_path("trees_leaves.txt"), &n_leaves);
    const size_t n = (size_t)numbers[0], d = (size_t)numbers[1], n_cases = (size_t)numbers[3];
    const double *x = numbers + 4, *y = x + n * d, *t = y + n, *w = t + n, *next = w + n;
    int64_t *labels = malloc(n * sizeof *labels);
    int32_t number[512];

    CHECK(n_leaves == 2 * n * n_cases);
    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    for (size_t c = 0; c < n_cases; c++) {
        const bool reals = next[0] == 4;
        ml_dataset *data = reals ? toy_reals(NULL, x, n, d, t) : toy_labels(NULL, x, n, d, labels);
        ml_model *model = toy_model(NULL, "decision_tree");
        const size_t n_nodes = (size_t)next[6], K = reals ? 1 : (size_t)numbers[2];
        const double *importances;

        if (next[5] != 0)
            CHECK_OK(ml_dataset_set_weights(data, w, n));
        set_case(model, next);
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_MSG(ml_model_tree_size(model, 0) == n_nodes, "case %zu: %zu nodes, expected %zu", c,
                  ml_model_tree_size(model, 0), n_nodes);
        importances = toy_tensor(model, "feature_importances").data;
        for (size_t j = 0; j < d; j++)
            CHECK_CLOSE(importances[j], next[7 + j], 1e-9);
        CHECK(n_nodes <= 512);
        check_nodes(model, next + 7 + d, K, 1e-13, number);
        check_leaves(model, data, x, leaves + 2 * n * c, number);
        next += 7 + d + n_nodes * (4 + K);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(next == numbers + n_numbers);
    free(labels);
    free(leaves);
    free(numbers);
}

/* The same table with its features in another order, so that other features win ties, as other seeds do there. */
static ml_dataset *reordered(const ml_dataset *data, bool reals, uint64_t seed)
{
    const size_t n = ml_dataset_n_rows(data), d = ml_dataset_n_features(data);
    double *x = malloc(n * d * sizeof *x), *row = malloc(d * sizeof *row), *y = malloc(n * sizeof *y);
    int64_t *labels = malloc(n * sizeof *labels);
    size_t *place = malloc(d * sizeof *place);
    ml__rng rng = ml__rng_make(seed, 0);
    ml_dataset *out;

    for (size_t j = 0; j < d; j++)
        place[j] = j;
    ml__rng_shuffle(&rng, place, d);
    for (size_t i = 0; i < n; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, d));
        for (size_t j = 0; j < d; j++)
            x[i * d + place[j]] = row[j];
    }
    CHECK_OK(ml_dataset_output(data, 0, y, n));
    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    out = reals ? toy_reals(NULL, x, n, d, y) : toy_labels(NULL, x, n, d, labels);
    free(x);
    free(row);
    free(y);
    free(labels);
    free(place);
    return out;
}

TEST(tree, test_scores_are_those_of_scikit_learn)
{
    enum { N_ORDERS = 20 };
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer", "digits", "boston", "diabetes"};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("trees_scores.txt"), &n_numbers);

    for (size_t i = 0; i < 6; i++) {
        const double *w = want + 6 * i;
        ml_dataset *all = test_table(NULL, TABLES[i]);
        double mean = 0;

        for (uint64_t order = 0; order < N_ORDERS; order++) {
            ml_dataset *other = reordered(all, i >= 4, order), *train, *test;
            ml_model *model;

            toy_split(other, &train, &test);
            CHECK(ml_dataset_n_rows(all) == (size_t)w[0] && ml_dataset_n_rows(test) == (size_t)w[1]);
            model = toy_fitted(NULL, "decision_tree", train, NULL);
            mean += toy_score(model, test) / N_ORDERS;
            CHECK_CLOSE(toy_score(model, train), 1, 0);
            ml_model_free(model);
            ml_dataset_free(train);
            ml_dataset_free(test);
            ml_dataset_free(other);
        }
        CHECK_MSG(fabs(mean - w[2]) <= 0.01, "%s: %g, expected %g +- %g", TABLES[i], mean, w[2], w[3]);
        ml_dataset_free(all);
    }
    free(want);
}

/* ---- thresholds ---- */

TEST(tree, a_threshold_lies_between_its_values)
{
    static const float PAIRS[][2] = {
        {1, 2},         {-FLT_MAX, FLT_MAX},    {0, FLT_MAX},    {FLT_MAX / 2, FLT_MAX}, {-FLT_MAX, -FLT_MAX / 2},
        {-1, 1},        {0x1p-149f, 0x1p-148f}, {-0x1p-149f, 0}, {0, 0x1p-149f},         {-0x1p-149f, 0x1p-149f},
        {1e-30f, 1e30f}};
    toy_random r = {3};

    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        const float t = ml__threshold_between(PAIRS[i][0], PAIRS[i][1]);
        CHECK(PAIRS[i][0] <= t && t < PAIRS[i][1]);
    }
    for (size_t i = 0; i < 20000; i++) {
        const float a = (float)ldexp(toy_uniform(&r) - 0.5, (int)(toy_uniform(&r) * 248) - 120);
        const float b = fmaxf(nextafterf(a, INFINITY), i % 2 ? a : a + fabsf(a) * (float)toy_uniform(&r));
        const float t = ml__threshold_between(a, b);
        const double middle = (double)a / 2 + (double)b / 2;
        CHECK(a <= t && t < b);
        CHECK(t <= middle && nextafterf(t, INFINITY) > middle);
    }
}

TEST(tree, adjacent_and_huge_values_are_split)
{
    double x[40];
    int64_t y[40];
    ml_dataset *data;
    ml_model *model;
    float value = 1;

    for (size_t i = 0; i < 40; i++) {
        x[i] = i < 20 ? value : i % 2 ? FLT_MAX / (double)i : -FLT_MAX / (double)i;
        y[i] = (int64_t)(i * 7 % 5);
        value = nextafterf(value, 2);
    }
    x[39] = FLT_MAX;
    x[38] = -FLT_MAX;
    data = toy_labels(NULL, x, 40, 1, y);
    model = toy_fitted(NULL, "decision_tree", data, NULL);
    CHECK_CLOSE(toy_score(model, data), 1, 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree, both_zeros_are_one_value)
{
    static const double X[] = {-0.0, 0.0, -0.0, 0.0};
    static const int64_t Y[] = {0, 1, 0, 1};
    ml_dataset *data = toy_labels(NULL, X, 4, 1, Y);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);

    CHECK(ml_model_tree_size(model, 0) == 1);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- degenerate data ---- */

TEST(tree, one_row)
{
    static const double X[] = {3, 4}, T[] = {-7.25};
    static const int64_t Y[] = {12};
    ml_dataset *labels = toy_labels(NULL, X, 1, 2, Y), *reals = toy_reals(NULL, X, 1, 2, T);
    ml_model *model = toy_fitted(NULL, "decision_tree", labels, NULL);
    double out;

    CHECK_OK(ml_model_predict_proba(model, labels, &out, 1));
    CHECK(out == 1 && ml_model_n_classes(model, 0) == 1);
    CHECK_OK(ml_model_fit(model, reals, NULL));
    CHECK_OK(ml_model_predict(model, reals, &out, 1));
    CHECK(out == -7.25);
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

TEST(tree, constant_features_give_a_leaf)
{
    static const double X[] = {1, 2, 1, 2, 1, 2}, T[] = {1, 2, 6};
    ml_dataset *data = toy_reals(NULL, X, 3, 2, T);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const double *importances = toy_tensor(model, "feature_importances").data;
    double out[3];

    CHECK_OK(ml_model_predict(model, data, out, 3));
    for (int i = 0; i < 3; i++)
        CHECK_CLOSE(out[i], 3, 1e-15);
    CHECK(importances[0] == 0 && importances[1] == 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree, a_class_without_rows_has_no_share)
{
    ml_dataset *all = test_table(NULL, "iris"), *part;
    size_t rows[100];
    double *proba = malloc(150 * 3 * sizeof *proba);
    ml_model *model;

    for (size_t i = 0; i < 100; i++)
        rows[i] = i < 50 ? i : i + 50;
    CHECK_OK(ml_dataset_subset(all, rows, 100, &part));
    model = toy_fitted(NULL, "decision_tree", part, NULL);
    CHECK(ml_model_n_classes(model, 0) == 3);
    CHECK_OK(ml_model_predict_proba(model, all, proba, 450));
    for (size_t i = 0; i < 150; i++)
        CHECK(proba[3 * i + 1] == 0 && proba[3 * i] + proba[3 * i + 2] == 1);
    free(proba);
    ml_model_free(model);
    ml_dataset_free(part);
    ml_dataset_free(all);
}

/* No first split gains anything; only the second does. */
TEST(tree, exclusive_or_is_learned)
{
    static const double X[] = {0, 0, 0, 1, 1, 0, 1, 1};
    static const int64_t Y[] = {0, 1, 1, 0};
    static const double T[] = {-1, 1, 1, -1};
    ml_dataset *labels = toy_labels(NULL, X, 4, 2, Y), *reals = toy_reals(NULL, X, 4, 2, T);

    for (int i = 0; i < 3; i++) {
        ml_model *model =
            toy_fitted(NULL, "decision_tree", i ? labels : reals, i == 2 ? TOY_SETTINGS("criterion", "entropy") : NULL);
        CHECK_CLOSE(toy_score(model, i ? labels : reals), 1, 0);
        CHECK(ml_model_tree_size(model, 0) == 7);
        CHECK(toy_node(model, 0, 0).feature == 0); /* of equals, the lowest feature */
        ml_model_free(model);
    }
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

TEST(tree, rows_of_weight_zero_do_not_count)
{
    static const double X[] = {1, 2, 3, 4, 5, 6}, W[] = {1, 0, 1, 0, 2, 0};
    static const int64_t Y[] = {0, 1, 0, 1, 1, 0};
    static const size_t ROWS[] = {1, 3, 5};
    ml_dataset *data = toy_labels(NULL, X, 6, 1, Y), *part;
    ml_model *model = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_dataset_set_weights(data, W, 6));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_tree_size(model, 0) == 3);
    CHECK(toy_node(model, 0, 0).threshold == 4);
    CHECK(toy_node(model, 0, 1).value[0] == 1 && toy_node(model, 0, 2).value[1] == 1);
    CHECK_OK(ml_dataset_subset(data, ROWS, 3, &part));
    CHECK_FAILS(ml_model_fit(model, part, NULL), ML_E_DATA, "sum to 0");
    ml_model_free(model);
    ml_dataset_free(part);
    ml_dataset_free(data);
}

/* ---- numbers ---- */

/* Size, offset and outliers of the targets cost no digits, and neither do weights of any size. */
TEST(tree, targets_of_any_size_are_learned_exactly)
{
    enum { N = 200 };
    static const double SCALES[] = {1, 1e300, 1e-300, 1e9, 4e-324}, WEIGHTS[] = {1, 1e300, 1e-300, 1e150, 1e-12};
    double x[N], t[N], w[N];
    toy_random r = {8};

    for (int s = 0; s < 5; s++) {
        ml_dataset *data;
        ml_model *model;
        double *out;

        for (int i = 0; i < N; i++) {
            x[i] = toy_uniform(&r);
            t[i] = s == 3 ? 1e9 + 1e-3 * toy_uniform(&r) : floor(100 * toy_uniform(&r)) * SCALES[s];
            w[i] = WEIGHTS[s] * (toy_uniform(&r) + 0.1);
        }
        t[5] = s == 1 ? DBL_MAX : t[5];
        t[6] = s == 1 ? -DBL_MAX : t[6];
        t[7] = s == 0 ? 1e19 : t[7];
        data = toy_reals(NULL, x, N, 1, t);
        CHECK_OK(ml_dataset_set_weights(data, w, N));
        model = toy_fitted(NULL, "decision_tree", data, NULL);
        out = toy_predictions(model, data);
        for (int i = 0; i < N; i++)
            CHECK_MSG(out[i] == t[i], "scale %g, row %d: %.17g, expected %.17g", SCALES[s], i, out[i], t[i]);
        free(out);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Two groups far below the size of an outlier are still told apart once it is gone. */
TEST(tree, an_outlier_does_not_hide_the_rest)
{
    double x[101], t[101];
    ml_dataset *data;
    ml_model *model;

    for (int i = 0; i < 100; i++) {
        x[i] = i;
        t[i] = (i >= 37) + 1e-3 * (i % 3);
    }
    x[100] = 100;
    t[100] = 1e20;
    data = toy_reals(NULL, x, 101, 1, t);
    model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_depth", "2"));
    CHECK(toy_node(model, 0, 0).threshold == 99.5F);
    CHECK(toy_node(model, 0, 1).threshold == 36.5F);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Alternating labels are peeled off one by one; the limit on depth ends that. */
TEST(tree, depth_is_limited)
{
    enum { N = ML__TREE_MAX_DEPTH + 100 };
    static double x[N];
    static int64_t y[N];
    ml_dataset *data;
    ml_model *model;
    size_t n_nodes;

    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i % 2;
    }
    data = toy_labels(NULL, x, N, 1, y);
    model = toy_fitted(NULL, "decision_tree", data, NULL);
    n_nodes = ml_model_tree_size(model, 0);
    CHECK_MSG(n_nodes == 2 * ML__TREE_MAX_DEPTH + 1, "%zu nodes", n_nodes);
    CHECK(toy_node(model, 0, n_nodes - 1).depth == ML__TREE_MAX_DEPTH);
    CHECK(toy_score(model, data) > 0.98);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- invariances ---- */

static ml_dataset *repeated(const ml_dataset *data, const double *weights)
{
    const size_t n = ml_dataset_n_rows(data);
    size_t *rows = malloc(5 * n * sizeof *rows), n_rows = 0;
    ml_dataset *out;

    for (size_t i = 0; i < n; i++)
        for (int copy = 0; copy < (int)weights[i]; copy++)
            rows[n_rows++] = n - 1 - i; /* and the other way round */
    CHECK_OK(ml_dataset_subset(data, rows, n_rows, &out));
    free(rows);
    return out;
}

TEST(tree, repeated_rows_are_weights)
{
    static const char *const CRITERIA[] = {"gini", "entropy", "squared_error"};
    double w[TOY_ROWS], reversed[TOY_ROWS];

    for (size_t i = 0; i < TOY_ROWS; i++)
        w[i] = reversed[TOY_ROWS - 1 - i] = (double)(i * i % 5);
    for (int c = 0; c < 3; c++) {
        const char *const *settings = TOY_SETTINGS("criterion", CRITERIA[c]);
        ml_dataset *data = toy_data(NULL, c < 2), *other = toy_data(NULL, c < 2), *copies = repeated(other, w);
        ml_model *weighted, *plain = toy_fitted(NULL, "decision_tree", copies, settings);

        CHECK_OK(ml_dataset_set_weights(data, reversed, TOY_ROWS));
        weighted = toy_fitted(NULL, "decision_tree", data, settings);
        CHECK(toy_equal_trees(weighted, 0, plain, 0));
        ml_model_free(weighted);
        ml_model_free(plain);
        ml_dataset_free(copies);
        ml_dataset_free(other);
        ml_dataset_free(data);
    }
}

/* Depth 3: further down, nodes are small and different features part them equally. */
TEST(tree, features_may_be_permuted)
{
    enum { N = 300, D = 4 };
    static const int32_t PLACE[D] = {2, 0, 3, 1};
    static double x[N * D], permuted[N * D], t[N];
    toy_random r = {6};
    ml_dataset *a, *b;
    ml_model *model_a, *model_b;

    for (size_t i = 0; i < N; i++) {
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = permuted[i * D + (size_t)PLACE[j]] = toy_uniform(&r);
        t[i] = x[i * D] * x[i * D + 3] + x[i * D + 1] + 0.1 * toy_uniform(&r);
    }
    a = toy_reals(NULL, x, N, D, t);
    b = toy_reals(NULL, permuted, N, D, t);
    model_a = toy_fitted(NULL, "decision_tree", a, TOY_SETTINGS("max_depth", "3"));
    model_b = toy_fitted(NULL, "decision_tree", b, TOY_SETTINGS("max_depth", "3"));
    CHECK(toy_close_trees(model_a, 0, model_b, 0, 0, PLACE));
    ml_model_free(model_a);
    ml_model_free(model_b);
    ml_dataset_free(a);
    ml_dataset_free(b);
}

/* A feature and its mirror image part the rows alike: always a tie, always for the lower one. */
TEST(tree, ties_go_to_the_lowest_feature)
{
    enum { N = 120 };
    static double x[2 * N], t[N];
    static int64_t y[N];
    toy_random r = {9};

    for (size_t i = 0; i < N; i++) {
        x[2 * i] = toy_uniform(&r);
        x[2 * i + 1] = -x[2 * i];
        t[i] = toy_uniform(&r);
        y[i] = (int64_t)(3 * toy_uniform(&r));
    }
    for (int c = 0; c < 3; c++) {
        ml_dataset *data = c ? toy_labels(NULL, x, N, 2, y) : toy_reals(NULL, x, N, 2, t);
        ml_model *model = toy_fitted(NULL, "decision_tree", data, c == 2 ? TOY_SETTINGS("criterion", "entropy") : NULL);

        for (size_t i = 0; i < ml_model_tree_size(model, 0); i++)
            CHECK(toy_node(model, 0, i).feature <= 0);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* What a node draws depends on its path only, so cutting a tree off does not change what stays. */
TEST(tree, random_features_depend_on_the_path_only)
{
    ml_dataset *data = test_table(NULL, "digits");
    ml_model *deep = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_features", "sqrt")),
             *cut = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_features", "sqrt", "max_depth", "4")),
             *other =
                 toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_features", "sqrt", "random_state", "1"));
    struct {
        size_t a, b;
    } stack[16] = {{0, 0}};
    size_t n_open = 1, n_seen = 0;

    while (n_open) {
        const ml_tree_node a = toy_node(deep, 0, stack[--n_open].a), b = toy_node(cut, 0, stack[n_open].b);

        n_seen++;
        if (b.feature < 0)
            continue;
        CHECK(a.feature == b.feature && a.threshold == b.threshold);
        for (int64_t side = 0; side < 2; side++) {
            stack[n_open].a = (size_t)(a.left + side);
            stack[n_open++].b = (size_t)(b.left + side);
        }
    }
    CHECK(n_seen == ml_model_tree_size(cut, 0));
    CHECK(!toy_equal_trees(deep, 0, other, 0));
    ml_model_free(deep);
    ml_model_free(cut);
    ml_model_free(other);
    ml_dataset_free(data);
}

/* ---- parameters ---- */

TEST(tree, criterion_must_fit_the_output)
{
    ml_dataset *labels = toy_data(NULL, true), *reals = toy_data(NULL, false);
    ml_model *model = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_model_set_text(model, "criterion", "squared_error"));
    CHECK_OK(ml_model_fit(model, reals, NULL));
    CHECK_FAILS(ml_model_fit(model, labels, NULL), ML_E_PARAMETER,
                "decision_tree: criterion squared_error is for reals, output 'class' is labels");
    CHECK_OK(ml_model_set_text(model, "criterion", "log_loss"));
    CHECK_OK(ml_model_fit(model, labels, NULL));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_PARAMETER, "is for labels, output 't' is real");
    CHECK_FAILS(ml_model_set_text(model, "criterion", "hinge"), ML_E_PARAMETER, "auto|gini|entropy");
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

TEST(tree, log_loss_is_entropy)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *a = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", "entropy")),
             *b = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", "log_loss"));

    CHECK(toy_equal_trees(a, 0, b, 0));
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(data);
}

/* Rows in each leaf, found by prediction. */
static size_t smallest_leaf(const ml_model *model, const ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    double *out = toy_predictions(model, data);
    size_t smallest = n;

    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        for (size_t j = 0; j < n; j++)
            count += out[i] == out[j];
        smallest = count < smallest ? count : smallest;
    }
    free(out);
    return smallest;
}

TEST(tree, sizes_are_counts_or_fractions)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("min_samples_leaf", "7"));

    CHECK(smallest_leaf(model, data) == 7);
    CHECK_OK(ml_model_set_text(model, "min_samples_leaf", "0.1")); /* of 90 */
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(smallest_leaf(model, data) == 9);
    CHECK_OK(ml_model_set_text(model, "min_samples_leaf", "1"));
    CHECK_OK(ml_model_set_text(model, "min_samples_split", "1.0"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_tree_size(model, 0) == 3);
    CHECK_OK(ml_model_set_text(model, "min_samples_split", "91"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_tree_size(model, 0) == 1);
    CHECK_FAILS(ml_model_set_text(model, "min_samples_split", "1"), ML_E_PARAMETER, "min_samples_split");
    CHECK_FAILS(ml_model_set_text(model, "max_features", "auto"), ML_E_PARAMETER, "all|sqrt|log2");
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree, constant_features_are_passed_over)
{
    enum { N = 60, D = 40 };
    static double x[N * D];
    static int64_t y[N];
    ml_dataset *data;
    ml_model *model;

    for (size_t i = 0; i < N; i++) {
        x[i * D + 17] = (double)i;
        y[i] = i % 7 < 3;
    }
    data = toy_labels(NULL, x, N, D, y);
    model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_features", "1"));
    CHECK_CLOSE(toy_score(model, data), 1, 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- contract ---- */

TEST(tree, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("decision_tree", true, NULL);
    toy_check_threads("decision_tree", false, TOY_SETTINGS("max_features", "0.5"));
}

TEST(tree, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "decision_tree", true, NULL) >= 10);
    CHECK(toy_check_memory(1, "decision_tree", false, NULL) >= 10);
}

TEST(tree, cancel_leaves_the_model_unchanged)
{
    CHECK(toy_check_cancel("decision_tree", true, NULL) == 1);
}
