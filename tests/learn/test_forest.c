/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>

#include "learn/learn.h"
#include "tree_toys.h"

TEST(forest, test_scores_are_those_of_scikit_learn)
{
    enum { N_SEEDS = 10 };
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer", "digits", "boston", "diabetes"};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("trees_scores.txt"), &n_numbers);

    for (size_t i = 0; i < 6; i++) {
        const double *w = want + 6 * i;
        ml_dataset *all = test_table(NULL, TABLES[i]), *train, *test;
        ml_model *model = toy_model(NULL, "random_forest");
        double mean = 0;

        toy_split(all, &train, &test);
        for (int64_t seed = 0; seed < N_SEEDS; seed++) {
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, train, NULL));
            mean += toy_score(model, test) / N_SEEDS;
        }
        CHECK_MSG(fabs(mean - w[4]) <= 0.01, "%s: %g, expected %g +- %g", TABLES[i], mean, w[4], w[5]);
        ml_model_free(model);
        ml_dataset_free(train);
        ml_dataset_free(test);
        ml_dataset_free(all);
    }
    free(want);
}

/* Without bootstrap and with all features every tree is the decision tree, from ranks and, up to the rounding of a
 * mean, from byte codes. Only so deep that no splits tie: those go to the feature searched first, which a forest draws. */
TEST(forest, without_randomness_its_trees_are_the_decision_tree)
{
    for (int c = 0; c < 4; c++) {
        ml_dataset *data = toy_data(NULL, c % 2);
        ml_model *tree = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_depth", "2", "max_bins", "0")),
                 *forest = toy_fitted(NULL, "random_forest", data,
                                      TOY_SETTINGS("bootstrap", "false", "max_features", "all", "n_estimators", "3",
                                                   "max_depth", "2", "max_bins", c / 2 ? "255" : "0"));
        const double *a = toy_tensor(tree, "feature_importances").data,
                     *b = toy_tensor(forest, "feature_importances").data;

        CHECK(ml_model_tree_count(tree) == 1 && ml_model_tree_count(forest) == 3);
        for (size_t t = 0; t < 3; t++)
            CHECK_MSG(toy_close_trees(forest, t, tree, 0, c / 2 ? 1e-15 : 0, NULL), "case %d, tree %zu", c, t);
        for (size_t j = 0; j < TOY_FEATURES; j++)
            CHECK_CLOSE(a[j], b[j], c / 2 ? 1e-7 : 1e-15); /* byte codes: gains are rounded */
        ml_model_free(tree);
        ml_model_free(forest);
        ml_dataset_free(data);
    }
}

/* A tree depends on the seed and its number only: a smaller forest is the beginning of a larger one. */
TEST(forest, a_smaller_forest_begins_a_larger_one)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *small = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "5")),
             *large = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "40")),
             *other = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "5", "random_state", "7"));

    for (size_t t = 0; t < 5; t++) {
        CHECK(toy_equal_trees(small, t, large, t));
        CHECK(!toy_equal_trees(small, t, other, t));
    }
    ml_model_free(small);
    ml_model_free(large);
    ml_model_free(other);
    ml_dataset_free(data);
}

/* auto: sqrt(64) = 8 of the features for labels, all of them for reals. */
TEST(forest, max_features_follows_the_task)
{
    ml_dataset *digits = test_table(NULL, "digits"), *boston = test_table(NULL, "boston");
    ml_model *a = toy_fitted(NULL, "random_forest", digits, TOY_SETTINGS("n_estimators", "3")),
             *b = toy_fitted(NULL, "random_forest", digits, TOY_SETTINGS("n_estimators", "3", "max_features", "8")),
             *c = toy_fitted(NULL, "random_forest", boston, TOY_SETTINGS("n_estimators", "3")),
             *d = toy_fitted(NULL, "random_forest", boston, TOY_SETTINGS("n_estimators", "3", "max_features", "1.0"));

    for (size_t t = 0; t < 3; t++)
        CHECK(toy_equal_trees(a, t, b, t) && toy_equal_trees(c, t, d, t));
    ml_model_free(a);
    ml_model_free(b);
    ml_model_free(c);
    ml_model_free(d);
    ml_dataset_free(digits);
    ml_dataset_free(boston);
}

/* Each tree sees about 1 - 1/e of the rows, so a forest of many trees differs from tree to tree, but its importances
 * sum to 1 and agree with what the data was made from. */
TEST(forest, importances_find_the_features_that_matter)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *model = toy_fitted(NULL, "random_forest", data, NULL);
        const double *importance = toy_tensor(model, "feature_importances").data;

        CHECK_CLOSE(importance[0] + importance[1] + importance[2], 1, 1e-14);
        CHECK(importance[1] > importance[0] && importance[0] > importance[2] && importance[2] > 0);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* From ranks, whose draws are the same with weights and without. */
TEST(forest, rows_of_weight_zero_are_never_drawn)
{
    const char *const *settings = TOY_SETTINGS("n_estimators", "8", "max_bins", "0");
    ml_dataset *data = toy_data(NULL, false), *part;
    ml_model *a, *b;
    double w[TOY_ROWS] = {0};
    size_t rows[TOY_ROWS], n_rows = 0;

    for (size_t i = 0; i < TOY_ROWS; i++)
        if (i % 3) {
            w[i] = 2;
            rows[n_rows++] = i;
        }
    CHECK_OK(ml_dataset_set_weights(data, w, TOY_ROWS));
    a = toy_fitted(NULL, "random_forest", data, settings);
    CHECK_OK(ml_dataset_subset(data, rows, n_rows, &part));
    b = toy_fitted(NULL, "random_forest", part, settings);
    toy_same_models(a, b);
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(part);
    ml_dataset_free(data);
}

TEST(forest, one_row_and_one_class)
{
    static const double X[] = {3, 4};
    static const int64_t Y[] = {12};
    ml_dataset *data = toy_labels(NULL, X, 1, 2, Y);
    ml_model *model = toy_fitted(NULL, "random_forest", data, NULL);
    double out;

    CHECK_OK(ml_model_predict_proba(model, data, &out, 1));
    CHECK(out == 1);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(forest, a_row_is_predicted_alike_alone_and_among_others)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "20"));
    double all[3 * TOY_ROWS], one[3], x[TOY_FEATURES];

    CHECK_OK(ml_model_predict_proba(model, data, all, 3 * TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        CHECK_OK(ml_dataset_row(data, i, x, TOY_FEATURES));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, x, TOY_FEATURES, one, 3, NULL, 0));
        CHECK_SAME_BYTES(one, sizeof one, all + 3 * i, sizeof one);
        CHECK_CLOSE(one[0] + one[1] + one[2], 1, 1e-14);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Each fit that is late from the beginning grows one tree, and one more each that goes on. */
TEST(forest, the_deadline_leaves_a_smaller_forest)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        const ml_fit_options options = {.struct_size = sizeof options, .deadline_seconds = 1e-9};
        ml_model *model = toy_model(NULL, "random_forest"), *whole;

        CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
        CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
        for (size_t n = 1; n <= 3; n++) {
            CHECK_OK(ml_model_fit(model, data, &options));
            CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE);
            CHECK(ml_model_tree_count(model) == n);
        }
        CHECK_OK(ml_model_set_int(model, "n_estimators", 4));
        CHECK_OK(ml_model_fit(model, data, &options));
        CHECK(ml_model_stop_reason(model) == ML_STOP_COMPLETE);
        whole = toy_fitted(NULL, "random_forest", data, NULL);
        CHECK(ml_model_stop_reason(whole) == ML_STOP_COMPLETE);
        for (size_t t = 0; t < 4; t++)
            CHECK(toy_equal_trees(model, t, whole, t));
        ml_model_free(model);
        ml_model_free(whole);
        ml_dataset_free(data);
    }
}

/* Sums of targets that no double holds, but their mean: by rows, of one row, with a value missing, out of bag. */
TEST(forest, means_of_huge_targets_are_finite)
{
    static const char *const KINDS[] = {"random_forest", "extra_trees", "random_forest"};
    double x[60], t[60];

    for (int i = 0; i < 60; i++) {
        x[i] = i;
        t[i] = i < 20 ? 1e307 : i < 40 ? -DBL_MAX : i < 50 ? 1e305 : 3;
    }
    for (int k = 0; k < 3; k++) {
        ml_dataset *data = toy_reals(NULL, x, 60, 1, t);
        ml_model *model = toy_fitted(NULL, KINDS[k], data,
                                     TOY_SETTINGS("bootstrap", "true", "oob_score", "true", "max_bins",
                                                  k < 2 ? "255" : "0", "max_samples", "0.5"));
        const double *out_of_bag = toy_tensor(model, "oob_prediction").data;
        double *mean = toy_predictions(model, data), one;

        for (int i = 0; i < 60; i++) {
            CHECK(isfinite(mean[i]) && isfinite(out_of_bag[i]));
            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, x + i, 1, &one, 1, NULL, 0));
            CHECK_SAME_BYTES(&one, sizeof one, mean + i, sizeof one);
        }
        CHECK_CLOSE(mean[5], 1e307, 1e-14);
        CHECK_CLOSE(out_of_bag[5], 1e307, 1e-14);
        CHECK_CLOSE(mean[30], -DBL_MAX, 1e-14);
        CHECK_CLOSE(out_of_bag[30], -DBL_MAX, 1e-14);
        CHECK(mean[58] == 3);
        free(mean);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

TEST(forest, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("random_forest", true, NULL);
    toy_check_threads("random_forest", false, TOY_SETTINGS("n_estimators", "21"));
}

TEST(forest, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "random_forest", true, TOY_SETTINGS("n_estimators", "3")) >= 15);
    CHECK(toy_check_memory(3, "random_forest", false, TOY_SETTINGS("n_estimators", "3")) >= 15);
}

TEST(forest, cancel_leaves_the_model_unchanged)
{
    CHECK(toy_check_cancel("random_forest", true, TOY_SETTINGS("n_estimators", "19")) == 19);
}
