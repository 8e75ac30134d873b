/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of growth: weights of classes and leaves, best-first growth, pruning, drawn thresholds. */
#include "base/context.h"
#include "data/dataset.h"
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

TEST(growth, order_alone_changes_nothing)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);

        toy_check_order(data);
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

/* Targets times a power of two: the same tree, whatever their squares are. */
TEST(growth, pruning_is_the_same_in_all_units)
{
    static const char *const CRITERIA[] = {"squared_error", "absolute_error", "poisson", "friedman_mse"};
    static const int EXPONENTS[] = {512, -515, 40, 0};
    double x[TOY_ROWS * TOY_FEATURES], t[TOY_ROWS], scaled[TOY_ROWS];
    ml_dataset *plain = toy_data(NULL, false);

    ml__dataset_read_targets(plain, 0, t);
    for (size_t i = 0; i < TOY_ROWS; i++)
        CHECK_OK(ml_dataset_row(plain, i, x + i * TOY_FEATURES, TOY_FEATURES));
    for (size_t k = 0; k < 16; k++) {
        const char *const *const settings = TOY_SETTINGS("criterion", CRITERIA[k / 4], "ccp_alpha", "0.001953125");
        const int exponent = EXPONENTS[k % 4];
        const bool squares = k / 4 == 0 || k / 4 == 3;
        ml_model *want = toy_fitted(NULL, "decision_tree", plain, settings),
                 *whole = toy_fitted(NULL, "decision_tree", plain, TOY_SETTINGS("criterion", CRITERIA[k / 4])),
                 *got = toy_model(NULL, "decision_tree");
        ml_dataset *data;

        for (size_t i = 0; i < TOY_ROWS; i++)
            scaled[i] = ldexp(t[i], exponent);
        data = toy_reals(NULL, x, TOY_ROWS, TOY_FEATURES, scaled);
        CHECK_OK(ml_model_set_text(got, "criterion", CRITERIA[k / 4]));
        CHECK_OK(ml_model_set_real(got, "ccp_alpha", ldexp(1, (squares ? 2 : 1) * exponent - 9)));
        CHECK_OK(ml_model_fit(got, data, NULL));
        CHECK(n_nodes(got) == n_nodes(want) && n_nodes(got) > 1 && n_nodes(got) < n_nodes(whole));
        for (size_t i = 0; i < n_nodes(want); i++) {
            const ml_tree_node p = toy_node(got, 0, i), q = toy_node(want, 0, i);

            CHECK(p.left == q.left && p.feature == q.feature && p.threshold == q.threshold);
            CHECK(p.left >= 0 || *p.value == ldexp(*q.value, exponent));
        }
        ml_model_free(want);
        ml_model_free(whole);
        ml_model_free(got);
        ml_dataset_free(data);
    }
    ml_dataset_free(plain);
}

TEST(growth, a_pruning_path_beyond_all_doubles_is_refused)
{
    static const double X[4] = {1, 2, 3, 4}, FAR[4] = {-3e200, 1, 2, 1e200}, NEAR[4] = {-3e150, 1, 2, 1e150};
    ml_dataset *far = toy_reals(NULL, X, 4, 1, FAR), *near = toy_reals(NULL, X, 4, 1, NEAR);
    ml_model *model = toy_fitted(NULL, "decision_tree", near, TOY_SETTINGS("pruning_path", "true"));
    const ml_tensor impurities = toy_tensor(model, "pruning_path.impurities");
    const double *impurity = impurities.data;
    const double mean = (NEAR[0] + NEAR[3]) / 4 / 1e150,
                 variance = ((-3 - mean) * (-3 - mean) + 2 * mean * mean + (1 - mean) * (1 - mean)) / 4;

    CHECK_CLOSE(impurity[impurities.shape[0] - 1] / 1e300, variance, 1e-12);
    CHECK_FAILS(ml_model_fit(model, far, NULL), ML_E_NUMERIC, "'pruning_path': with a target of 3e200 in size");
    CHECK_OK(ml_model_set_text(model, "pruning_path", "false"));
    CHECK_OK(ml_model_fit(model, far, NULL));
    ml_model_free(model);
    ml_dataset_free(far);
    ml_dataset_free(near);
}

/* A tree whose growth reached the limit is grown again with what was held back: its path begins anew. */
TEST(growth, a_pruning_path_survives_the_memory_limit)
{
    enum { N_LIMITS = 96 };
    size_t n_peak = 0, n_again = 0, n_steps = 0;
    double *alphas = NULL;

    for (size_t k = 0; k <= N_LIMITS; k++) { /* the first without limit */
        ml_context_options options = {.struct_size = sizeof options,
                                      .memory_limit = k ? n_peak / 2 + (n_peak / 2 + (2 << 20)) * k / N_LIMITS : 0};
        ml_context *context;
        ml_dataset *data;
        ml_model *model;
        ml_status st;

        CHECK_OK(ml_context_create(&options, &context));
        CHECK_OK(ml_dataset_make(context, "regression", "n_samples=3000,n_features=3,n_informative=2", &data));
        model = toy_model(context, "decision_tree");
        CHECK_OK(ml_model_set_text(model, "pruning_path", "true"));
        st = ml_model_fit(model, data, NULL);
        CHECK(st == ML_OK || (k && st == ML_E_MEMORY));
        if (st == ML_OK) {
            const ml_tensor path = toy_tensor(model, "pruning_path.ccp_alphas");

            if (!k) {
                n_peak = (size_t)context->n_bytes_peak;
                n_steps = (size_t)path.shape[0];
                alphas = malloc(n_steps * sizeof *alphas);
                memcpy(alphas, path.data, n_steps * sizeof *alphas);
            }
            CHECK(path.shape[0] == n_steps && !memcmp(path.data, alphas, n_steps * sizeof *alphas));
            n_again += atomic_load(&context->n_refused) > 0;
        }
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
    }
    free(alphas);
    CHECK_MSG(n_again >= 1, "%zu trees were grown again", n_again);
}

/* ---- weights of classes ---- */

/* As OUTPUT_CASES of tests/reference/make_growth.py. */
static const char *const SECOND_WEIGHTS =
    "target=class_0:1,target=class_1:5,target=2:2,second=0:3,second=1:1,second=2:0.5,second=3:1";

typedef struct {
    bool weighted;
    const char *class_weight, *settings[6];
} output_case;

/* The wine table with the reference's second output. */
static ml_dataset *two_outputs(bool weighted)
{
    ml_dataset *data = test_table(NULL, "wine");
    const size_t n = ml_dataset_n_rows(data);
    int64_t *second = malloc(n * sizeof *second);
    ml_model *tree = toy_fitted(NULL, "decision_tree", data, NULL);
    double *y = toy_predictions(tree, data); /* the labels: a tree knows them by heart */

    for (size_t i = 0; i < n; i++)
        second[i] = ((int64_t)(37 * i % 64) + 16 * (int64_t)y[i]) / 24;
    CHECK_OK(ml_dataset_add_labels(data, "second", second, n, -1));
    if (weighted)
        weigh(data);
    free(y);
    free(second);
    ml_model_free(tree);
    return data;
}

TEST(growth, classes_of_two_outputs_are_weighed_as_in_scikit_learn)
{
    const output_case cases[] = {
        {false, "none", {"min_samples_leaf", "12"}},
        {false, "balanced", {"min_samples_leaf", "12"}},
        {true, "balanced", {"min_samples_leaf", "9", "max_depth", "4"}},
        {true, SECOND_WEIGHTS, {"min_samples_leaf", "12"}},
        {true, SECOND_WEIGHTS, {"min_samples_leaf", "7", "criterion", "entropy"}},
    };
    size_t n_numbers;
    double *want = test_read_numbers(test_expected_path("growth_outputs.txt"), &n_numbers), *w = want;

    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        ml_dataset *data = two_outputs(cases[k].weighted);
        const size_t n = 7 * ml_dataset_n_rows(data);
        ml_model *model = toy_model(NULL, "decision_tree");
        double *got = malloc(n * sizeof *got);

        CHECK_OK(ml_model_set_text(model, "class_weight", cases[k].class_weight));
        for (const char *const *s = cases[k].settings; *s && s < cases[k].settings + 5; s += 2)
            CHECK_OK(ml_model_set_text(model, s[0], s[1]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_MSG(n_nodes(model) == (size_t)*w, "case %zu: %zu nodes, expected %g", k, n_nodes(model), *w);
        w++;
        CHECK_OK(ml_model_predict_proba(model, data, got, n));
        for (size_t at = 0; at < n; at++)
            CHECK_MSG(fabs(got[at] - w[at]) <= 1e-10, "case %zu, row %zu: %.15g, expected %.15g", k, at / 7, got[at],
                      w[at]);
        w += n;
        free(got);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(w == want + n_numbers);
    free(want);
}

/* In a leaf of all rows, and of six rows each class of both outputs. The seventh lacks the first output: the classes of the
 * second have weights 7/6 and 7/8 then, those of the first still 3/4 and 3/2, and 1 stands for what is missing. Samples are
 * balanced by what was drawn. */
TEST(growth, classes_of_two_outputs_count_the_same)
{
    static const double X[7] = {1, 2, 3, 4, 5, 6, 7};
    static const int64_t A[7] = {0, 0, 0, 0, 1, 1, -1}, B[7] = {0, 1, 0, 1, 0, 1, 1};
    ml_dataset *data;
    double p[4];

    for (size_t n = 6; n <= 7; n++) {
        ml_model *model;

        CHECK_OK(ml_dataset_from_matrix(NULL, X, ML_FLOAT64, n, 1, 0, 0, ML_COPY, &data));
        CHECK_OK(ml_dataset_set_labels(data, "a", A, n, -1));
        CHECK_OK(ml_dataset_add_labels(data, "b", B, n, -1));
        model =
            toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("class_weight", "balanced", "max_leaf_nodes", "1"));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, X, 1, p, 4, NULL, 0));
        CHECK_CLOSE(p[0], 0.5, 1e-12);
        CHECK_CLOSE(p[2], n == 6 ? 0.5 : 3 * 7. / 6 / (3 * 7. / 6 + 3 * 7. / 8 + 7. / 8), 1e-12);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    data = two_outputs(false);
    for (int k = 0; k < 2; k++) {
        ml_model *model = toy_fitted(NULL, k ? "random_forest" : "extra_trees", data,
                                     TOY_SETTINGS("class_weight", "balanced_subsample", "n_estimators", "3")),
                 *balanced = toy_fitted(NULL, k ? "random_forest" : "extra_trees", data,
                                        TOY_SETTINGS("class_weight", "balanced", "n_estimators", "3"));

        CHECK_OK(ml_model_set_text(balanced, "class_weight", "balanced_subsample"));
        if (k) /* samples differ from the data */
            CHECK(!toy_equal_trees(model, 0, balanced, 0));
        else /* there are none */
            toy_same_models(model, balanced);
        ml_model_free(model);
        ml_model_free(balanced);
    }
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

TEST(growth, class_weights_of_unknown_outputs_are_refused)
{
    static const char *const WRONG[] = {"class_1:2",  "target:2",  "target=:2",  "target=class_9:2",
                                        "target=3:2", "third=0:1", "second=4:1", "secondary=1:1"};
    ml_dataset *data = two_outputs(false);
    ml_model *model = toy_model(NULL, "decision_tree");

    for (size_t k = 0; k < sizeof WRONG / sizeof *WRONG; k++) {
        CHECK_OK(ml_model_set_text(model, "class_weight", WRONG[k]));
        CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER,
                    "which is not output=class of any of the 2 outputs");
    }
    ml_model_free(model);
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
                           TOY_SETTINGS("max_leaf_nodes", "50", "pruning_path", "true", "ccp_alpha", "0.01")) >= 10);
    CHECK(toy_check_memory(
              1, "extra_trees", true,
              TOY_SETTINGS("n_estimators", "3", "bootstrap", "true", "class_weight", "balanced_subsample")) >= 10);
}
