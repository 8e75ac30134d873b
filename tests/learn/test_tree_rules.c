/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a split is: criteria, missing values, several outputs, monotone constraints. The references are a search through all
 * splits of small random tables, by the definitions and in no clever way, and trees of scikit-learn.
 */
#include "tree_tables.h"

#include <string.h>

/* ---- all splits of a small table ---- */

typedef struct {
    double gain;
    size_t feature;
    double low, high; /* the threshold is in [low, high) */
    bool missing_left;
} split;

static size_t send(const table *t, size_t j, double threshold, bool missing_left, bool *left)
{
    size_t n_left = 0;

    for (size_t i = 0; i < t->n; i++) {
        const double x = t->x[i * t->d + j];
        left[i] = isnan(x) ? missing_left : x <= threshold;
        n_left += left[i];
    }
    return n_left;
}

/* The next larger value of the feature, or infinity. */
static double next_value(const table *t, size_t j, double value)
{
    double next = INFINITY;

    for (size_t i = 0; i < t->n; i++)
        if (t->x[i * t->d + j] > value)
            next = fmin(next, t->x[i * t->d + j]);
    return next;
}

/* In the order that decides ties: feature, missing values right, threshold. */
static split best_split(const table *t, size_t min_samples_leaf)
{
    split best = {.gain = -1};

    for (size_t j = 0; j < t->d; j++)
        for (int missing_left = 0; missing_left < 2; missing_left++)
            for (double low = next_value(t, j, -INFINITY); low < INFINITY; low = next_value(t, j, low)) {
                const double high = next_value(t, j, low);
                bool left[MAX_ROWS], any_missing = false;
                const size_t n_left = send(t, j, low, missing_left, left);
                double gain;

                for (size_t i = 0; i < t->n; i++)
                    any_missing |= isnan(t->x[i * t->d + j]);
                if ((missing_left && !any_missing) || n_left < min_samples_leaf || t->n - n_left < min_samples_leaf)
                    continue;
                gain = gain_of(t, left);
                if (gain > -0.5 && gain > best.gain + 1e-9)
                    best = (split){fmax(gain, 0), j, low, high, any_missing ? missing_left : n_left > t->n - n_left};
            }
    return best;
}

static table random_table(toy_random *r, int criterion, bool gaps, bool missing_labels)
{
    table t = {.criterion = criterion, .labels = criterion < 4};

    t.n = 5 + (size_t)(toy_uniform(r) * (MAX_ROWS - 4));
    t.d = 1 + (size_t)(toy_uniform(r) * MAX_FEATURES);
    t.n_outputs = missing_labels ? 2 : 1 + (size_t)(toy_uniform(r) * MAX_OUTPUTS);
    for (size_t i = 0; i < t.n; i++) {
        for (size_t j = 0; j < t.d; j++)
            t.x[i * t.d + j] = gaps && toy_uniform(r) < 0.3 ? NAN : floor(6 * toy_uniform(r));
        for (size_t o = 0; o < t.n_outputs; o++)
            t.y[o][i] = i && missing_labels && toy_uniform(r) < 0.3 ? NAN : floor(3 * toy_uniform(r)) + (i < 1);
        t.w[i] = ldexp(1, (int)(3 * toy_uniform(r)) - 1);
        if (t.n_outputs == 2 && isnan(t.y[0][i]) && isnan(t.y[1][i]))
            t.y[0][i] = 1; /* rows without any label do not count, which is not the question here */
    }
    return t;
}

/* Classes get numbers; the table follows. */
static ml_dataset *dataset_of(table *t)
{
    ml_dataset *data = toy_matrix(NULL, t->x, t->n, t->d);

    for (size_t o = 0; o < t->n_outputs; o++) {
        int64_t label[MAX_ROWS];

        for (size_t i = 0; i < t->n; i++)
            label[i] = isnan(t->y[o][i]) ? -1 : (int64_t)t->y[o][i];
        if (t->labels)
            CHECK_OK(o ? ml_dataset_add_labels(data, "b", label, t->n, -1)
                       : ml_dataset_set_labels(data, "a", label, t->n, -1));
        else
            CHECK_OK(o ? ml_dataset_add_targets(data, "b", t->y[o], t->n)
                       : ml_dataset_set_targets(data, "a", t->y[o], t->n));
        CHECK_OK(ml_dataset_output(data, o, t->y[o], t->n));
    }
    CHECK_OK(ml_dataset_set_weights(data, t->w, t->n));
    return data;
}

static bool varies(const table *t)
{
    for (size_t o = 0; o < t->n_outputs; o++)
        for (size_t i = 0; i < t->n; i++)
            if (!isnan(t->y[o][i]) && t->y[o][i] != t->y[o][0])
                return true;
    return false;
}

/* What a leaf predicts for output o: shares into `value`, or mean or median. Returns how many values. */
static size_t leaf_values(const table *t, size_t o, const bool *in, size_t K, double *value)
{
    double S, W;

    sums(t, o, in, &S, &W);
    for (size_t k = 0; k < K && t->labels; k++) {
        value[k] = 0;
        for (size_t i = 0; i < t->n; i++)
            value[k] += in[i] && t->y[o][i] == (double)k ? t->w[i] / W : 0;
    }
    if (t->labels)
        return K;
    *value = S / W;
    if (t->criterion == 6) { /* the values that have at most half of the weight on either side; their middle */
        double low = INFINITY, high = -INFINITY;
        for (size_t k = 0; k < t->n; k++) {
            double below = 0, above = 0;
            for (size_t i = 0; i < t->n && in[k]; i++) {
                below += in[i] && t->y[o][i] < t->y[o][k] ? t->w[i] : 0;
                above += in[i] && t->y[o][i] > t->y[o][k] ? t->w[i] : 0;
            }
            if (in[k] && 2 * below <= W && 2 * above <= W) {
                low = fmin(low, t->y[o][k]);
                high = fmax(high, t->y[o][k]);
            }
        }
        *value = (low + high) / 2;
    }
    return 1;
}

/* Both leaves have the values of their rows, or of all rows where they have none. */
static void check_values(const table *t, const ml_model *model, const ml_dataset *data, const bool *left)
{
    const size_t K = ml_model_width(model, t->labels ? ML_PREDICT_PROBA : ML_PREDICT);
    double *got = values_of(model, data, t->labels);
    size_t first = 0;

    for (size_t o = 0; o < t->n_outputs; o++) {
        bool in[3][MAX_ROWS];
        double want[8] = {0};
        size_t width = 0;

        sides(t, o, left, in);
        for (size_t i = 0; i < t->n; i++) {
            bool any = false;
            for (size_t k = 0; k < t->n; k++)
                any |= in[left[i] ? 1 : 2][k];
            width = leaf_values(t, o, in[!any ? 0 : left[i] ? 1 : 2], ml_model_n_classes(model, o), want);
            for (size_t k = 0; k < width; k++)
                CHECK_CLOSE(got[i * K + first + k], want[k], 1e-12);
        }
        first += width;
    }
    CHECK(first == K);
    free(got);
}

static void check_stump(table *t, size_t min_samples_leaf)
{
    ml_dataset *data = dataset_of(t);
    ml_model *model = toy_model(NULL, "decision_tree");
    const split want = best_split(t, min_samples_leaf);
    const bool ties_are_real = t->criterion == 1 || t->criterion == 4;
    bool left[MAX_ROWS];
    ml__tree_node root;
    ml__trees trees;

    CHECK_OK(ml_model_set_text(model, "criterion", CRITERIA[t->criterion]));
    CHECK_OK(ml_model_set_int(model, "max_depth", 1));
    CHECK_OK(ml_model_set_int(model, "min_samples_leaf", (int64_t)min_samples_leaf));
    CHECK_OK(ml_model_fit(model, data, NULL));
    trees = trees_of(model);
    root = ml__tree_node_at(&trees, 0, 0);
    CHECK((root.feature >= 0) == (varies(t) && want.gain >= 0));
    if (root.feature >= 0) {
        const size_t n_left = send(t, (size_t)root.feature, root.threshold, root.missing_left, left);

        CHECK(n_left >= min_samples_leaf && t->n - n_left >= min_samples_leaf);
        CHECK_CLOSE(gain_of(t, left), want.gain, 1e-8);
        if (ties_are_real && t->n_outputs == 1) {
            CHECK((size_t)root.feature == want.feature && root.missing_left == want.missing_left);
            CHECK(root.threshold >= want.low && root.threshold < want.high);
            CHECK(isfinite(want.high) || root.threshold == FLT_MAX);
        }
        check_values(t, model, data, left);
    }
    ml_model_free(model);
    ml_dataset_free(data);
}

static void check_stumps(bool gaps, bool missing_labels)
{
    toy_random r = {8};

    for (int criterion = 1; criterion < 8; criterion++)
        for (int trial = 0; trial < 300 && criterion != 3; trial++) {
            table t = random_table(&r, criterion, gaps, missing_labels);

            check_stump(&t, 1 + trial % 2);
        }
}

TEST(tree_rules, no_split_is_better)
{
    check_stumps(false, false);
}

TEST(tree_rules, no_split_of_rows_with_missing_values_is_better)
{
    check_stumps(true, false);
}

TEST(tree_rules, outputs_that_rows_lack_do_not_count)
{
    check_stumps(true, true);
}

/* ---- against scikit-learn ---- */

/* Walk both trees together; `want` has scikit-learn's nodes, 4 + K numbers each. */
static void check_nodes(const ml__trees *got, const double *want)
{
    struct {
        size_t got, want;
    } stack[64] = {{0, 0}};
    size_t n_open = 1;

    while (n_open) {
        const ml__tree_node node = ml__tree_node_at(got, 0, stack[--n_open].got);
        const double *wanted = want + stack[n_open].want * (4 + got->K);

        if (wanted[0] < 0) {
            CHECK(node.feature < 0);
            for (size_t k = 0; k < got->K; k++)
                CHECK_CLOSE(got->value[node.next * got->K + k], wanted[4 + k], 1e-12 * fmax(1, wanted[4 + k]));
            continue;
        }
        CHECK(node.feature == (int32_t)wanted[0]);
        CHECK(node.threshold <= wanted[1] && nextafterf(node.threshold, INFINITY) > wanted[1]);
        CHECK(n_open + 2 < 64);
        stack[n_open].got = node.next;
        stack[n_open++].want = (size_t)wanted[2];
        stack[n_open].got = node.next + 1;
        stack[n_open++].want = (size_t)wanted[3];
    }
}

/* Both label outputs or both real ones of the table in the file. */
static ml_dataset *two_outputs(const double *x, size_t n, size_t d, bool labels)
{
    ml_dataset *data = toy_matrix(NULL, x, n, d);
    const double *y = x + n * d;
    int64_t *label = malloc(n * sizeof *label);

    for (size_t o = 0; o < 2; o++) {
        const double *t = y + (labels ? o : 2 + o) * n;

        for (size_t i = 0; i < n; i++)
            label[i] = (int64_t)t[i];
        if (labels)
            CHECK_OK(o ? ml_dataset_add_labels(data, "b", label, n, -1)
                       : ml_dataset_set_labels(data, "a", label, n, -1));
        else
            CHECK_OK(o ? ml_dataset_add_targets(data, "b", t, n) : ml_dataset_set_targets(data, "a", t, n));
    }
    free(label);
    return data;
}

static void set_case_weights(ml_dataset *data)
{
    const size_t n = ml_dataset_n_rows(data);
    double *w = malloc(n * sizeof *w);

    for (size_t i = 0; i < n; i++)
        w[i] = (double)(i * 29 % 64 + 1) / 32;
    CHECK_OK(ml_dataset_set_weights(data, w, n));
    free(w);
}

TEST(tree_rules, nodes_are_those_of_scikit_learn)
{
    size_t n_numbers, n_cases = 0;
    double *numbers = test_read_numbers(test_expected_path("trees_rules.txt"), &n_numbers);
    const size_t n = (size_t)numbers[0], d = (size_t)numbers[1];
    const double *x = numbers + 2, *next = x + n * (d + 4);

    for (; next < numbers + n_numbers; n_cases++) {
        const size_t n_nodes = (size_t)next[5], K = (size_t)next[6];
        ml_dataset *data =
            next[0] == 0 ? two_outputs(x, n, d, next[1] < 4) : test_table(NULL, next[0] == 1 ? "diabetes" : "boston");
        ml_model *model = toy_model(NULL, "decision_tree");
        const double *importances;
        ml__trees got;

        CHECK_OK(ml_model_set_text(model, "criterion", CRITERIA[(int)next[1]]));
        CHECK_OK(ml_model_set_int(model, "max_depth", (int64_t)next[2]));
        CHECK_OK(ml_model_set_int(model, "min_samples_leaf", (int64_t)next[3]));
        if (next[4] != 0)
            set_case_weights(data);
        CHECK_OK(ml_model_fit(model, data, NULL));
        got = trees_of(model);
        CHECK_MSG((size_t)got.offset[1] == n_nodes && got.K == K, "case %zu: %zu nodes, expected %zu", n_cases,
                  (size_t)got.offset[1], n_nodes);
        importances = toy_tensor(model, "feature_importances").data;
        for (size_t j = 0; j < got.d; j++) /* of several outputs by friedman_mse it tells the squared error's */
            CHECK(fabs(importances[j] - next[7 + j]) <= (next[1] == 5 && K > 1 ? 0.1 : 1e-9));
        check_nodes(&got, next + 7 + got.d);
        next += 7 + got.d + n_nodes * (4 + K);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(next == numbers + n_numbers && n_cases >= 30);
    free(numbers);
}

/* ---- missing values ---- */

enum { N_ROWS = 400, N_COLUMNS = 3 };

/* Feature 0 is missing more often where the output is high, and tells nothing else; feature 1 tells a little. */
static ml_dataset *telling_gaps(uint64_t seed, bool labels)
{
    double x[N_ROWS * N_COLUMNS], t[N_ROWS];
    int64_t y[N_ROWS];
    toy_random r = {seed};

    for (size_t i = 0; i < N_ROWS; i++) {
        y[i] = toy_uniform(&r) < 0.4;
        t[i] = (double)y[i] + 0.1 * toy_uniform(&r);
        for (size_t j = 0; j < N_COLUMNS; j++)
            x[i * N_COLUMNS + j] = toy_uniform(&r) + (j == 1 && y[i] ? 0.2 : 0);
        if (toy_uniform(&r) < (y[i] ? 0.8 : 0.1))
            x[i * N_COLUMNS] = NAN;
        if (toy_uniform(&r) < 0.2)
            x[i * N_COLUMNS + 1] = NAN;
    }
    return labels ? toy_labels(NULL, x, N_ROWS, N_COLUMNS, y) : toy_reals(NULL, x, N_ROWS, N_COLUMNS, t);
}

/* What the same kind reaches when means take the place of what is missing. */
static double imputed_score(const char *kind, const ml_dataset *train, const ml_dataset *test)
{
    ml_model *pipe = toy_model(NULL, "pipeline");
    double score;

    CHECK_OK(ml_model_add_member(pipe, "impute", toy_model(NULL, "simple_imputer")));
    CHECK_OK(ml_model_add_member(pipe, "tree", toy_model(NULL, kind)));
    CHECK_OK(ml_model_set_int(pipe, "tree__max_depth", 2));
    CHECK_OK(ml_model_fit(pipe, train, NULL));
    score = toy_score(pipe, test);
    ml_model_free(pipe);
    return score;
}

TEST(tree_rules, where_missing_values_tell_something_they_are_used)
{
    static const char *const KINDS[] = {"decision_tree", "random_forest"};

    for (int labels = 0; labels < 2; labels++)
        for (int k = 0; k < 2; k++) {
            ml_dataset *train = telling_gaps(1, labels), *test = telling_gaps(2, labels);
            ml_model *model = toy_fitted(NULL, KINDS[k], train, TOY_SETTINGS("max_depth", "2"));
            const double score = toy_score(model, test), imputed = imputed_score(KINDS[k], train, test);

            CHECK_MSG(score > imputed + 0.02, "%s: %g, with means %g", KINDS[k], score, imputed);
            ml_model_free(model);
            ml_dataset_free(train);
            ml_dataset_free(test);
        }
}

TEST(tree_rules, boosted_trees_use_missing_values_too)
{
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *train = telling_gaps(1, labels), *test = telling_gaps(2, labels);
        ml_model *model = toy_fitted(NULL, "adaboost", train, TOY_SETTINGS("n_estimators", "10"));
        const double score = toy_score(model, test);

        CHECK_MSG(score > (labels ? 0.8 : 0.3), "%g", score); /* without the gaps hardly more than 0.6 and 0 */
        ml_model_free(model);
        ml_dataset_free(train);
        ml_dataset_free(test);
    }
}

/* One row at a time, and after a load, a missing value goes where it went in the whole table. */
TEST(tree_rules, missing_values_go_the_same_way_everywhere)
{
    ml_dataset *data = telling_gaps(3, true);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "9")), *loaded;
    double *all = values_of(model, data, true), *again, row[N_COLUMNS], one[2];
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    again = values_of(loaded, data, true);
    CHECK_SAME_BYTES(all, 2 * N_ROWS * sizeof *all, again, 2 * N_ROWS * sizeof *all);
    for (size_t i = 0; i < N_ROWS; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, N_COLUMNS));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, row, N_COLUMNS, one, 2, NULL, 0));
        CHECK_SAME_BYTES(one, sizeof one, all + 2 * i, sizeof one);
    }
    free(all);
    free(again);
    free(bytes);
    ml_model_free(model);
    ml_model_free(loaded);
    ml_dataset_free(data);
}

/* A value that no row lacked in training goes with more of them. */
TEST(tree_rules, what_was_never_missing_goes_with_the_larger_part)
{
    static const char *const KINDS[] = {"decision_tree", "random_forest"};
    const double x[7] = {1, 2, 3, 4, 5, 6, 7}, gap = NAN;

    for (int64_t first = 2; first < 6; first++)
        for (int k = 0; k < 2; k++) {
            int64_t y[7];
            double got;
            ml_dataset *data;
            ml_model *model;

            for (int64_t i = 0; i < 7; i++)
                y[i] = i >= first;
            data = toy_labels(NULL, x, 7, 1, y);
            model =
                toy_fitted(NULL, KINDS[k], data, k ? TOY_SETTINGS("n_estimators", "1", "bootstrap", "false") : NULL);
            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, &gap, 1, &got, 1, NULL, 0));
            CHECK(got == (first <= 3));
            ml_model_free(model);
            ml_dataset_free(data);
        }
}

TEST(tree_rules, a_feature_that_is_always_missing_is_not_used)
{
    const double x[8] = {NAN, 1, NAN, 2, NAN, 3, NAN, 4};
    ml_dataset *data = toy_labels(NULL, x, 4, 2, (const int64_t[]){0, 0, 1, 1});
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const ml__trees trees = trees_of(model);

    CHECK(ml__tree_node_at(&trees, 0, 0).feature == 1 && trees.offset[1] == 3);
    CHECK_CLOSE(toy_score(model, data), 1, 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- several outputs, missing labels ---- */

/* The toy table with its output once more, or with a second one that half of the rows lack. */
static ml_dataset *doubled(bool labels, bool holes)
{
    ml_dataset *data = toy_data(NULL, labels);
    double y[TOY_ROWS];
    int64_t label[TOY_ROWS];

    CHECK_OK(ml_dataset_output(data, 0, y, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        label[i] = holes && i % 2 ? -1 : (int64_t)y[i];
        y[i] = holes && i % 2 ? NAN : y[i];
    }
    CHECK_OK(labels ? ml_dataset_add_labels(data, "copy", label, TOY_ROWS, -1)
                    : ml_dataset_add_targets(data, "copy", y, TOY_ROWS));
    return data;
}

TEST(tree_rules, copies_of_an_output_change_nothing)
{
    for (int criterion = 1; criterion < 8; criterion++) {
        const bool labels = criterion < 4;
        const size_t K = labels ? 3 : 1;
        ml_dataset *one = toy_data(NULL, labels), *two = doubled(labels, false);
        ml_model *a = toy_fitted(NULL, "decision_tree", one, TOY_SETTINGS("criterion", CRITERIA[criterion])),
                 *b = toy_fitted(NULL, "decision_tree", two, TOY_SETTINGS("criterion", CRITERIA[criterion]));
        double *values_a = values_of(a, one, labels), *values_b = values_of(b, two, labels);

        for (size_t i = 0; i < TOY_ROWS; i++)
            for (size_t k = 0; k < 2 * K; k++)
                CHECK_CLOSE(values_b[i * 2 * K + k], values_a[i * K + k % K], 0);
        free(values_a);
        free(values_b);
        ml_model_free(a);
        ml_model_free(b);
        ml_dataset_free(one);
        ml_dataset_free(two);
    }
}

/* Each row has both outputs of its neighbours to learn from; what the rows lack, they get. */
TEST(tree_rules, forests_learn_outputs_that_rows_lack)
{
    for (int labels = 0; labels < 2; labels++) {
        const size_t K = labels ? 6 : 2;
        ml_dataset *data = doubled(labels, true), *first = toy_data(NULL, labels);
        ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "30"));
        double *values = values_of(model, data, labels), y[TOY_ROWS], error = 0, spread = 0, mean = 0;

        CHECK(ml_model_n_outputs(model) == 2 && trees_of(model).K == K);
        CHECK_OK(ml_dataset_output(first, 0, y, TOY_ROWS));
        for (size_t i = 0; i < TOY_ROWS; i++)
            mean += y[i] / TOY_ROWS;
        for (size_t i = 1; i < TOY_ROWS; i += 2) {
            const double *v = values + i * K;
            const double guess = labels ? v[4] + 2 * v[5] : v[1];

            CHECK(!labels || fabs(v[3] + v[4] + v[5] - 1) < 1e-12);
            error += (guess - y[i]) * (guess - y[i]);
            spread += (mean - y[i]) * (mean - y[i]);
        }
        CHECK_MSG(error < 0.3 * spread, "R2 %g", 1 - error / spread);
        free(values);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_dataset_free(first);
    }
}

TEST(tree_rules, rows_without_their_only_label_are_left_out)
{
    static const char *const KINDS[] = {"decision_tree", "random_forest"};
    ml_dataset *all = toy_data(NULL, true), *known, *holes = toy_data(NULL, true);
    double y[TOY_ROWS];
    int64_t label[TOY_ROWS];
    size_t rows[TOY_ROWS], n = 0;

    CHECK_OK(ml_dataset_output(all, 0, y, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        label[i] = i % 3 ? (int64_t)y[i] : -1;
        if (i % 3)
            rows[n++] = i;
    }
    CHECK_OK(ml_dataset_set_labels(holes, "class", label, TOY_ROWS, -1));
    CHECK_OK(ml_dataset_subset(all, rows, n, &known));
    for (int k = 0; k < 2; k++) {
        ml_model *a = toy_fitted(NULL, KINDS[k], known, TOY_SETTINGS("min_samples_leaf", "0.05")),
                 *b = toy_fitted(NULL, KINDS[k], holes, TOY_SETTINGS("min_samples_leaf", "0.05"));

        toy_same_models(a, b);
        ml_model_free(a);
        ml_model_free(b);
    }
    ml_dataset_free(known);
    ml_dataset_free(all);
    ml_dataset_free(holes);
}

TEST(tree_rules, an_output_without_any_label_of_weight_is_named)
{
    const double x[3] = {1, 2, 3};
    ml_dataset *data = toy_reals(NULL, x, 3, 1, x);
    ml_model *model = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_dataset_add_targets(data, "late", (const double[]){NAN, NAN, 4}, 3));
    CHECK_OK(ml_dataset_set_weights(data, (const double[]){1, 1, 0}, 3));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "output 'late': no row of positive weight has a label");
    CHECK_OK(ml_dataset_set_targets(data, "late", (const double[]){NAN, NAN, 4}, 3));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_DATA, "no row has a label and a positive weight");
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- criteria ---- */

TEST(tree_rules, poisson_needs_counts)
{
    const double x[3] = {1, 2, 3};
    ml_dataset *negative = toy_reals(NULL, x, 3, 1, (const double[]){1, -2, 3}),
               *zero = toy_reals(NULL, x, 3, 1, (const double[]){0, 0, 0});
    ml_model *model = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_model_set_text(model, "criterion", "poisson"));
    CHECK_FAILS(ml_model_fit(model, negative, NULL), ML_E_DATA, "row 1 of output 't' is -2, negative");
    CHECK_FAILS(ml_model_fit(model, zero, NULL), ML_E_DATA, "the targets sum to 0");
    ml_model_free(model);
    ml_dataset_free(negative);
    ml_dataset_free(zero);
}

/* The size and the offset of targets do not matter. */
TEST(tree_rules, absolute_error_follows_its_targets)
{
    double x[TOY_ROWS * TOY_FEATURES], t[TOY_ROWS], far[TOY_ROWS];
    ml_dataset *data = toy_data(NULL, false), *moved;
    ml_model *a, *b;
    double *values, *values_moved;

    for (size_t i = 0; i < TOY_ROWS; i++)
        CHECK_OK(ml_dataset_row(data, i, x + i * TOY_FEATURES, TOY_FEATURES));
    CHECK_OK(ml_dataset_output(data, 0, t, TOY_ROWS));
    for (size_t i = 0; i < TOY_ROWS; i++) {
        t[i] = floor(t[i] * 4096) / 4096;
        far[i] = ldexp(t[i] + 1024, 40);
    }
    ml_dataset_free(data);
    data = toy_reals(NULL, x, TOY_ROWS, TOY_FEATURES, t);
    moved = toy_reals(NULL, x, TOY_ROWS, TOY_FEATURES, far);
    a = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", "absolute_error", "max_depth", "4"));
    b = toy_fitted(NULL, "decision_tree", moved, TOY_SETTINGS("criterion", "absolute_error", "max_depth", "4"));
    values = toy_predictions(a, data);
    values_moved = toy_predictions(b, moved);
    for (size_t i = 0; i < TOY_ROWS; i++)
        CHECK_CLOSE(values_moved[i], ldexp(values[i] + 1024, 40), 0);
    free(values);
    free(values_moved);
    ml_model_free(a);
    ml_model_free(b);
    ml_dataset_free(data);
    ml_dataset_free(moved);
}

/* ---- monotone trees ---- */

/* Ascending in feature 0 up to noise and a dip, descending in feature 1 likewise; feature 2 as it likes. */
static ml_dataset *bumpy(uint64_t seed, bool labels, bool gaps)
{
    double x[N_ROWS * N_COLUMNS], t[N_ROWS];
    int64_t y[N_ROWS];
    toy_random r = {seed};

    for (size_t i = 0; i < N_ROWS; i++) {
        double *row = x + i * N_COLUMNS;

        for (size_t j = 0; j < N_COLUMNS; j++)
            row[j] = toy_uniform(&r);
        t[i] = row[0] + 0.4 * sin(15 * row[0]) - row[1] + 0.4 * cos(12 * row[1]) + sin(9 * row[2]) + 3 +
               0.5 * toy_uniform(&r);
        y[i] = t[i] > 3.3;
        for (size_t j = 0; j < N_COLUMNS && gaps; j++)
            if (toy_uniform(&r) < 0.2)
                row[j] = NAN;
    }
    return labels ? toy_labels(NULL, x, N_ROWS, N_COLUMNS, y) : toy_reals(NULL, x, N_ROWS, N_COLUMNS, t);
}

/* The value, or the share of the second class. */
static double value_at(const ml_model *model, const double *x, bool labels)
{
    double out[2];

    CHECK_OK(ml_model_predict_row(model, labels ? ML_PREDICT_PROBA : ML_PREDICT, x, N_COLUMNS, out, (size_t)1 + labels,
                                  NULL, 0));
    return out[labels];
}

/* How often predictions run against `direction` along feature j of random rows. */
static size_t count_reversals(const ml_model *model, bool labels, size_t j, int direction)
{
    toy_random r = {5};
    size_t n_reversals = 0;

    for (int line = 0; line < 60; line++) {
        double x[N_COLUMNS], before;

        for (size_t k = 0; k < N_COLUMNS; k++)
            x[k] = toy_uniform(&r) < 0.1 ? NAN : toy_uniform(&r);
        x[j] = 0;
        before = value_at(model, x, labels);
        for (int step = 1; step <= 60; step++) {
            double now;

            x[j] = step / 60.0;
            now = value_at(model, x, labels);
            n_reversals += direction * (now - before) < 0;
            before = now;
        }
    }
    return n_reversals;
}

static void check_monotone(const char *kind, const char *criterion, bool labels, bool gaps)
{
    ml_dataset *data = bumpy(1, labels, gaps);
    ml_model *model = toy_fitted(NULL, kind, data,
                                 TOY_SETTINGS("criterion", criterion, "monotonic_cst", "1,-1", "max_features", "all")),
             *free_model = toy_fitted(NULL, kind, data, TOY_SETTINGS("criterion", criterion));

    CHECK(count_reversals(free_model, labels, 0, 1) && count_reversals(free_model, labels, 1, -1));
    CHECK(count_reversals(model, labels, 0, 1) == 0);
    CHECK(count_reversals(model, labels, 1, -1) == 0);
    CHECK(count_reversals(model, labels, 2, 1) && count_reversals(model, labels, 2, -1));
    CHECK(toy_score(model, data) > 0.4);
    ml_model_free(model);
    ml_model_free(free_model);
    ml_dataset_free(data);
}

TEST(tree_rules, predictions_are_monotone_where_they_have_to_be)
{
    for (int gaps = 0; gaps < 2; gaps++) {
        check_monotone("decision_tree", "gini", true, gaps);
        check_monotone("decision_tree", "entropy", true, gaps);
        check_monotone("decision_tree", "squared_error", false, gaps);
        check_monotone("decision_tree", "absolute_error", false, gaps);
        check_monotone("decision_tree", "poisson", false, gaps);
        check_monotone("random_forest", "auto", true, gaps);
        check_monotone("random_forest", "auto", false, gaps);
    }
}

TEST(tree_rules, monotone_constraints_must_fit_the_data)
{
    ml_dataset *three = toy_data(NULL, true), *reals = toy_data(NULL, false), *two = doubled(false, false),
               *one = toy_data(NULL, false);
    const int64_t only[TOY_ROWS] = {0};
    ml_model *model = toy_model(NULL, "decision_tree"), *plain = toy_fitted(NULL, "decision_tree", reals, NULL);
    double *a, *b;

    CHECK_FAILS(ml_model_set_text(model, "monotonic_cst", "0,2"), ML_E_PARAMETER, "monotonic_cst");
    CHECK_OK(ml_model_set_text(model, "monotonic_cst", "0,0,0"));
    CHECK_OK(ml_model_fit(model, three, NULL));
    CHECK_OK(ml_model_fit(model, reals, NULL));
    a = toy_predictions(model, reals);
    b = toy_predictions(plain, reals);
    CHECK_SAME_BYTES(a, TOY_ROWS * sizeof *a, b, TOY_ROWS * sizeof *b);
    CHECK_OK(ml_model_set_text(model, "monotonic_cst", "0,1"));
    CHECK_OK(ml_model_fit(model, reals, NULL));
    CHECK_OK(ml_dataset_set_labels(one, "only", only, TOY_ROWS, -1));
    CHECK_OK(ml_model_fit(model, one, NULL));
    CHECK_FAILS(ml_model_fit(model, three, NULL), ML_E_PARAMETER, "here are 1 outputs with 3 classes");
    CHECK_FAILS(ml_model_fit(model, two, NULL), ML_E_PARAMETER, "here are 2 outputs");
    CHECK_OK(ml_model_set_text(model, "monotonic_cst", "0,0,0,1"));
    CHECK_FAILS(ml_model_fit(model, reals, NULL), ML_E_PARAMETER, "monotonic_cst has 4 numbers for 3 features");
    free(a);
    free(b);
    ml_model_free(model);
    ml_model_free(plain);
    ml_dataset_free(three);
    ml_dataset_free(reals);
    ml_dataset_free(two);
    ml_dataset_free(one);
}

/* ---- contract ---- */

TEST(tree_rules, any_number_of_threads_gives_the_same_bytes)
{
    toy_check_threads("random_forest", false, TOY_SETTINGS("criterion", "absolute_error", "n_estimators", "7"));
    toy_check_threads("random_forest", false, TOY_SETTINGS("monotonic_cst", "1,0,-1", "n_estimators", "7"));
}

TEST(tree_rules, every_failing_allocation_is_reported)
{
    CHECK(toy_check_memory(1, "decision_tree", false, TOY_SETTINGS("criterion", "absolute_error")) >= 10);
    CHECK(toy_check_memory(1, "decision_tree", false, TOY_SETTINGS("monotonic_cst", "1")) >= 10);
}

/* Shares of every output are checked, and the width of the rows. */
TEST(tree_rules, damaged_values_are_refused)
{
    ml_dataset *data = doubled(true, true);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const double *share = test_tensor(model, "trees.value")->data;

    CHECK_REFUSED_VALUE(model, "trees.value", 3, share[3] + 0.5, "classes of output 'copy' sum to 1.5");
    CHECK_REFUSED_VALUE(model, "trees.value", 3, -1, "class 0 of output 'copy' is -1, negative");
    CHECK_REFUSED_SIZE(model, "trees.value", 1, 5, "'trees.value' has 5 columns, expected 6");
    ml_model_free(model);
    ml_dataset_free(data);
}
