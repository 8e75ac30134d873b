/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of growth: weights of classes and leaves, best-first growth, pruning, drawn thresholds. */
#include "tree_toys.h"

static size_t n_nodes(const ml_model *model)
{
    return (size_t)toy_tensor(model, "trees.nodes").shape[0];
}

/* The reference's weights. */
static void weigh(ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    double *w = malloc(n * sizeof *w);

    for (size_t i = 0; i < n; i++)
        w[i] = 1 + (double)(37 * i % 64) / 64;
    CHECK_OK(ml_dataset_set_weights(data, w, n));
    free(w);
}

/* ---- references ---- */

/* As CASES and PATHS of tests/reference/make_growth.py. */
typedef struct growth_case {
    const char *table;
    bool weighted;
    const char *settings[8];
} growth_case;

static const growth_case CASES[] = {
    {"breast_cancer", true, {"min_weight_fraction_leaf", "0.05"}},
    {"breast_cancer", true, {"class_weight", "balanced", "min_samples_leaf", "10", "max_depth", "3"}},
    {"breast_cancer", true, {"class_weight", "malignant:5,benign:1", "min_samples_leaf", "10"}},
    {"breast_cancer", true, {"max_leaf_nodes", "6"}},
    {"breast_cancer", true, {"max_leaf_nodes", "9", "min_samples_leaf", "4"}},
    {"breast_cancer", true, {"max_leaf_nodes", "8", "min_impurity_decrease", "0.01", "criterion", "entropy"}},
    {"breast_cancer", true, {"ccp_alpha", "0.01", "min_samples_leaf", "4"}},
    {"breast_cancer", true, {"ccp_alpha", "0.004", "criterion", "entropy", "min_samples_leaf", "5"}},
    {"breast_cancer", true, {"ccp_alpha", "0.005", "max_leaf_nodes", "7"}},
    {"diabetes", true, {"min_weight_fraction_leaf", "0.03"}},
    {"diabetes", false, {"max_leaf_nodes", "15"}},
    {"diabetes", true, {"max_leaf_nodes", "40", "min_samples_leaf", "3"}},
    {"diabetes", false, {"ccp_alpha", "30", "min_samples_leaf", "3"}},
    {"diabetes", true, {"ccp_alpha", "100", "min_samples_leaf", "5"}},
};
static const growth_case PATHS[] = {
    {"breast_cancer", true, {"pruning_path", "true", "min_samples_leaf", "6"}},
    {"diabetes", false, {"pruning_path", "true", "min_samples_leaf", "6"}},
    {"diabetes", true, {"pruning_path", "true", "max_leaf_nodes", "30"}},
};

static ml_model *fit_case(const growth_case *c, ml_dataset **data)
{
    *data = test_table(NULL, c->table);
    if (c->weighted)
        weigh(*data);
    return toy_fitted(NULL, "decision_tree", *data, c->settings);
}

TEST(growth, trees_are_those_of_scikit_learn)
{
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_trees.txt"), &n_numbers), *w = want;

    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) {
        ml_dataset *data;
        ml_model *model = fit_case(&CASES[k], &data);
        const size_t n = ml_dataset_n_rows(data), width = ml_model_width(model, ML_PREDICT_PROBA);
        double *got = malloc(n * 2 * sizeof *got);

        CHECK_MSG(n_nodes(model) == (size_t)*w, "case %zu: %zu nodes, expected %g", k, n_nodes(model), *w);
        w++;
        if (width)
            CHECK_OK(ml_model_predict_proba(model, data, got, 2 * n));
        else
            CHECK_OK(ml_model_predict(model, data, got, n));
        for (size_t i = 0; i < n; i++) {
            const double value = width ? got[2 * i + 1] : got[i];
            CHECK_MSG(fabs(value - w[i]) <= 1e-10 * fmax(1, fabs(w[i])), "case %zu, row %zu: %.15g, expected %.15g", k,
                      i, value, w[i]);
        }
        w += n;
        free(got);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(w == want + n_numbers);
    free(want);
}

TEST(growth, pruning_paths_are_those_of_scikit_learn)
{
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_paths.txt"), &n_numbers), *w = want;

    for (size_t k = 0; k < sizeof PATHS / sizeof *PATHS; k++) {
        ml_dataset *data;
        ml_model *model = fit_case(&PATHS[k], &data);
        const ml_tensor alphas = toy_tensor(model, "pruning_path.ccp_alphas"),
                        impurities = toy_tensor(model, "pruning_path.impurities");
        const double *alpha = alphas.data, *impurity = impurities.data;
        const size_t n = (size_t)*w++;

        CHECK_MSG(alphas.shape[0] == n && impurities.shape[0] == n, "case %zu: %zu steps, expected %zu", k,
                  (size_t)alphas.shape[0], n);
        for (size_t i = 0; i < n; i++) {
            CHECK_MSG(fabs(alpha[i] - w[i]) <= 1e-9 * fmax(1, w[n - 1]), "case %zu, alpha %zu: %.15g, expected %.15g",
                      k, i, alpha[i], w[i]);
            CHECK_CLOSE(impurity[i], w[n + i], 1e-9);
            CHECK(!i || (alpha[i] >= alpha[i - 1] && impurity[i] >= impurity[i - 1]));
        }
        w += 2 * n;
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(w == want + n_numbers);
    free(want);
}

TEST(growth, a_random_splitter_scores_as_in_scikit_learn)
{
    enum { N_SEEDS = 100 };
    static const char *const TABLES[] = {"iris", "wine", "breast_cancer", "digits", "boston", "diabetes"};
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_scores.txt"), &n_numbers);

    for (size_t i = 0; i < 6; i++) {
        const double *w = want + 6 * i;
        ml_dataset *all = test_table(NULL, TABLES[i]), *train, *test;
        ml_model *model = toy_model(NULL, "decision_tree");
        double mean = 0;

        toy_split(all, &train, &test);
        CHECK_OK(ml_model_set_text(model, "splitter", "random"));
        for (int64_t seed = 0; seed < N_SEEDS; seed++) {
            CHECK_OK(ml_model_set_int(model, "random_state", seed));
            CHECK_OK(ml_model_fit(model, train, NULL));
            mean += toy_score(model, test) / N_SEEDS;
        }
        /* the difference of two means of 100 has a standard error of 0.14 standard deviations */
        CHECK_MSG(fabs(mean - w[2]) <= 0.5 * w[3], "%s: %g, expected %g +- %g", TABLES[i], mean, w[2], w[3]);
        ml_model_free(model);
        ml_dataset_free(train);
        ml_dataset_free(test);
        ml_dataset_free(all);
    }
    free(want);
}

/* ---- invariants ---- */

/* An order of growth without limit, and a pruning that prunes nothing, leave the tree as it is. */
TEST(growth, order_alone_changes_nothing)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *plain = toy_fitted(NULL, "decision_tree", data, NULL),
                 *best_first = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_leaf_nodes", "1000")),
                 *pruned = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("ccp_alpha", "1e-300"));

        CHECK_OK(ml_model_set_int(best_first, "max_leaf_nodes", 0));
        CHECK_OK(ml_model_set_int(pruned, "ccp_alpha", 0));
        toy_same_models(best_first, plain);
        toy_same_models(pruned, plain);
        ml_model_free(plain);
        ml_model_free(best_first);
        ml_model_free(pruned);
        ml_dataset_free(data);
    }
}

TEST(growth, leaves_are_no_more_than_asked_for)
{
    ml_dataset *data = toy_data(NULL, false);
    double error = INFINITY;

    for (int64_t n_leaves = 1; n_leaves <= 20; n_leaves++) {
        ml_model *model = toy_model(NULL, "decision_tree");
        double mse;

        CHECK_OK(ml_model_set_int(model, "max_leaf_nodes", n_leaves));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(n_nodes(model) == (size_t)(2 * n_leaves - 1));
        CHECK_OK(ml_model_score(model, data, "rmse", &mse));
        CHECK(mse < error);
        error = mse;
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

/* The tree that a step of the path belongs to has the impurity that the path says. */
TEST(growth, each_step_of_a_path_is_a_tree)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *whole = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("pruning_path", "true"));
    const ml_tensor alphas = toy_tensor(whole, "pruning_path.ccp_alphas");
    const double *alpha = alphas.data, *impurity = toy_tensor(whole, "pruning_path.impurities").data;
    size_t before = n_nodes(whole) + 1;

    CHECK(alphas.shape[0] > 40);
    for (size_t i = 5; i < alphas.shape[0]; i += 5) {
        ml_model *model = toy_model(NULL, "decision_tree");
        double rmse;

        CHECK_OK(ml_model_set_real(model, "ccp_alpha", alpha[i] * (1 + 1e-12)));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_score(model, data, "rmse", &rmse));
        CHECK_CLOSE(rmse * rmse, impurity[i], 1e-9);
        CHECK(n_nodes(model) < before);
        before = n_nodes(model);
        ml_model_free(model);
    }
    ml_model_free(whole);
    ml_dataset_free(data);
}

/* The importances of a pruned tree are those of the splits that are left: a stump has one feature. */
TEST(growth, importances_are_of_what_is_left)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *whole = toy_fitted(NULL, "decision_tree", data, NULL),
             *stump = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_depth", "1")),
             *pruned = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("ccp_alpha", "0.15")),
             *best = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_leaf_nodes", "2"));
    const double *a = toy_tensor(stump, "feature_importances").data, *b = toy_tensor(best, "feature_importances").data,
                 *c = toy_tensor(pruned, "feature_importances").data;

    CHECK(n_nodes(pruned) < n_nodes(whole) && n_nodes(pruned) > 1);
    CHECK_CLOSE(c[0] + c[1] + c[2], 1, 1e-14);
    CHECK(c[2] == 0 && ((const double *)toy_tensor(whole, "feature_importances").data)[2] > 0);
    CHECK(!memcmp(a, b, TOY_FEATURES * sizeof *a) && a[0] + a[1] + a[2] == 1);
    ml_model_free(whole);
    ml_model_free(stump);
    ml_model_free(pruned);
    ml_model_free(best);
    ml_dataset_free(data);
}

/* Weights of classes are weights of their rows. */
TEST(growth, class_weights_are_row_weights)
{
    for (int forest = 0; forest < 2; forest++) {
        const char *kind = forest ? "random_forest" : "decision_tree";
        ml_dataset *data = toy_data(NULL, true), *weighted = toy_data(NULL, true);
        ml_model *a = toy_model(NULL, kind), *b = toy_model(NULL, kind);
        ml_model *tree = toy_fitted(NULL, "decision_tree", data, NULL);
        double w[TOY_ROWS], *y = toy_predictions(tree, data); /* the labels: a tree knows them by heart */

        for (size_t i = 0; i < TOY_ROWS; i++)
            w[i] = y[i] == 1 ? 0.25 : y[i] == 2 ? 3 : 1;
        free(y);
        ml_model_free(tree);
        CHECK_OK(ml_dataset_set_weights(weighted, w, TOY_ROWS));
        if (forest) {
            CHECK_OK(ml_model_set_int(a, "n_estimators", 5));
            CHECK_OK(ml_model_set_int(b, "n_estimators", 5));
        }
        CHECK_OK(ml_model_set_text(a, "class_weight", "2:3,1:.25"));
        CHECK_OK(ml_model_fit(a, data, NULL));
        CHECK_OK(ml_model_fit(b, weighted, NULL));
        CHECK_OK(ml_model_set_text(a, "class_weight", "none"));
        toy_same_models(a, b);
        ml_model_free(a);
        ml_model_free(b);
        ml_dataset_free(data);
        ml_dataset_free(weighted);
    }
}

/* Every class counts the same in a leaf that holds all rows, also of a sample. */
TEST(growth, balanced_classes_count_the_same)
{
    static const char *const SETTINGS[][6] = {
        {"decision_tree", "balanced"}, {"random_forest", "balanced_subsample"}, {"extra_trees", "balanced_subsample"}};
    ml_dataset *data = toy_data(NULL, true);

    for (size_t k = 0; k < 3; k++) {
        ml_model *model =
            toy_fitted(NULL, SETTINGS[k][0], data, TOY_SETTINGS("class_weight", SETTINGS[k][1], "max_leaf_nodes", "1"));
        double *proba = malloc(3 * TOY_ROWS * sizeof *proba);

        CHECK_OK(ml_model_predict_proba(model, data, proba, 3 * TOY_ROWS));
        for (size_t c = 0; c < 3; c++)
            CHECK_CLOSE(proba[c], 1. / 3, 1e-12);
        free(proba);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

TEST(growth, class_weights_that_make_no_sense_are_refused)
{
    ml_dataset *labels = toy_data(NULL, true), *reals = toy_data(NULL, false);
    ml_model *model = toy_model(NULL, "random_forest");
    char text[64], longest[600] = "1:1";

    CHECK_FAILS(ml_model_set_text(model, "class_weight", "1:"), ML_E_PARAMETER, "class_weight");
    CHECK_FAILS(ml_model_set_text(model, "class_weight", "1:-2"), ML_E_PARAMETER, "name:weight");
    CHECK_FAILS(ml_model_set_text(model, "class_weight", "1:2;2"), ML_E_PARAMETER, "balanced_subsample");
    CHECK_FAILS(ml_model_set_text(model, "class_weight", "1:2,2"), ML_E_PARAMETER, "class_weight");
    CHECK_FAILS(ml_model_set_text(model, "class_weight", ""), ML_E_PARAMETER, "class_weight");
    CHECK_FAILS(ml_model_set_int(model, "class_weight", 1), ML_E_PARAMETER, "class_weight");
    for (size_t n = 3; n + 4 < sizeof longest; n += 4)
        memcpy(longest + n, ",2:1", 5);
    CHECK_FAILS(ml_model_set_text(model, "class_weight", longest), ML_E_PARAMETER, "characters");
    CHECK_OK(ml_model_set_text(model, "class_weight", "7:2"));
    CHECK_OK(ml_model_get_text(model, "class_weight", text, sizeof text, NULL));
    CHECK(!strcmp(text, "7:2"));
    CHECK_FAILS(ml_model_fit(model, labels, NULL), ML_E_PARAMETER, "'7'");
    CHECK_OK(ml_model_set_text(model, "class_weight", "0:0,1:0,2:0"));
    CHECK_FAILS(ml_model_fit(model, labels, NULL), ML_E_PARAMETER, "sum to 0");
    CHECK_OK(ml_model_set_text(model, "class_weight", "balanced"));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_PARAMETER, "is real");
    CHECK_OK(ml_model_set_text(model, "class_weight", "balanced"));
    CHECK_OK(ml_model_fit(model, labels, NULL));
    ml_model_free(model);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

/* A table of weights is a parameter like others: it survives a file. */
TEST(growth, class_weights_are_saved)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("class_weight", "0:0.5,2:7")), *loaded;
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);
    char text[64];

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_get_text(loaded, "class_weight", text, sizeof text, NULL));
    CHECK(!strcmp(text, "0:0.5,2:7"));
    free(bytes);
    ml_model_free(model);
    ml_model_free(loaded);
    ml_dataset_free(data);
}

TEST(growth, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("extra_trees", true, NULL);
    toy_check_threads("extra_trees", false, TOY_SETTINGS("n_estimators", "21", "bootstrap", "true"));
    toy_check_threads("random_forest", false, TOY_SETTINGS("n_estimators", "20", "max_leaf_nodes", "9"));
    toy_check_threads("random_forest", true, TOY_SETTINGS("n_estimators", "20", "ccp_alpha", "0.02"));
    toy_check_threads("random_forest", true, TOY_SETTINGS("class_weight", "balanced_subsample"));
}

TEST(growth, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "decision_tree", true,
                           TOY_SETTINGS("max_leaf_nodes", "50", "pruning_path", "true", "ccp_alpha", "0.01"),
                           false) >= 10);
    CHECK(toy_check_memory(1, "extra_trees", true,
                           TOY_SETTINGS("n_estimators", "3", "bootstrap", "true", "class_weight", "balanced_subsample"),
                           true) >= 10);
}
