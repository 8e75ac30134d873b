/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of growth where values and labels are missing, features are categories, or outputs are several. */
#include <math.h>

#include "data/dataset.h"
#include "tree_toys.h"

/* ---- data ---- */

enum { N_ROWS = 300, N_FEATURES = 3, N_COLOURS = 40, MOST_SETTINGS = 16 };

typedef struct {
    int n_outputs;
    bool labels, gaps, colours, lacks; /* lacks: some rows are without the last output */
} recipe;

static double output_of(const double *x, size_t colour, int o)
{
    const double size = isnan(x[0]) ? 0.9 : x[0], length = isnan(x[1]) ? 0.2 : x[1];

    return (o ? -size : size) + length * length + (colour * 7 % 11 < 5 ? 0.6 : 0);
}

/* Columns size, length, colour; without `colours` the last is a number. No two rows are the same. */
static ml_dataset *make_data(ml_context *context, recipe what)
{
    const ml_csv_options options = {.struct_size = sizeof options};
    char *text = malloc(N_ROWS * 64);
    double t[2][N_ROWS];
    int64_t y[2][N_ROWS];
    size_t length = (size_t)sprintf(text, "size,length,colour\n");
    toy_random r = {11};
    ml_dataset *data;

    for (size_t i = 0; i < N_ROWS; i++) {
        const size_t colour = (size_t)(N_COLOURS * toy_uniform(&r));
        double x[2];

        for (int j = 0; j < 2; j++) {
            x[j] =
                what.gaps && !(j && isnan(x[0])) && toy_uniform(&r) < 0.2 ? NAN : floor(1000 * toy_uniform(&r)) / 1000;
            length += (size_t)(isnan(x[j]) ? sprintf(text + length, ",") : sprintf(text + length, "%.3f,", x[j]));
        }
        if (what.gaps && i % 10 == 9)
            length += (size_t)sprintf(text + length, "\n");
        else
            length += (size_t)sprintf(text + length, what.colours ? "c%zu\n" : "%zu\n", 10 + colour);
        for (int o = 0; o < 2; o++) {
            const bool lacks = what.lacks && o == what.n_outputs - 1 && toy_uniform(&r) < 0.3;

            t[o][i] = lacks ? NAN : output_of(x, colour, o) + 0.3 * toy_uniform(&r) + 1;
            y[o][i] = lacks ? -1 : t[o][i] > 1.8 ? 2 : t[o][i] > 1.3;
        }
    }
    CHECK_OK(ml_dataset_from_csv_memory(context, text, length, NULL, &options, &data));
    free(text);
    CHECK_OK(what.labels ? ml_dataset_set_labels(data, "a", y[0], N_ROWS, -1)
                         : ml_dataset_set_targets(data, "a", t[0], N_ROWS));
    if (what.n_outputs == 2)
        CHECK_OK(what.labels ? ml_dataset_add_labels(data, "b", y[1], N_ROWS, -1)
                             : ml_dataset_add_targets(data, "b", t[1], N_ROWS));
    return data;
}

static const recipe RECIPES[] = {
    {1, true, true, false, false},  {1, false, true, true, false}, {1, true, true, true, true},
    {2, false, false, true, false}, {2, true, true, true, false},  {2, false, true, true, true},
    {2, true, true, false, true},
};
enum { N_RECIPES = sizeof RECIPES / sizeof *RECIPES };

static size_t n_nodes(const ml_model *model)
{
    return (size_t)toy_tensor(model, "trees.nodes").shape[0];
}

static void print(char *out, double value)
{
    sprintf(out, "%.17g", value);
}

/* Words of the sets that nodes of the tree have. */
static size_t count_set_words(const ml_model *model, size_t tree)
{
    size_t n = 0;

    for (size_t i = 0; i < ml_model_tree_size(model, tree); i++)
        n += (toy_node(model, tree, i).n_categories + 31) / 32;
    return n;
}

/* ---- orders of growth ---- */

TEST(growth_rules, order_alone_changes_nothing)
{
    for (size_t k = 0; k < N_RECIPES; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k]);

        toy_check_order(data);
        ml_dataset_free(data);
    }
}

TEST(growth_rules, a_limited_tree_keeps_the_sets_of_its_splits_only)
{
    ml_dataset *data = make_data(NULL, (recipe){1, false, true, true, false});
    double before = -INFINITY;

    for (int64_t n_leaves = 2; n_leaves < 40; n_leaves += 3) {
        ml_model *model = toy_model(NULL, "decision_tree"), *loaded;
        size_t n_bytes;
        void *bytes;

        CHECK_OK(ml_model_set_int(model, "max_leaf_nodes", n_leaves));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK(n_nodes(model) == (size_t)(2 * n_leaves - 1));
        CHECK(n_leaves < 8 || count_set_words(model, 0) > 0);
        if (count_set_words(model, 0))
            CHECK(toy_tensor(model, "trees.sets").shape[0] == count_set_words(model, 0));
        CHECK(toy_score(model, data) > before);
        before = toy_score(model, data);
        bytes = test_saved(model, &n_bytes);
        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
        CHECK(toy_score(loaded, data) == before);
        free(bytes);
        ml_model_free(model);
        ml_model_free(loaded);
    }
    ml_dataset_free(data);
}

/* ---- pruning ---- */

/* Mean loss of the training rows, over the outputs, where an output that a row lacks counts nothing: the impurity of the
 * leaves times their shares. */
static double training_loss(const ml_model *model, const ml_dataset *data, const char *criterion, int n_outputs)
{
    double *predicted = malloc(N_ROWS * (size_t)n_outputs * sizeof *predicted), t[N_ROWS], sum = 0;

    CHECK_OK(ml_model_predict(model, data, predicted, N_ROWS * (size_t)n_outputs));
    for (int o = 0; o < n_outputs; o++) {
        CHECK_OK(ml_dataset_output(data, (size_t)o, t, N_ROWS));
        for (int i = 0; i < N_ROWS; i++) {
            const double p = predicted[i * n_outputs + o];

            if (isnan(t[i]))
                continue;
            sum += !strcmp(criterion, "poisson")          ? t[i] * log(t[i] / p) - t[i] + p
                   : !strcmp(criterion, "absolute_error") ? fabs(t[i] - p)
                                                          : (t[i] - p) * (t[i] - p);
        }
    }
    free(predicted);
    return sum / N_ROWS / n_outputs;
}

/* As growth.each_step_of_a_path_is_a_tree. */
TEST(growth_rules, each_step_of_a_path_is_a_tree)
{
    static const char *const OF_REALS[] = {"squared_error", "friedman_mse", "absolute_error", "poisson"};

    for (size_t k = 0; k < 4 * N_RECIPES; k++) {
        const recipe what = RECIPES[k / 4];
        const char *criterion = OF_REALS[k % 4];
        ml_dataset *data;
        ml_model *whole;
        ml_tensor alphas;
        const double *alpha, *impurity;
        size_t before;

        if (what.labels)
            continue;
        data = make_data(NULL, what);
        whole = toy_fitted(NULL, "decision_tree", data,
                           TOY_SETTINGS("pruning_path", "true", "min_samples_leaf", "3", "criterion", criterion));
        alphas = toy_tensor(whole, "pruning_path.ccp_alphas");
        alpha = alphas.data;
        impurity = toy_tensor(whole, "pruning_path.impurities").data;
        before = n_nodes(whole) + 1;
        CHECK(alphas.shape[0] > 20);
        for (size_t i = 3; i < alphas.shape[0]; i += 7) {
            char text[32];
            ml_model *model;

            print(text, alpha[i] * (1 + 1e-9));
            model = toy_fitted(NULL, "decision_tree", data,
                               TOY_SETTINGS("ccp_alpha", text, "min_samples_leaf", "3", "criterion", criterion));
            CHECK_MSG(fabs(training_loss(model, data, criterion, what.n_outputs) - impurity[i]) <= 1e-9,
                      "%s, step %zu: %.12g, expected %.12g", criterion, i,
                      training_loss(model, data, criterion, what.n_outputs), impurity[i]);
            CHECK(n_nodes(model) < before);
            before = n_nodes(model);
            ml_model_free(model);
        }
        ml_model_free(whole);
        ml_dataset_free(data);
    }
}

/* Sum over outputs of 1 - sum of squares of the shares, of all rows that have the output: the root's gini impurity. */
TEST(growth_rules, a_path_of_labels_ends_at_the_impurity_of_the_root)
{
    for (int lacks = 0; lacks < 2; lacks++) {
        ml_dataset *data = make_data(NULL, (recipe){2, true, true, true, lacks});
        ml_model *model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("pruning_path", "true"));
        const ml_tensor impurities = toy_tensor(model, "pruning_path.impurities");
        const double *impurity = impurities.data;
        double want = 0;

        for (size_t o = 0; o < 2; o++) {
            double y[N_ROWS], n_k[3] = {0}, n = 0;

            CHECK_OK(ml_dataset_output(data, o, y, N_ROWS));
            for (int i = 0; i < N_ROWS; i++)
                if (!isnan(y[i]) && y[i] >= 0) {
                    n_k[(int)y[i]]++;
                    n++;
                }
            want += (n - (n_k[0] * n_k[0] + n_k[1] * n_k[1] + n_k[2] * n_k[2]) / n) / N_ROWS / 2;
        }
        CHECK_CLOSE(impurity[impurities.shape[0] - 1], want, 1e-12);
        CHECK(impurity[0] < 0.1 * want);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- weights ---- */

/* Weights of classes are weights of rows, also where values and labels are missing. */
TEST(growth_rules, class_weights_are_row_weights)
{
    static const char *const KINDS[] = {"decision_tree", "random_forest", "extra_trees"};

    for (int k = 0; k < 6; k++) {
        const recipe what = {1, true, true, true, k % 2};
        ml_dataset *data = make_data(NULL, what), *weighted = make_data(NULL, what);
        ml_model *a = toy_fitted(NULL, KINDS[k / 2], data, TOY_SETTINGS("class_weight", "1:0.25,2:3")), *b;
        double y[N_ROWS];

        CHECK_OK(ml_dataset_output(weighted, 0, y, N_ROWS));
        for (int i = 0; i < N_ROWS; i++)
            y[i] = y[i] == 1 ? 0.25 : y[i] == 2 ? 3 : 1;
        CHECK_OK(ml_dataset_set_weights(weighted, y, N_ROWS));
        b = toy_fitted(NULL, KINDS[k / 2], weighted, NULL);
        CHECK_OK(ml_model_set_text(a, "class_weight", "none"));
        toy_same_models(a, b);
        ml_model_free(a);
        ml_model_free(b);
        ml_dataset_free(data);
        ml_dataset_free(weighted);
    }
}

TEST(growth_rules, leaves_weigh_enough_with_their_missing_values)
{
    static const char *const SPLITTERS[] = {"best", "random"};

    for (size_t k = 0; k < 2 * N_RECIPES; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k / 2]);
        double w[N_ROWS], of_leaf[2 * N_ROWS] = {0}, sum = 0;
        int32_t leaf[N_ROWS];
        ml_model *model;

        if (RECIPES[k / 2].lacks && RECIPES[k / 2].n_outputs == 1) { /* rows without their only label weigh nothing */
            ml_dataset_free(data);
            continue;
        }
        for (int i = 0; i < N_ROWS; i++)
            sum += w[i] = 1 + i % 4;
        CHECK_OK(ml_dataset_set_weights(data, w, N_ROWS));
        model = toy_fitted(NULL, "decision_tree", data,
                           TOY_SETTINGS("min_weight_fraction_leaf", "0.04", "splitter", SPLITTERS[k % 2]));
        CHECK_OK(ml_model_tree_leaves(model, data, leaf, N_ROWS));
        for (int i = 0; i < N_ROWS; i++)
            of_leaf[leaf[i]] += w[i];
        CHECK(n_nodes(model) >= 9);
        for (int i = 0; i < N_ROWS; i++)
            CHECK(of_leaf[leaf[i]] >= 0.04 * sum * (1 - 1e-9));
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- drawn thresholds ---- */

/* Leaves are pure, whatever is missing: the training data is predicted exactly. */
TEST(growth_rules, extra_trees_learn_their_data_by_heart)
{
    for (size_t k = 0; k < N_RECIPES; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k]);
        ml_model *model = toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "20"));
        const size_t n_outputs = (size_t)RECIPES[k].n_outputs;
        double *predicted = malloc(N_ROWS * n_outputs * sizeof *predicted), y[N_ROWS];

        CHECK_OK(ml_model_predict(model, data, predicted, N_ROWS * n_outputs));
        for (size_t o = 0; o < n_outputs; o++) {
            CHECK_OK(ml_dataset_output(data, o, y, N_ROWS));
            for (size_t i = 0; i < N_ROWS; i++)
                if (!isnan(y[i]) && y[i] >= 0)
                    CHECK_CLOSE(predicted[i * n_outputs + o], y[i], 1e-12);
        }
        free(predicted);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Rows at 0, at 1 and without a value, of three classes: the first split parts one of them from the others, and missing
 * values go with 0, with 1 or alone, whichever gains most; a feature that only lacks values still tells who does. */
TEST(growth_rules, drawn_cuts_try_missing_values_on_either_side)
{
    static const double X[] = {0, 0, 1, 1, NAN, NAN}, GAPS[] = {1, 1, 1, NAN, NAN, NAN};
    static const int64_t WITH_0[] = {0, 0, 1, 1, 0, 0}, WITH_1[] = {0, 0, 1, 1, 1, 1}, ALONE[] = {0, 0, 0, 0, 1, 1},
                         TOLD[] = {0, 0, 0, 1, 1, 1};
    static const int64_t *const LABELS[] = {WITH_0, WITH_1, ALONE, TOLD};

    for (int k = 0; k < 4; k++) {
        ml_dataset *data = toy_labels(NULL, k < 3 ? X : GAPS, 6, 1, LABELS[k]);
        ml_model *model = toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "10"));

        for (size_t t = 0; t < 10; t++) {
            const ml_tree_node root = toy_node(model, t, 0);

            CHECK(ml_model_tree_size(model, t) == 3);
            CHECK(root.missing_left == (k == 0));
            CHECK(k > 1 ? root.threshold >= 1 : root.threshold >= 0 && root.threshold < 1);
        }
        CHECK(toy_score(model, data) == 1);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Each of the three ways to part three categories comes as often as the draw says: any order, any cut. */
TEST(growth_rules, drawn_sets_are_drawn_evenly)
{
    enum { N_TREES = 3000 };
    static const char TEXT[] = "colour\na\nb\nc\n";
    static const int64_t Y[] = {0, 1, 2};
    const ml_csv_options options = {.struct_size = sizeof options};
    ml_dataset *data;
    ml_model *model;
    size_t n[8] = {0};

    CHECK_OK(ml_dataset_from_csv_memory(NULL, TEXT, sizeof TEXT - 1, NULL, &options, &data));
    CHECK_OK(ml_dataset_set_labels(data, "y", Y, 3, -1));
    model = toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "3000"));
    for (size_t t = 0; t < N_TREES; t++)
        n[toy_node(model, t, 0).categories[0] & 7]++;
    CHECK(!n[0] && !n[7]);
    for (int set = 1; set < 7; set++) /* four standard deviations */
        CHECK_MSG(fabs((double)n[set] - N_TREES / 6.) <= 4 * sqrt(N_TREES * 5 / 36.), "set %d: %zu times", set, n[set]);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(growth_rules, extra_trees_keep_to_constraints)
{
    ml_dataset *data = toy_data(NULL, false);
    ml_model *model =
        toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("monotonic_cst", "1,-1", "n_estimators", "30"));
    toy_random r = {2};

    for (int trial = 0; trial < 50; trial++) {
        double x[TOY_FEATURES] = {toy_uniform(&r), toy_uniform(&r), toy_uniform(&r)}, before = NAN, y;

        for (int step = 0; step <= 20; step++) {
            x[trial % 2] = step / 20.;
            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, x, TOY_FEATURES, &y, 1, NULL, 0));
            CHECK(!step || (trial % 2 ? y <= before + 1e-12 : y >= before - 1e-12));
            before = y;
        }
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- forests ---- */

/* Of a single tree the out-of-bag predictions are the tree's, of the rows that it has not seen. */
TEST(growth_rules, out_of_bag_rows_go_the_way_of_new_ones)
{
    ml_dataset *data = make_data(NULL, (recipe){1, true, true, true, false});
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "1", "oob_score", "true"));
    const double *oob = toy_tensor(model, "oob_decision_function").data;
    double proba[3 * N_ROWS];
    size_t n_out = 0;

    CHECK_OK(ml_model_predict_proba(model, data, proba, 3 * N_ROWS));
    for (size_t i = 0; i < N_ROWS; i++)
        if (!isnan(oob[3 * i])) {
            CHECK_SAME_BYTES(oob + 3 * i, 3 * sizeof *oob, proba + 3 * i, 3 * sizeof *proba);
            n_out++;
        }
    CHECK(n_out > N_ROWS / 4 && n_out < N_ROWS / 2);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(growth_rules, growing_on_gives_what_a_fresh_fit_gives)
{
    static const char *const KINDS[] = {"random_forest", "extra_trees"};

    for (size_t k = 0; k < 4 * N_RECIPES; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k / 4]);
        ml_model *model = toy_model(NULL, KINDS[k / 2 % 2]), *fresh;

        CHECK_OK(ml_model_set_text(model, "warm_start", "true"));
        CHECK_OK(ml_model_set_int(model, "max_leaf_nodes", k % 2 ? 9 : 0));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 12));
        CHECK_OK(ml_model_clone(model, &fresh));
        CHECK_OK(ml_model_fit(fresh, data, NULL));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 5));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml_model_set_int(model, "n_estimators", 12));
        CHECK_OK(ml_model_fit(model, data, NULL));
        toy_same_models(model, fresh);
        ml_model_free(model);
        ml_model_free(fresh);
        ml_dataset_free(data);
    }
}

/* Merged parts are the forest again; what was estimated for it, or kept to grow on, is not theirs. */
TEST(growth_rules, extra_trees_come_apart_and_together)
{
    static const char *const BINS[] = {"0", "255"};

    for (size_t k = 0; k < 2 * N_RECIPES; k++) {
        ml_dataset *data = k < N_RECIPES ? make_data(NULL, RECIPES[k]) : toy_data(NULL, k % 2);
        ml_model *whole = toy_fitted(NULL, "extra_trees", data,
                                     TOY_SETTINGS("n_estimators", "6", "max_bins", BINS[k / 2 % 2])),
                 *parts[2], *again, *pruned;
        ml_tensor tensor = {.struct_size = sizeof tensor};

        CHECK_OK(ml_forest_select(whole, (const size_t[]){0, 1}, 2, &parts[0]));
        CHECK_OK(ml_forest_select(whole, (const size_t[]){2, 3, 4, 5}, 4, &parts[1]));
        CHECK_OK(ml_forest_merge((const ml_model *const[]){parts[0], parts[1]}, 2, &again));
        toy_same_models(whole, again);
        ml_model_free(parts[0]);
        ml_model_free(parts[1]);
        ml_model_free(again);
        ml_model_free(whole);
        if (k >= N_RECIPES) {
            whole = toy_fitted(
                NULL, "extra_trees", data,
                TOY_SETTINGS("n_estimators", "6", "bootstrap", "true", "oob_score", "true", "warm_start", "true"));
            CHECK_OK(ml_forest_select(whole, (const size_t[]){3}, 1, &parts[0]));
            CHECK_OK(ml_forest_prune(whole, 40, data, NULL, &pruned));
            CHECK(toy_equal_trees(parts[0], 0, whole, 3));
            CHECK(ml_model_tensor(parts[0], "oob_score", &tensor) != ML_OK);
            CHECK(ml_model_tensor(pruned, "trees.importance", &tensor) != ML_OK);
            CHECK_FAILS(ml_model_fit(parts[0], data, NULL), ML_E_PARAMETER, "grown without warm_start");
            ml_model_free(pruned);
            ml_model_free(parts[0]);
            ml_model_free(whole);
        }
        ml_dataset_free(data);
    }
}

/* A row without its only label is no row of the fit, and has no estimate. */
TEST(growth_rules, out_of_bag_estimates_of_one_output_need_all_labels)
{
    ml_dataset *lacks = make_data(NULL, (recipe){1, true, true, true, true});
    ml_model *model = toy_model(NULL, "random_forest");

    CHECK_OK(ml_model_set_text(model, "class_weight", "balanced"));
    CHECK_OK(ml_model_fit(model, lacks, NULL));
    CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
    CHECK_FAILS(ml_model_fit(model, lacks, NULL), ML_E_UNSUPPORTED, "'oob_score' needs a label in every row");
    ml_model_free(model);
    ml_dataset_free(lacks);
}

/* Walked through the finished tree, the rows of a sample come to leaves that all have some, whatever the features are. */
TEST(growth_rules, every_leaf_keeps_rows)
{
    static const char *const KINDS[] = {"random_forest", "extra_trees", "decision_tree"};

    for (size_t k = 0; k < 3 * N_RECIPES; k++) {
        recipe what = RECIPES[k / 3];
        ml_dataset *data;
        ml_model *model;
        size_t n_rows = N_ROWS;
        double t[N_ROWS], q = 0.5, out[2 * N_ROWS];

        what.labels = false;
        data = make_data(NULL, what);
        ml__dataset_read_targets(data, 0, t);
        for (size_t i = 0; i < N_ROWS && what.n_outputs == 1; i++)
            n_rows -= isnan(t[i]);
        model =
            toy_fitted(NULL, KINDS[k % 3], data, TOY_SETTINGS("keep_leaf_targets", "true", "min_samples_leaf", "2"));
        CHECK(toy_tensor(model, "trees.leaf_rows").shape[0] == ml_model_tree_count(model) * n_rows);
        CHECK_OK(ml_forest_quantiles(model, data, &q, 1, out, (size_t)what.n_outputs * N_ROWS));
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- threads and memory ---- */

typedef struct {
    recipe recipe;
    const char *const *settings;
} fit_case;

static void *fit_recipe(ml_context *context, const void *argument, size_t *n_bytes)
{
    const fit_case *c = argument;

    return test_fitted_bytes(test_model(context, "extra_trees", c->settings), make_data(context, c->recipe), n_bytes);
}

TEST(growth_rules, any_number_of_threads_gives_the_same_bytes)
{
    static const char *const SETTINGS[][MOST_SETTINGS] = {
        {"n_estimators", "20", NULL},
        {"n_estimators", "20", "max_leaf_nodes", "12", "ccp_alpha", "0.002", "warm_start", "true", NULL},
    };

    for (size_t k = 0; k < 2 * N_RECIPES; k++)
        test_any_threads("extra_trees", fit_recipe, &(fit_case){RECIPES[k / 2], SETTINGS[k % 2]});
}

TEST(growth_rules, every_failing_allocation_is_reported)
{
    for (int k = 0; k < 2; k++) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, 1);
        ml_dataset *data = make_data(context, RECIPES[5]);
        test_fit fit = {k ? "extra_trees" : "decision_tree",
                        k ? TOY_SETTINGS("n_estimators", "2", "warm_start", "true")
                          : TOY_SETTINGS("max_leaf_nodes", "30", "ccp_alpha", "0.001", "pruning_path", "true"),
                        data};

        CHECK(test_failing_allocations(&allocator, context, fit.kind, test_fit_new, &fit) >= 20);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
}
