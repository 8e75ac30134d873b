/* SPDX-License-Identifier: Apache-2.0 */
#include "tree_toys.h"

/* ---- merge and select ---- */

/* Trees first, first + step, … */
static ml_model *selected(const ml_model *forest, size_t first, size_t step, size_t n)
{
    size_t trees[64];
    ml_model *out;

    CHECK(n <= 64);
    for (size_t i = 0; i < n; i++)
        trees[i] = first + i * step;
    CHECK_OK(ml_forest_select(forest, trees, n, &out));
    return out;
}

static ml_model *merged(const ml_model *a, const ml_model *b)
{
    const ml_model *const both[] = {a, b};
    ml_model *out;

    CHECK_OK(ml_forest_merge(both, 2, &out));
    return out;
}

TEST(forest_algebra, parts_merged_in_order_are_the_whole)
{
    static const char *const BINS[] = {"0", "255"};

    for (int c = 0; c < 4; c++) {
        ml_dataset *data = toy_data(NULL, c % 2);
        ml_model *whole = toy_fitted(NULL, "random_forest", data,
                                     TOY_SETTINGS("n_estimators", "24", "max_bins", BINS[c / 2])),
                 *a = selected(whole, 0, 1, 7), *b = selected(whole, 7, 1, 17), *again = merged(a, b);

        CHECK(ml_model_tree_count(a) == 7 && ml_model_tree_count(b) == 17);
        toy_same_models(whole, again);
        ml_model_free(whole);
        ml_model_free(a);
        ml_model_free(b);
        ml_model_free(again);
        ml_dataset_free(data);
    }
}

TEST(forest_algebra, selected_trees_are_those_of_the_forest)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *whole = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "40")),
             *small = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "5")),
             *first = selected(whole, 0, 1, 5), *odd = selected(whole, 1, 2, 20), *two = selected(whole, 3, 0, 2);
    double a[3 * TOY_ROWS], b[3 * TOY_ROWS];
    char text[8];

    for (size_t t = 0; t < 20; t++)
        CHECK(toy_equal_trees(odd, t, whole, 2 * t + 1));
    for (size_t t = 0; t < 5; t++)
        CHECK(toy_equal_trees(first, t, small, t));
    CHECK_OK(ml_model_predict_proba(first, data, a, 3 * TOY_ROWS));
    CHECK_OK(ml_model_predict_proba(small, data, b, 3 * TOY_ROWS));
    CHECK_SAME_BYTES(a, sizeof a, b, sizeof b);
    CHECK_OK(ml_model_get_text(first, "n_estimators", text, sizeof text, NULL));
    CHECK(!strcmp(text, "5") && ml_model_stop_reason(first) == ML_STOP_COMPLETE);
    CHECK(toy_equal_trees(two, 0, whole, 3) && toy_equal_trees(two, 1, whole, 3));
    ml_model_free(whole);
    ml_model_free(small);
    ml_model_free(first);
    ml_model_free(odd);
    ml_model_free(two);
    ml_dataset_free(data);
}

TEST(forest_algebra, a_merged_forest_predicts_the_mean)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *a = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "6")),
                 *b = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "18", "random_state", "1")),
                 *both = merged(a, b), *loaded;
        const int32_t what = labels ? ML_PREDICT_PROBA : ML_PREDICT;
        const size_t width = ml_model_width(both, what);
        const double *p = toy_tensor(a, "feature_importances").data, *q = toy_tensor(b, "feature_importances").data,
                     *mean = toy_tensor(both, "feature_importances").data;
        double x[TOY_FEATURES], one[3], other[3], out[3];
        size_t n_bytes;
        void *bytes = test_saved(both, &n_bytes);

        CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
        for (size_t i = 0; i < TOY_ROWS; i++) {
            CHECK_OK(ml_dataset_row(data, i, x, TOY_FEATURES));
            CHECK_OK(ml_model_predict_row(a, what, x, TOY_FEATURES, one, width, NULL, 0));
            CHECK_OK(ml_model_predict_row(b, what, x, TOY_FEATURES, other, width, NULL, 0));
            CHECK_OK(ml_model_predict_row(loaded, what, x, TOY_FEATURES, out, width, NULL, 0));
            for (size_t k = 0; k < width; k++)
                CHECK_CLOSE(out[k], (6 * one[k] + 18 * other[k]) / 24, 1e-14);
        }
        for (size_t j = 0; j < TOY_FEATURES; j++)
            CHECK_CLOSE(mean[j], (6 * p[j] + 18 * q[j]) / 24, 1e-15);
        CHECK_OK(ml_model_fit(both, data, NULL)); /* with its own parameters, as any other */
        CHECK(ml_model_tree_count(both) == 24);
        free(bytes);
        ml_model_free(a);
        ml_model_free(b);
        ml_model_free(both);
        ml_model_free(loaded);
        ml_dataset_free(data);
    }
}

TEST(forest_algebra, forests_without_a_split_say_nothing_of_importances)
{
    static const double X[2 * TOY_FEATURES] = {0}, T[2] = {1, 2};
    ml_dataset *data = toy_data(NULL, false), *flat = toy_matrix(NULL, X, 2, TOY_FEATURES);
    ml_model *a, *b, *both, *none;

    CHECK_OK(ml_dataset_set_targets(flat, "t", T, 2));
    a = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "3"));
    b = toy_fitted(NULL, "random_forest", flat, TOY_SETTINGS("n_estimators", "5"));
    both = merged(b, a);
    none = merged(b, b);
    for (size_t j = 0; j < TOY_FEATURES; j++) {
        CHECK(((const double *)toy_tensor(both, "feature_importances").data)[j] ==
              ((const double *)toy_tensor(a, "feature_importances").data)[j]);
        CHECK(((const double *)toy_tensor(none, "feature_importances").data)[j] == 0);
    }
    CHECK(ml_model_tree_count(both) == 8 && ml_model_tree_count(none) == 10);
    ml_model_free(a);
    ml_model_free(b);
    ml_model_free(both);
    ml_model_free(none);
    ml_dataset_free(data);
    ml_dataset_free(flat);
}

static ml_model *small_forest(ml_dataset *data)
{
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "2"));

    ml_dataset_free(data);
    return model;
}

TEST(forest_algebra, forests_that_do_not_fit_are_refused)
{
    static const double X[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ml_dataset *data = toy_data(NULL, true);
    ml_model *a = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "2")),
             *reals = small_forest(toy_data(NULL, false)),
             *narrow = small_forest(toy_labels(NULL, X, 4, 2, (const int64_t[]){0, 1, 2, 1})),
             *fewer = small_forest(toy_labels(NULL, X, 2, 3, (const int64_t[]){0, 1})),
             *others = small_forest(toy_labels(NULL, X, 2, 3, (const int64_t[]){0, 7})),
             *tree = toy_fitted(NULL, "decision_tree", data, NULL), *blank = toy_model(NULL, "random_forest"), *out;
    const ml_model *pair[2] = {a, NULL};
    const size_t trees[2] = {0, 2};

#define REFUSED(other, code, text)                               \
    do {                                                         \
        pair[1] = (other);                                       \
        out = a;                                                 \
        CHECK_FAILS(ml_forest_merge(pair, 2, &out), code, text); \
        CHECK(!out);                                             \
    } while (0)
    REFUSED(NULL, ML_E_ARGUMENT, "forest 1: the forest is NULL");
    REFUSED(tree, ML_E_UNSUPPORTED, "forest 1: decision_tree is not a forest");
    REFUSED(blank, ML_E_STATE, "forest 1: random_forest is not fitted");
    REFUSED(narrow, ML_E_SHAPE, "forest 1: the data has 2 features, expected 3");
    REFUSED(reals, ML_E_SHAPE, "forest 1: output 't' has 0 classes, expected 3");
    REFUSED(fewer, ML_E_SHAPE, "forest 1: output 'class' has 2 classes, expected 3");
    pair[0] = fewer;
    REFUSED(others, ML_E_SHAPE, "forest 1: output 'class': class 1 is '7', expected '1'");
#undef REFUSED
    CHECK_FAILS(ml_forest_merge(NULL, 2, &out), ML_E_ARGUMENT, "forests is NULL");
    CHECK_FAILS(ml_forest_merge(pair, 0, &out), ML_E_ARGUMENT, "forests is empty");
    CHECK_FAILS(ml_forest_merge(pair, 1, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_forest_select(NULL, trees, 2, &out), ML_E_ARGUMENT, "the forest is NULL");
    CHECK_FAILS(ml_forest_select(tree, trees, 2, &out), ML_E_UNSUPPORTED, "decision_tree is not a forest");
    CHECK_FAILS(ml_forest_select(blank, trees, 2, &out), ML_E_STATE, "random_forest is not fitted");
    CHECK_FAILS(ml_forest_select(a, NULL, 2, &out), ML_E_ARGUMENT, "trees is NULL");
    CHECK_FAILS(ml_forest_select(a, trees, 0, &out), ML_E_ARGUMENT, "trees is empty");
    CHECK_FAILS(ml_forest_select(a, trees, 2, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_forest_select(a, trees, 2, &out), ML_E_ARGUMENT, "tree 2 of 2");
    CHECK(!out);
    ml_model_free(a);
    ml_model_free(reals);
    ml_model_free(narrow);
    ml_model_free(fewer);
    ml_model_free(others);
    ml_model_free(tree);
    ml_model_free(blank);
    ml_dataset_free(data);
}

/* ---- prune ---- */

static size_t count_nodes(const ml_model *forest)
{
    size_t n = 0;

    for (size_t t = 0; t < ml_model_tree_count(forest); t++)
        n += ml_model_tree_size(forest, t);
    return n;
}

static ml_model *pruned(const ml_model *forest, size_t max_nodes, const ml_dataset *data)
{
    ml_model *out;

    CHECK_OK(ml_forest_prune(forest, max_nodes, data, NULL, &out));
    return out;
}

TEST(forest_prune, within_the_budget_the_forest_stays)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "12")), *out;
        ml_prune_report report = {.struct_size = sizeof report};

        CHECK_OK(ml_forest_prune(forest, count_nodes(forest), data, &report, &out));
        toy_same_models(forest, out);
        CHECK(report.nodes_before == count_nodes(forest) && report.nodes_after == report.nodes_before);
        CHECK(report.score_before == toy_score(forest, data) && report.score_after == report.score_before);
        ml_model_free(forest);
        ml_model_free(out);
        ml_dataset_free(data);
    }
}

TEST(forest_prune, the_budget_is_kept_and_the_report_is_true)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "12"));
        const size_t n = count_nodes(forest);

        for (size_t budget = 12; budget < n; budget += 97) {
            ml_prune_report report = {.struct_size = sizeof report};
            ml_model *out, *loaded;
            size_t n_bytes;
            void *bytes;

            CHECK_OK(ml_forest_prune(forest, budget, data, &report, &out));
            CHECK(count_nodes(out) <= budget && count_nodes(out) + 2 > budget);
            CHECK(report.nodes_before == n && report.nodes_after == count_nodes(out));
            CHECK(report.score_before == toy_score(forest, data) && report.score_after == toy_score(out, data));
            bytes = test_saved(out, &n_bytes);
            CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
            CHECK(toy_score(loaded, data) == report.score_after);
            free(bytes);
            ml_model_free(loaded);
            ml_model_free(out);
        }
        ml_model_free(forest);
        ml_dataset_free(data);
    }
}

/* Rows of the toy data with what they should be, a unit vector or a value. */
typedef struct {
    size_t K;
    double x[TOY_ROWS][TOY_FEATURES], y[TOY_ROWS][3];
} rows;

static rows read_rows(const ml_dataset *data, size_t K)
{
    rows r = {.K = K};
    double y[TOY_ROWS];

    CHECK_OK(ml_dataset_output(data, 0, y, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        CHECK_OK(ml_dataset_row(data, i, r.x[i], TOY_FEATURES));
        if (K == 1)
            r.y[i][0] = y[i];
        else
            r.y[i][(size_t)y[i]] = 1;
    }
    return r;
}

static double loss(const double *y, const double *v, size_t K)
{
    double sum = 0;

    for (size_t k = 0; k < K; k++)
        sum += (y[k] - v[k]) * (y[k] - v[k]);
    return sum;
}

/* What merging the two leaves below node i of a tree adds to the loss, row by row; INFINITY when they are no leaves. */
static double cost_of(const ml_model *forest, size_t t, size_t i, const rows *r)
{
    const ml_tree_node split = toy_node(forest, t, i);
    ml_tree_node side[2];
    double n[2] = {0}, mean[3], cost = 0;
    int at[TOY_ROWS];

    if (split.feature < 0)
        return INFINITY;
    for (int s = 0; s < 2; s++)
        if ((side[s] = toy_node(forest, t, (size_t)split.left + (size_t)s)).feature >= 0)
            return INFINITY;
    for (size_t row = 0; row < TOY_ROWS; row++) {
        int32_t path[64];
        size_t length;

        CHECK_OK(ml_model_tree_path(forest, t, r->x[row], TOY_FEATURES, path, 64, &length));
        at[row] = path[length - 1] == split.left ? 0 : path[length - 1] == split.right ? 1 : -1;
        if (at[row] >= 0)
            n[at[row]]++;
    }
    for (size_t k = 0; k < r->K; k++)
        mean[k] = n[0] + n[1] > 0 ? (n[0] * side[0].value[k] + n[1] * side[1].value[k]) / (n[0] + n[1])
                                  : (side[0].value[k] + side[1].value[k]) / 2;
    for (size_t row = 0; row < TOY_ROWS; row++)
        if (at[row] >= 0)
            cost += loss(r->y[row], mean, r->K) - loss(r->y[row], side[at[row]].value, r->K);
    return cost;
}

/* One split less each time: the one that a look at every row finds cheapest. */
TEST(forest_prune, the_weakest_split_goes_first)
{
    enum { N_TREES = 5 };

    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels);
        const rows r = read_rows(data, labels ? 3 : 1);
        ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "5")),
                 *now = pruned(forest, SIZE_MAX, data);

        for (size_t n = count_nodes(forest); n > N_TREES; n -= 2) {
            ml_model *next = pruned(forest, n - 2, data);
            size_t changed = N_TREES;
            double least = INFINITY, least_there = INFINITY;

            for (size_t t = 0; t < N_TREES; t++)
                if (ml_model_tree_size(now, t) != ml_model_tree_size(next, t)) {
                    CHECK(changed == N_TREES && ml_model_tree_size(next, t) + 2 == ml_model_tree_size(now, t));
                    changed = t;
                } else {
                    CHECK(toy_equal_trees(now, t, next, t));
                }
            CHECK(changed < N_TREES);
            for (size_t t = 0; t < N_TREES; t++)
                for (size_t i = 0; i < ml_model_tree_size(now, t); i++) {
                    const double cost = cost_of(now, t, i, &r);
                    least = cost < least ? cost : least;
                    least_there = t == changed && cost < least_there ? cost : least_there;
                }
            CHECK_MSG(least_there <= least + 1e-12, "%zu nodes: the tree's cheapest split costs %g, there is %g", n,
                      least_there, least);
            ml_model_free(now);
            now = next;
        }
        for (size_t t = 0; t < N_TREES; t++) {
            double mean[3] = {0};
            int32_t leaves[TOY_ROWS * N_TREES];

            CHECK_OK(ml_model_tree_leaves(forest, data, leaves, TOY_ROWS * N_TREES));
            for (size_t i = 0; i < TOY_ROWS; i++)
                for (size_t k = 0; k < r.K; k++)
                    mean[k] += toy_node(forest, t, (size_t)leaves[i * N_TREES + t]).value[k] / TOY_ROWS;
            CHECK(ml_model_tree_size(now, t) == 1);
            for (size_t k = 0; k < r.K; k++)
                CHECK_CLOSE(toy_node(now, t, 0).value[k], mean[k], 1e-14);
        }
        ml_model_free(now);
        ml_model_free(forest);
        ml_dataset_free(data);
    }
}

/* Targets near the largest number and near the smallest are pruned alike. */
TEST(forest_prune, size_of_targets_does_not_matter)
{
    static const double SCALES[] = {0x1p1010, 0x1p-1000, 0x1p500};
    ml_dataset *data = toy_data(NULL, false);
    double x[TOY_ROWS * TOY_FEATURES], t[TOY_ROWS], scaled[TOY_ROWS];
    ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "6", "max_depth", "3")),
             *want = pruned(forest, 40, data);

    CHECK_OK(ml_dataset_output(data, 0, t, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++)
        CHECK_OK(ml_dataset_row(data, i, x + i * TOY_FEATURES, TOY_FEATURES));
    for (int s = 0; s < 3; s++) {
        ml_dataset *other;
        ml_model *same, *out;

        for (size_t i = 0; i < TOY_ROWS; i++)
            scaled[i] = SCALES[s] * t[i];
        other = toy_reals(NULL, x, TOY_ROWS, TOY_FEATURES, scaled);
        same = toy_fitted(NULL, "random_forest", other, TOY_SETTINGS("n_estimators", "6", "max_depth", "3"));
        out = pruned(same, 40, other);
        for (size_t tree = 0; tree < 6; tree++) {
            CHECK(ml_model_tree_size(out, tree) == ml_model_tree_size(want, tree));
            for (size_t i = 0; i < ml_model_tree_size(out, tree); i++) {
                const ml_tree_node a = toy_node(out, tree, i), b = toy_node(want, tree, i);
                CHECK(a.feature == b.feature && a.threshold == b.threshold && a.left == b.left);
                if (a.value)
                    CHECK_CLOSE(*a.value / SCALES[s], *b.value, 1e-13);
            }
        }
        ml_model_free(same);
        ml_model_free(out);
        ml_dataset_free(other);
    }
    ml_model_free(forest);
    ml_model_free(want);
    ml_dataset_free(data);
}

/* Classes in another order, and one that the forest does not know; rows without label say nothing. */
TEST(forest_prune, labels_are_matched_by_name)
{
    ml_dataset *data = toy_data(NULL, true), *other;
    ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "6")), *a, *b;
    double x[(TOY_ROWS + 1) * TOY_FEATURES] = {0}, y[TOY_ROWS];
    int64_t labels[TOY_ROWS + 1];

    CHECK_OK(ml_dataset_output(data, 0, y, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        CHECK_OK(ml_dataset_row(data, TOY_ROWS - 1 - i, x + i * TOY_FEATURES, TOY_FEATURES));
        labels[i] = (int64_t)y[TOY_ROWS - 1 - i];
    }
    labels[TOY_ROWS] = -1; /* missing */
    other = toy_labels(NULL, x, TOY_ROWS + 1, TOY_FEATURES, labels);
    a = pruned(forest, 60, data);
    b = pruned(forest, 60, other);
    for (size_t t = 0; t < 6; t++)
        CHECK(toy_close_trees(a, t, b, t, 1e-14, NULL));
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(other);
    labels[0] = 9;
    other = toy_labels(NULL, x, TOY_ROWS, TOY_FEATURES, labels);
    a = pruned(forest, 60, other);
    CHECK(ml_model_n_classes(a, 0) == 3);
    ml_model_free(a);
    ml_model_free(forest);
    ml_dataset_free(other);
    ml_dataset_free(data);
}

TEST(forest_prune, weights_are_repeated_rows)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *data = toy_data(NULL, labels), *other = toy_data(NULL, labels), *copies;
        ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "6")), *a, *b;
        double w[TOY_ROWS];
        size_t chosen[3 * TOY_ROWS], n = 0;

        for (size_t i = 0; i < TOY_ROWS; i++) {
            w[i] = (double)(i * i % 4);
            for (size_t c = 0; c < i * i % 4; c++)
                chosen[n++] = i;
        }
        CHECK_OK(ml_dataset_subset(other, chosen, n, &copies));
        CHECK_OK(ml_dataset_set_weights(data, w, TOY_ROWS));
        a = pruned(forest, 100, data);
        b = pruned(forest, 100, copies);
        for (size_t t = 0; t < 6; t++)
            CHECK(toy_close_trees(a, t, b, t, 1e-14, NULL));
        ml_model_free(a);
        ml_model_free(b);
        ml_model_free(forest);
        ml_dataset_free(copies);
        ml_dataset_free(other);
        ml_dataset_free(data);
    }
}

TEST(forest_prune, wrong_requests_are_refused)
{
    ml_dataset *data = toy_data(NULL, false), *bare = toy_matrix(NULL, (const double[]){1, 2, 3}, 1, 3);
    ml_model *forest = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "4")),
             *tree = toy_fitted(NULL, "decision_tree", data, NULL), *blank = toy_model(NULL, "random_forest"), *out;
    ml_prune_report report = {.struct_size = 1};

    CHECK_FAILS(ml_forest_prune(NULL, 9, data, NULL, &out), ML_E_ARGUMENT, "the forest is NULL");
    CHECK_FAILS(ml_forest_prune(forest, 9, NULL, NULL, &out), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_forest_prune(forest, 9, data, NULL, NULL), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_forest_prune(tree, 9, data, NULL, &out), ML_E_UNSUPPORTED, "decision_tree is not a forest");
    CHECK_FAILS(ml_forest_prune(blank, 9, data, NULL, &out), ML_E_STATE, "random_forest is not fitted");
    CHECK_FAILS(ml_forest_prune(forest, 9, bare, NULL, &out), ML_E_DATA, "no output");
    CHECK_FAILS(ml_forest_prune(forest, 3, data, NULL, &out), ML_E_ARGUMENT, "max_nodes is 3, 4 trees have at least");
    CHECK_FAILS(ml_forest_prune(forest, 9, data, &report, &out), ML_E_ARGUMENT, "struct_size");
    CHECK(!out);
    ml_model_free(forest);
    ml_model_free(tree);
    ml_model_free(blank);
    ml_dataset_free(data);
    ml_dataset_free(bare);
}

/* ---- contract ---- */

static void *merge_and_prune(ml_context *context, const void *unused, size_t *n_bytes)
{
    ml_dataset *data = toy_data(context, true);
    ml_model *forest = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "20")),
             *both = merged(forest, forest), *cut = pruned(both, 200, data);
    void *bytes = test_saved(cut, n_bytes);

    (void)unused;
    ml_model_free(forest);
    ml_model_free(both);
    ml_model_free(cut);
    ml_dataset_free(data);
    return bytes;
}

TEST(forest_algebra, any_number_of_threads_gives_the_same_bytes)
{
    test_any_threads("merged and pruned", merge_and_prune, NULL);
}

typedef struct {
    const ml_model *forest;
    const ml_dataset *data;
} request;

static ml_status ask(ml_context *context, void *argument)
{
    const request *r = argument;
    const ml_model *const twice[] = {r->forest, r->forest};
    const size_t trees[] = {2, 0};
    ml_model *both = NULL, *some = NULL, *cut = NULL;
    ml_status st = ml_forest_merge(twice, 2, &both);

    (void)context;
    if (st == ML_OK)
        st = ml_forest_select(both, trees, 2, &some);
    if (st == ML_OK)
        st = ml_forest_prune(both, 30, r->data, NULL, &cut);
    ml_model_free(both);
    ml_model_free(some);
    ml_model_free(cut);
    return st;
}

TEST(forest_algebra, every_failing_allocation_is_reported)
{
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads += 2) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, n_threads);
        ml_dataset *data = toy_data(context, true);
        ml_model *forest = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "3"));
        request r = {forest, data};

        CHECK(test_failing_allocations(&allocator, context, "forest algebra", ask, &r) >= 20);
        ml_model_free(forest);
        ml_dataset_free(data);
        ml_context_free(context);
    }
}
