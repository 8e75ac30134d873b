/* SPDX-License-Identifier: Apache-2.0 */
#include "tree_toys.h"

/* ---- nodes ---- */

/* Level by level: every child is the next node that has no parent yet, one deeper than its parent. */
TEST(tree_inspect, nodes_are_in_breadth_first_order)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "7"));

    CHECK(ml_model_tree_count(model) == 7);
    for (size_t t = 0; t < 7; t++) {
        const size_t n = ml_model_tree_size(model, t);
        int64_t next = 1;

        CHECK(n > 1 && n % 2 && toy_node(model, t, 0).depth == 0);
        for (size_t i = 0; i < n; i++) {
            const ml_tree_node node = toy_node(model, t, i);

            if (node.feature < 0) {
                CHECK(node.left == -1 && node.right == -1 && node.n_values == 3 && node.threshold == 0);
                CHECK_CLOSE(node.value[0] + node.value[1] + node.value[2], 1, 1e-15);
                continue;
            }
            CHECK(node.feature < TOY_FEATURES && !node.value && !node.n_values);
            CHECK(node.left == next && node.right == next + 1);
            CHECK(toy_node(model, t, (size_t)node.left).depth == node.depth + 1);
            CHECK(toy_node(model, t, (size_t)node.right).depth == node.depth + 1);
            next += 2;
        }
        CHECK(next == (int64_t)n);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree_inspect, a_root_alone_is_a_leaf)
{
    static const double X[] = {3, 3}, T[] = {1, 4};
    ml_dataset *data = toy_reals(NULL, X, 2, 1, T);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const ml_tree_node node = toy_node(model, 0, 0);

    CHECK(ml_model_tree_size(model, 0) == 1);
    CHECK(node.left == -1 && node.right == -1 && node.feature == -1 && node.depth == 0 && node.n_values == 1);
    CHECK(node.value[0] == 2.5);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree_inspect, wrong_requests_are_refused)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_model(NULL, "random_forest"), *other = toy_fitted(NULL, "linear_regression", data, NULL);
    ml_tree_node node = {.struct_size = sizeof node};

    CHECK(ml_model_tree_count(NULL) == 0 && ml_model_tree_count(model) == 0 && ml_model_tree_count(other) == 0);
    CHECK(ml_model_tree_size(NULL, 0) == 0 && ml_model_tree_size(model, 0) == 0 && ml_model_tree_size(other, 0) == 0);
    CHECK_FAILS(ml_model_tree_node(NULL, 0, 0, &node), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_tree_node(model, 0, 0, &node), ML_E_STATE, "random_forest is not fitted");
    CHECK_FAILS(ml_model_tree_node(other, 0, 0, &node), ML_E_UNSUPPORTED, "linear_regression is not made of trees");
    CHECK_OK(ml_model_set_int(model, "n_estimators", 2));
    CHECK_OK(ml_model_set_int(model, "max_depth", 1));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_tree_count(model) == 2 && ml_model_tree_size(model, 1) == 3 && ml_model_tree_size(model, 2) == 0);
    CHECK_FAILS(ml_model_tree_node(model, 2, 0, &node), ML_E_ARGUMENT, "tree 2 of 2");
    CHECK_FAILS(ml_model_tree_node(model, 1, 3, &node), ML_E_ARGUMENT, "node 3 of 3 in tree 1");
    CHECK_FAILS(ml_model_tree_node(model, 0, 0, NULL), ML_E_ARGUMENT, "ml_tree_node is NULL");
    node.struct_size = 1;
    CHECK_FAILS(ml_model_tree_node(model, 0, 0, &node), ML_E_ARGUMENT, "struct_size");
    node = (ml_tree_node){.struct_size = offsetof(ml_tree_node, feature), .feature = 77};
    CHECK_OK(ml_model_tree_node(model, 0, 0, &node)); /* as an older header has it */
    CHECK(node.left == 1 && node.right == 2 && node.feature == 77);
    ml_model_free(model);
    ml_model_free(other);
    ml_dataset_free(data);
}

/* ---- ways of rows ---- */

/* By hand, through the nodes; returns the length of the path. */
static size_t walk(const ml_model *model, size_t tree, const double *x, int32_t *path)
{
    size_t length = 0;
    int64_t i = 0;

    for (;;) {
        const ml_tree_node node = toy_node(model, tree, (size_t)i);

        path[length++] = (int32_t)i;
        if (node.feature < 0)
            return length;
        i = (double)(float)x[node.feature] <= node.threshold ? node.left : node.right;
    }
}

TEST(tree_inspect, leaves_and_paths_are_walks_through_the_nodes)
{
    enum { N_TREES = 9 };

    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "9"));
        int32_t leaves[TOY_ROWS * N_TREES], path[64], want[64];
        double x[TOY_FEATURES];

        CHECK_OK(ml_model_tree_leaves(model, data, leaves, TOY_ROWS * N_TREES));
        for (size_t i = 0; i < TOY_ROWS; i++) {
            CHECK_OK(ml_dataset_row(data, i, x, TOY_FEATURES));
            for (size_t t = 0; t < N_TREES; t++) {
                const size_t n = walk(model, t, x, want);
                size_t length = 0;

                CHECK_OK(ml_model_tree_path(model, t, x, TOY_FEATURES, NULL, 0, &length));
                CHECK(length == n);
                CHECK_OK(ml_model_tree_path(model, t, x, TOY_FEATURES, path, n, NULL));
                CHECK(!memcmp(path, want, n * sizeof *path));
                CHECK(leaves[i * N_TREES + t] == want[n - 1]);
            }
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* The mean of the leaves' values is the prediction. */
TEST(tree_inspect, leaves_explain_predictions)
{
    enum { N_TREES = 20 };
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "20", "max_depth", "3"));
    double *out = toy_predictions(model, data);
    int32_t leaves[TOY_ROWS * N_TREES];

    CHECK_OK(ml_model_tree_leaves(model, data, leaves, TOY_ROWS * N_TREES));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        double mean = 0;
        for (size_t t = 0; t < N_TREES; t++)
            mean += *toy_node(model, t, (size_t)leaves[i * N_TREES + t]).value / N_TREES;
        CHECK_CLOSE(out[i], mean, 1e-14);
    }
    free(out);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* More rows than a block has. */
static void *send_rows(ml_context *context, const void *rows, size_t *n_bytes)
{
    const ml_dataset *data = rows;
    const size_t n = 4 * ml_dataset_n_rows(data);
    ml_model *model = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "4"));
    int32_t *leaves = malloc(n * sizeof *leaves);

    memset(leaves, 0xff, n * sizeof *leaves);
    CHECK_OK(ml_model_tree_leaves(model, data, leaves, n));
    ml_model_free(model);
    *n_bytes = n * sizeof *leaves;
    return leaves;
}

TEST(tree_inspect, leaves_do_not_depend_on_threads)
{
    ml_dataset *digits = test_table(NULL, "digits");

    test_any_threads("leaves", send_rows, digits);
    ml_dataset_free(digits);
}

TEST(tree_inspect, rows_that_cannot_be_sent_are_refused)
{
    ml_dataset *data = toy_data(NULL, false), *other;
    ml_model *model = toy_model(NULL, "decision_tree"), *linear = toy_fitted(NULL, "linear_regression", data, NULL);
    double x[TOY_FEATURES] = {0};
    int32_t out[TOY_ROWS], path[8] = {-7};
    size_t length = 0;

    CHECK_FAILS(ml_model_tree_leaves(model, data, out, TOY_ROWS), ML_E_STATE, "decision_tree is not fitted");
    CHECK_FAILS(ml_model_tree_path(model, 0, x, TOY_FEATURES, path, 8, NULL), ML_E_STATE, "is not fitted");
    CHECK_FAILS(ml_model_tree_leaves(linear, data, out, TOY_ROWS), ML_E_UNSUPPORTED, "is not made of trees");
    CHECK_FAILS(ml_model_tree_path(linear, 0, x, TOY_FEATURES, path, 8, NULL), ML_E_UNSUPPORTED, "not made of trees");
    CHECK_OK(ml_model_set_int(model, "max_depth", 2));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_FAILS(ml_model_tree_leaves(NULL, data, out, TOY_ROWS), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_model_tree_leaves(model, NULL, out, TOY_ROWS), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_model_tree_leaves(model, data, NULL, TOY_ROWS), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_model_tree_leaves(model, data, out, 7), ML_E_SHAPE,
                "out has 7 elements, 90 rows in 1 trees have 90");
    other = toy_matrix(NULL, (const double[]){1, 2}, 1, 2);
    CHECK_FAILS(ml_model_tree_leaves(model, other, out, 1), ML_E_SHAPE, "the data has 2 features, expected 3");
    ml_dataset_free(other);
    other = toy_matrix(NULL, (const double[]){1, 1e300, 2}, 1, 3);
    CHECK_FAILS(ml_model_tree_leaves(model, other, out, 1), ML_E_DATA, "1e300 of feature 'x1' is too large");
    CHECK_FAILS(ml_model_tree_path(model, 0, NULL, 3, path, 8, NULL), ML_E_ARGUMENT, "x is NULL");
    CHECK_FAILS(ml_model_tree_path(model, 0, x, 3, NULL, 8, NULL), ML_E_ARGUMENT, "nodes is NULL, n_nodes 8");
    CHECK_FAILS(ml_model_tree_path(model, 1, x, 3, path, 8, NULL), ML_E_ARGUMENT, "tree 1 of 1");
    CHECK_FAILS(ml_model_tree_path(model, 0, x, 4, path, 8, NULL), ML_E_SHAPE, "the row has 4 features, the model 3");
    CHECK_FAILS(ml_model_tree_path(model, 0, x, 3, path, 2, &length), ML_E_SHAPE, "has 3 nodes, there is room for 2");
    CHECK(length == 3 && path[0] == -7);
    x[1] = INFINITY;
    CHECK_FAILS(ml_model_tree_path(model, 0, x, 3, path, 8, NULL), ML_E_DATA, "feature 'x1' is infinite");
    ml_model_free(linear);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(other);
}

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
} request;

static ml_status ask(ml_context *context, void *argument)
{
    static const double X[TOY_FEATURES] = {0.5, 0.25, 0.125};
    const request *r = argument;
    int32_t leaves[2 * TOY_ROWS];
    size_t length;
    ml_status st = ml_model_tree_leaves(r->model, r->data, leaves, 2 * TOY_ROWS);

    (void)context;
    return st == ML_OK ? ml_model_tree_path(r->model, 0, X, TOY_FEATURES, NULL, 0, &length) : st;
}

TEST(tree_inspect, every_failing_allocation_is_reported)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 2);
    ml_dataset *data = toy_data(context, true);
    ml_model *model = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "2"));
    request r = {model, data};

    CHECK(test_failing_allocations(&allocator, context, "leaves and a path", ask, &r) >= 2);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
}
