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
