/* SPDX-License-Identifier: Apache-2.0 */
#include "learn/tree/tree.h"

#include <float.h>

#include "tree_toys.h"

/* ---- against scikit-learn ---- */

typedef struct {
    const int32_t *feature, *left;
    const float *threshold;
    const double *value;
    size_t n_nodes, K;
} nodes;

static nodes nodes_of(const ml_model *model)
{
    const ml_tensor value = toy_tensor(model, "nodes.value");

    return (nodes){toy_tensor(model, "nodes.feature").data,
                   toy_tensor(model, "nodes.left").data,
                   toy_tensor(model, "nodes.threshold").data,
                   value.data,
                   (size_t)value.shape[0],
                   (size_t)value.shape[1]};
}

/* Walk both trees together; `want` has scikit-learn's nodes, 4 + K numbers each. */
static void check_nodes(const nodes *got, const double *want, double tolerance)
{
    struct {
        size_t got, want;
    } stack[64] = {{0, 0}};
    size_t n_open = 1;

    while (n_open) {
        const size_t i = stack[--n_open].got;
        const double *node = want + stack[n_open].want * (4 + got->K);

        for (size_t k = 0; k < got->K; k++)
            CHECK_CLOSE(got->value[i * got->K + k], node[4 + k], tolerance);
        CHECK(got->feature[i] == (node[0] < 0 ? -1 : (int32_t)node[0]));
        if (node[0] < 0)
            continue;
        CHECK(got->threshold[i] <= node[1] && nextafterf(got->threshold[i], INFINITY) > node[1]);
        CHECK(n_open + 2 < 64);
        stack[n_open].got = (size_t)got->left[i];
        stack[n_open++].want = (size_t)node[2];
        stack[n_open].got = (size_t)got->left[i] + 1;
        stack[n_open++].want = (size_t)node[3];
    }
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

TEST(tree, nodes_are_those_of_scikit_learn)
{
    size_t n_numbers;
    double *numbers = test_read_numbers(test_expected_path("trees_nodes.txt"), &n_numbers);
    const size_t n = (size_t)numbers[0], d = (size_t)numbers[1], n_cases = (size_t)numbers[3];
    const double *x = numbers + 4, *y = x + n * d, *t = y + n, *w = t + n, *next = w + n;
    int64_t *labels = malloc(n * sizeof *labels);

    for (size_t i = 0; i < n; i++)
        labels[i] = (int64_t)y[i];
    for (size_t c = 0; c < n_cases; c++) {
        const bool reals = next[0] == 4;
        ml_dataset *data = reals ? toy_reals(NULL, x, n, d, t) : toy_labels(NULL, x, n, d, labels);
        ml_model *model = toy_model(NULL, "decision_tree");
        const size_t n_nodes = (size_t)next[6];
        const double *importances;
        nodes got;

        if (next[5] != 0)
            CHECK_OK(ml_dataset_set_weights(data, w, n));
        set_case(model, next);
        CHECK_OK(ml_model_fit(model, data, NULL));
        got = nodes_of(model);
        CHECK_MSG(got.n_nodes == n_nodes, "case %zu: %zu nodes, expected %zu", c, got.n_nodes, n_nodes);
        importances = toy_tensor(model, "feature_importances").data;
        for (size_t j = 0; j < d; j++)
            CHECK_CLOSE(importances[j], next[7 + j], 1e-9);
        check_nodes(&got, next + 7 + d, 1e-13);
        next += 7 + d + n_nodes * (4 + got.K);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(next == numbers + n_numbers);
    free(labels);
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

    CHECK(nodes_of(model).n_nodes == 1);
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
        CHECK(nodes_of(model).n_nodes == 7);
        CHECK(nodes_of(model).feature[0] == 0); /* of equals, the lowest feature */
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
    CHECK(nodes_of(model).n_nodes == 3);
    CHECK(nodes_of(model).threshold[0] == 4);
    CHECK(nodes_of(model).value[0] == 0.5);
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
    CHECK(nodes_of(model).threshold[0] == 99.5F);
    CHECK(nodes_of(model).threshold[1] == 36.5F);
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
    nodes got;

    for (int i = 0; i < N; i++) {
        x[i] = i;
        y[i] = i % 2;
    }
    data = toy_labels(NULL, x, N, 1, y);
    model = toy_fitted(NULL, "decision_tree", data, NULL);
    got = nodes_of(model);
    CHECK_MSG(got.n_nodes == 2 * ML__TREE_MAX_DEPTH + 1, "%zu nodes", got.n_nodes);
    CHECK(toy_score(model, data) > 0.98);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- invariances ---- */

static void check_same_nodes(const ml_model *a, const ml_model *b, const int32_t *feature_of)
{
    const nodes m = nodes_of(a), n = nodes_of(b);

    CHECK(m.n_nodes == n.n_nodes && m.K == n.K);
    for (size_t i = 0; i < m.n_nodes; i++) {
        CHECK(n.feature[i] == (m.feature[i] >= 0 && feature_of ? feature_of[m.feature[i]] : m.feature[i]));
        CHECK(m.left[i] == n.left[i] && m.threshold[i] == n.threshold[i]);
        for (size_t k = 0; k < m.K; k++)
            CHECK(m.value[i * m.K + k] == n.value[i * m.K + k]);
    }
}

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
        check_same_nodes(weighted, plain, NULL);
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
    check_same_nodes(model_a, model_b, PLACE);
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
        const nodes got = nodes_of(model);

        for (size_t i = 0; i < got.n_nodes; i++)
            CHECK(got.feature[i] <= 0);
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
    const nodes a = nodes_of(deep), b = nodes_of(cut), c = nodes_of(other);
    struct {
        size_t a, b;
    } stack[16] = {{0, 0}};
    size_t n_open = 1, n_seen = 0;

    while (n_open) {
        const size_t i = stack[--n_open].a, j = stack[n_open].b;
        n_seen++;
        if (b.feature[j] < 0)
            continue;
        CHECK(a.feature[i] == b.feature[j] && a.threshold[i] == b.threshold[j]);
        for (size_t side = 0; side < 2; side++) {
            stack[n_open].a = (size_t)a.left[i] + side;
            stack[n_open++].b = (size_t)b.left[j] + side;
        }
    }
    CHECK(n_seen == b.n_nodes);
    CHECK(a.n_nodes != c.n_nodes || memcmp(a.threshold, c.threshold, a.n_nodes * sizeof *a.threshold) != 0);
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
    CHECK_FAILS(ml_model_set_text(model, "criterion", "poisson"), ML_E_PARAMETER, "auto|gini|entropy");
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

TEST(tree, log_loss_is_entropy)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *a = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", "entropy")),
             *b = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", "log_loss"));

    check_same_nodes(a, b, NULL);
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
    CHECK(nodes_of(model).n_nodes == 3);
    CHECK_OK(ml_model_set_text(model, "min_samples_split", "91"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(nodes_of(model).n_nodes == 1);
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

/* ---- files ---- */

/* What a file might hold: a fitted model whose tensors are changed one by one. */
static ml__named_tensor *find(ml__learned *learned, const char *name)
{
    return (ml__named_tensor *)ml__learned_find(learned, name);
}

static void check_refused(const ml_model *model, ml__learned *learned, const char *text)
{
    CHECK_FAILS(ml__learned_validate(model, learned, false), ML_E_FORMAT, text);
}

TEST(tree, damaged_tensors_are_refused)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "3", "max_depth", "3"));
    ml__learned *learned = model->learned;
    int32_t *feature = find(learned, "nodes.feature")->data, *left = find(learned, "nodes.left")->data;
    float *threshold = find(learned, "nodes.threshold")->data;
    double *value = find(learned, "nodes.value")->data;
    ml__named_tensor *offsets = find(learned, "trees.offset");
    int64_t *offset = offsets->data;
    const size_t root = (size_t)offset[1], n_nodes = (size_t)offset[2] - root;
    size_t leaf = root;

    CHECK_OK(ml__learned_validate(model, learned, false));
    while (feature[leaf] >= 0)
        leaf++;
#define REFUSED(place, wrong, text)            \
    do {                                       \
        const double kept = (double)(place);   \
        (place) = (wrong);                     \
        check_refused(model, learned, (text)); \
        (place) = kept;                        \
    } while (0)
    REFUSED(feature[root], 3, "tree 1, node 0: its feature is 3, of 3");
    REFUSED(feature[root], -2, "tree 1, node 0: its feature is -2");
    REFUSED(feature[root], -1, "tree 1, node 0 is a leaf with child 1");
    REFUSED(feature[leaf], 0, "its children are -1 and 0");
    REFUSED(left[leaf], 1, "is a leaf with child 1");
    REFUSED(left[root], 0, "tree 1, node 0: its children are 0 and 1");
    REFUSED(left[root], -5, "its children are -5");
    REFUSED(left[root], (int32_t)n_nodes - 1, "tree 1, node 0: its children are");
    REFUSED(left[root], INT32_MAX, "its children are 2147483647 and 2147483648");
    REFUSED(left[root], 2, "tree 1, node 1 has no parent");
    REFUSED(left[root + 1], left[root] + 1, "tree 1, node 2 has two parents");
    REFUSED(threshold[root], NAN, "tensor 'nodes.threshold'");
    REFUSED(threshold[root], INFINITY, "tensor 'nodes.threshold'");
    REFUSED(value[3 * root], -0.125, "tree 1, node 0: the share of class 0 is -0.125, negative");
    REFUSED(value[3 * root], NAN, "tensor 'nodes.value'");
    REFUSED(value[3 * root], value[3 * root] + 0.5, "tree 1, node 0: its shares of the classes sum to 1.5");
    REFUSED(offset[0], 1, "element 0 is 1, expected 0");
    REFUSED(offset[1], 0, "element 1 is 0 after 0");
    REFUSED(offset[1], -4, "element 1 is -4 after 0");
    REFUSED(offset[3], offset[3] + 1, "the last element is");
    REFUSED(offset[3], INT64_MAX, "element 3 is 9223372036854775807 after");
    REFUSED(offset[2], offset[2] + 1, "tree ");
    REFUSED(offsets->shape[0], 1, "0 trees, expected 1 to 1000000");
    REFUSED(offsets->shape[0], 0, "0 trees, expected 1 to 1000000");
#undef REFUSED
    CHECK_OK(ml__learned_validate(model, learned, false));
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree, a_tree_file_has_one_tree)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "2")),
             *tree = toy_model(NULL, "decision_tree");

    check_refused(tree, forest->learned, "tensor 'trees.offset' has 3 elements, a decision_tree has 2");
    ml_model_free(forest);
    ml_model_free(tree);
    ml_dataset_free(data);
}

/* A chain deeper than the limit, as no fit makes it. */
TEST(tree, too_deep_a_tree_is_refused)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const uint64_t t = 2 * (ML__TREE_MAX_DEPTH + 1) + 1;
    ml__learned *learned;

    CHECK_OK(ml__learned_create(NULL, &learned));
    CHECK_OK(ml__schema_copy(&learned->arena, &model->learned->schema, &learned->schema));
    learned->task = ML__REGRESS;
    CHECK(ml__learned_add(learned, "feature_importances", ML_FLOAT64, 1, (uint64_t[]){TOY_FEATURES}));
    int32_t *feature = ml__learned_add(learned, "nodes.feature", ML_INT32, 1, &t);
    int32_t *left = ml__learned_add(learned, "nodes.left", ML_INT32, 1, &t);
    CHECK(ml__learned_add(learned, "nodes.threshold", ML_FLOAT32, 1, &t));
    CHECK(ml__learned_add(learned, "nodes.value", ML_FLOAT64, 2, (uint64_t[]){t, 1}));
    int64_t *offset = ml__learned_add(learned, "trees.offset", ML_INT64, 1, (uint64_t[]){2});
    offset[1] = (int64_t)t;
    for (uint64_t i = 0; i < t; i++) {
        const bool splits = i + 1 < t && (i == 0 || i % 2);
        feature[i] = splits ? 0 : -1;
        left[i] = splits ? (int32_t)(i ? i + 2 : 1) : -1;
    }
    feature[t - 2] = left[t - 2] = -1;
    check_refused(model, learned, "is deeper than 4096");
    feature[t - 4] = left[t - 4] = -1; /* one level less */
    find(learned, "nodes.feature")->shape[0] = t - 2;
    find(learned, "nodes.left")->shape[0] = t - 2;
    find(learned, "nodes.threshold")->shape[0] = t - 2;
    find(learned, "nodes.value")->shape[0] = t - 2;
    offset[1] = (int64_t)t - 2;
    CHECK_OK(ml__learned_validate(model, learned, false));
    ml__learned_free(learned);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree, saved_and_loaded_it_predicts_the_same_bits)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL), *loaded;
    double a[3 * TOY_ROWS], b[3 * TOY_ROWS];
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_predict_proba(model, data, a, 3 * TOY_ROWS));
    CHECK_OK(ml_model_predict_proba(loaded, data, b, 3 * TOY_ROWS));
    CHECK_SAME_BYTES(a, sizeof a, b, sizeof b);
    free(bytes);
    ml_model_free(model);
    ml_model_free(loaded);
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
    CHECK(toy_check_memory(1, "decision_tree", true, NULL, false) >= 10);
    CHECK(toy_check_memory(1, "decision_tree", false, NULL, true) >= 10);
}

TEST(tree, cancel_leaves_the_model_unchanged)
{
    CHECK(toy_check_cancel("decision_tree", true, NULL) == 1);
}
