/* SPDX-License-Identifier: Apache-2.0 */
/* Splits by sets of categories, against all sets of small random tables. */
#include "tree_tables.h"

#include <string.h>

/* Feature 0 of the table becomes the categories "c10", "c11", … of its numbers, feature 1 stays a number. */
static ml_dataset *categorical(ml_context *context, table *t)
{
    const ml_csv_options options = {.struct_size = sizeof options};
    char text[1024];
    size_t length = (size_t)sprintf(text, "colour,size\n");
    ml_dataset *data;

    for (size_t i = 0; i < t->n; i++) {
        if (!isnan(t->x[2 * i]))
            length += (size_t)sprintf(text + length, "c%d", 10 + (int)t->x[2 * i]);
        length += (size_t)(isnan(t->x[2 * i + 1]) ? sprintf(text + length, ",\n")
                                                  : sprintf(text + length, ",%d\n", (int)t->x[2 * i + 1]));
    }
    CHECK_OK(ml_dataset_from_csv_memory(context, text, length, NULL, &options, &data));
    for (size_t i = 0; i < t->n; i++)
        CHECK_OK(ml_dataset_row(data, i, t->x + 2 * i, 2));
    return data;
}

static void set_output(ml_dataset *data, table *t)
{
    int64_t label[MAX_ROWS];

    for (size_t i = 0; i < t->n; i++)
        label[i] = (int64_t)t->y[0][i];
    CHECK_OK(t->labels ? ml_dataset_set_labels(data, "y", label, t->n, -1)
                       : ml_dataset_set_targets(data, "y", t->y[0], t->n));
    CHECK_OK(ml_dataset_output(data, 0, t->y[0], t->n));
    CHECK_OK(ml_dataset_set_weights(data, t->w, t->n));
}

static table random_table(toy_random *r, int criterion, int n_classes)
{
    table t = {.criterion = criterion, .labels = criterion < 4, .d = 2, .n_outputs = 1};

    t.n = 6 + (size_t)(toy_uniform(r) * (MAX_ROWS - 5));
    for (size_t i = 0; i < t.n; i++) {
        t.x[2 * i] = i && toy_uniform(r) < 0.2 ? NAN : floor(6 * toy_uniform(r));
        t.x[2 * i + 1] = i && toy_uniform(r) < 0.2 ? NAN : floor(3 * toy_uniform(r));
        t.y[0][i] = 1 + (i < (size_t)n_classes ? (double)i : floor(n_classes * toy_uniform(r)));
        t.w[i] = ldexp(1, (int)(3 * toy_uniform(r)) - 1);
    }
    return t;
}

/* Rows of a set of categories go left, or those up to a number when `numbers`. */
static double gain_of_set(const table *t, bool numbers, uint32_t set, bool missing_left, bool *left)
{
    size_t n_left = 0;

    for (size_t i = 0; i < t->n; i++) {
        const double x = t->x[2 * i + numbers];

        left[i] = isnan(x) ? missing_left : numbers ? x <= set : ml__in_set(&set, (uint32_t)x);
        n_left += left[i];
    }
    return n_left && n_left < t->n ? gain_of(t, left) : -1;
}

static double best_gain(const table *t)
{
    double best = -1;
    bool left[MAX_ROWS];

    for (int missing_left = 0; missing_left < 2; missing_left++) {
        for (uint32_t set = 0; set < 64; set++)
            best = fmax(best, gain_of_set(t, false, set, missing_left, left));
        for (uint32_t threshold = 0; threshold < 3; threshold++)
            best = fmax(best, gain_of_set(t, true, threshold, missing_left, left));
    }
    return best;
}

static ml__tree_node root_of(const ml_model *model)
{
    const ml__trees trees = trees_of(model);

    return ml__tree_node_at(&trees, 0, 0);
}

/* Which rows the root sends left. */
static double gain_of_root(const table *t, const ml_model *model, bool *left)
{
    const ml__tree_node root = root_of(model);
    const uint32_t *sets = root.is_set ? toy_tensor(model, "trees.sets").data : NULL;

    CHECK(root.is_set == (root.feature == 0));
    if (root.feature < 0)
        return -1;
    return gain_of_set(t, root.feature, root.is_set ? sets[root.set] : (uint32_t)fminf(root.threshold, 9),
                       root.missing_left, left);
}

static ml_model *stump(const ml_dataset *data, int criterion)
{
    return toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("criterion", CRITERIA[criterion], "max_depth", "1"));
}

TEST(tree_categories, no_set_is_better)
{
    static const int EXACT[] = {1, 2, 4, 5, 7};
    toy_random r = {3};
    size_t n_sets = 0;

    for (int trial = 0; trial < 1000; trial++) {
        table t = random_table(&r, EXACT[trial % 5], trial % 5 < 2 ? 2 : 4);
        ml_dataset *data = categorical(NULL, &t);
        ml_model *model;
        double *values;
        bool left[MAX_ROWS];

        set_output(data, &t);
        model = stump(data, t.criterion);
        CHECK_CLOSE(gain_of_root(&t, model, left), best_gain(&t), 1e-9);
        n_sets += root_of(model).is_set;
        values = values_of(model, data, t.labels); /* rows that go the same way are in the same leaf */
        for (size_t i = 0; i < t.n; i++)
            for (size_t k = 0; k < i; k++)
                if (left[i] == left[k])
                    CHECK(values[t.labels ? 2 * i : i] == values[t.labels ? 2 * k : k]);
        free(values);
        ml_model_free(model);
        ml_dataset_free(data);
    }
    CHECK(n_sets > 600);
}

/* Of more classes: no cut of the order by the share of the largest class is better. */
TEST(tree_categories, of_many_classes_the_largest_one_orders_them)
{
    toy_random r = {5};

    for (int trial = 0; trial < 300; trial++) {
        table t = random_table(&r, 1 + trial % 2, 3);
        ml_dataset *data = categorical(NULL, &t);
        double weight[3] = {0}, share[6] = {0}, best = -1;
        ml_model *model;
        bool left[MAX_ROWS];
        int largest = 0;

        set_output(data, &t);
        for (size_t i = 0; i < t.n; i++)
            weight[(int)t.y[0][i]] += t.w[i];
        for (int k = 1; k < 3; k++)
            largest = weight[k] > weight[largest] ? k : largest;
        for (int c = 0; c < 6; c++) {
            double W = 0;
            for (size_t i = 0; i < t.n; i++)
                if (t.x[2 * i] == c) {
                    W += t.w[i];
                    share[c] += t.y[0][i] == largest ? t.w[i] : 0;
                }
            share[c] = W > 0 ? share[c] / W : 2; /* one that no row has changes nothing */
        }
        for (int last = 0; last < 6; last++) {
            uint32_t set = 0;
            for (int c = 0; c < 6; c++)
                set |= (uint32_t)(share[c] < share[last] || (share[c] == share[last] && c <= last)) << c;
            for (int missing_left = 0; missing_left < 2; missing_left++)
                best = fmax(best, gain_of_set(&t, false, set, missing_left, left));
        }
        for (uint32_t threshold = 0; threshold < 3; threshold++)
            for (int missing_left = 0; missing_left < 2; missing_left++)
                best = fmax(best, gain_of_set(&t, true, threshold, missing_left, left));
        model = stump(data, t.criterion);
        CHECK_CLOSE(gain_of_root(&t, model, left), best, 1e-9);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- more categories than a word has bits ---- */

enum { N_ROWS = 600, N_CATEGORIES = 75 };

static bool is_in(size_t category)
{
    return category * 7 % 11 < 5;
}

/* Labels follow the category, but for some noise; every 20th is missing and has a label of its own. */
static ml_dataset *many_categories(ml_context *context, bool noise, int64_t missing_label)
{
    const ml_csv_options options = {.struct_size = sizeof options};
    char *text = malloc(N_ROWS * 32);
    int64_t y[N_ROWS];
    size_t length = (size_t)sprintf(text, "size,colour\n");
    toy_random r = {9};
    ml_dataset *data;

    for (size_t i = 0; i < N_ROWS; i++) {
        const size_t category = i % N_CATEGORIES;
        const double size = toy_uniform(&r);

        length += (size_t)sprintf(text + length, "%.3f,", size);
        length += (size_t)(i % 20 == 19 ? sprintf(text + length, "\n") : sprintf(text + length, "c%03zu\n", category));
        y[i] = i % 20 == 19 ? missing_label : is_in(category);
        if (noise && toy_uniform(&r) < 0.2)
            y[i] = size > 0.5;
    }
    CHECK_OK(ml_dataset_from_csv_memory(context, text, length, NULL, &options, &data));
    CHECK(ml_dataset_n_categories(data, 1) == N_CATEGORIES);
    CHECK_OK(ml_dataset_set_labels(data, "y", y, N_ROWS, -1));
    free(text);
    return data;
}

TEST(tree_categories, one_split_tells_many_categories_apart)
{
    ml_dataset *data = many_categories(NULL, false, 1);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    const ml__trees trees = trees_of(model);

    CHECK(trees.offset[1] == 3 && toy_tensor(model, "trees.sets").shape[0] == 3);
    CHECK_CLOSE(toy_score(model, data), 1, 0);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Numbers that are no category go where missing values go, and so does a category without weight. */
TEST(tree_categories, what_is_unknown_goes_where_missing_values_go)
{
    static const double UNKNOWN[] = {0, NAN, N_CATEGORIES, -1, 2.5, 1e30}; /* the first: the absent one */
    for (int64_t label = 0; label < 2; label++) {
        const size_t absent = label ? 4 : 5; /* as good as none of its rows has the label */
        ml_dataset *data = many_categories(NULL, false, label);
        double w[N_ROWS], out;
        ml_model *model;

        CHECK(!is_in(4) && is_in(5) && is_in(8) && !is_in(1));
        for (size_t i = 0; i < N_ROWS; i++)
            w[i] = i % N_CATEGORIES == absent ? 0 : 1;
        CHECK_OK(ml_dataset_set_weights(data, w, N_ROWS));
        model = toy_fitted(NULL, "decision_tree", data, NULL);
        for (size_t k = 0; k < sizeof UNKNOWN / sizeof *UNKNOWN; k++) {
            const double x[2] = {0.5, k ? UNKNOWN[k] : (double)absent};

            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, x, 2, &out, 1, NULL, 0));
            CHECK_MSG(out == (double)label, "category %g", x[1]);
        }
        for (int known = 1; known <= 8; known += 7) {
            const double x[2] = {0.5, known};

            CHECK_OK(ml_model_predict_row(model, ML_PREDICT, x, 2, &out, 1, NULL, 0));
            CHECK(out == (known == 8));
        }
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* Loaded again, and row by row, the forest gives the same. */
static void *fit_forest(ml_context *context, const void *unused, size_t *n_bytes)
{
    ml_dataset *data = many_categories(context, true, 1);
    ml_model *model = toy_fitted(context, "random_forest", data, TOY_SETTINGS("n_estimators", "12")), *loaded;
    double *values = values_of(model, data, true), *again, row[2], one[2];
    void *bytes = test_saved(model, n_bytes);

    (void)unused;
    CHECK(toy_score(model, data) > 0.9);
    CHECK_OK(ml_model_load_memory(context, bytes, *n_bytes, NULL, &loaded));
    again = values_of(loaded, data, true);
    CHECK_SAME_BYTES(values, 2 * N_ROWS * sizeof *values, again, 2 * N_ROWS * sizeof *values);
    for (size_t i = 0; i < N_ROWS; i++) {
        CHECK_OK(ml_dataset_row(data, i, row, 2));
        CHECK_OK(ml_model_predict_row(model, ML_PREDICT_PROBA, row, 2, one, 2, NULL, 0));
        CHECK_SAME_BYTES(one, sizeof one, values + 2 * i, sizeof one);
    }
    free(values);
    free(again);
    ml_model_free(model);
    ml_model_free(loaded);
    ml_dataset_free(data);
    return bytes;
}

TEST(tree_categories, forests_use_them_with_any_number_of_threads)
{
    test_any_threads("a forest", fit_forest, NULL);
}

/* Stumps by a set of categories vote as their members predict. */
TEST(tree_categories, boosted_stumps_vote_by_sets)
{
    ml_dataset *data = many_categories(NULL, true, 1);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "6"));
    const size_t T = ml_model_stage_count(model);
    double *staged = malloc(T * N_ROWS * sizeof *staged), *last = toy_predictions(model, data);

    CHECK(T > 1 && ml_model_member_count(model) == T);
    CHECK_OK(ml_model_staged_predict(model, data, ML_PREDICT, staged, T * N_ROWS));
    CHECK_SAME_BYTES(staged + (T - 1) * N_ROWS, N_ROWS * sizeof *last, last, N_ROWS * sizeof *last);
    CHECK(toy_score(model, data) > 0.8);
    free(staged);
    free(last);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Merged in order, the trees of a forest are the forest again, sets and all; the nodes show them. */
TEST(tree_categories, sets_go_with_their_trees)
{
    ml_dataset *data = many_categories(NULL, true, 1);
    ml_model *model = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "5")), *parts[2], *merged,
             *pruned;
    ml_tree_node node = {.struct_size = sizeof node};
    void *bytes[2];
    size_t n_bytes[2], n_sets = 0;

    CHECK_OK(ml_forest_select(model, (const size_t[]){0, 1}, 2, &parts[0]));
    CHECK_OK(ml_forest_select(model, (const size_t[]){2, 3, 4}, 3, &parts[1]));
    CHECK_OK(ml_forest_merge((const ml_model *const[]){parts[0], parts[1]}, 2, &merged));
    bytes[0] = test_saved(model, &n_bytes[0]);
    bytes[1] = test_saved(merged, &n_bytes[1]);
    CHECK_SAME_BYTES(bytes[0], n_bytes[0], bytes[1], n_bytes[1]);
    for (size_t i = 0; i < ml_model_tree_size(parts[1], 2); i++) {
        CHECK_OK(ml_model_tree_node(parts[1], 2, i, &node));
        CHECK(!node.categories == !node.n_categories);
        n_sets += node.categories != NULL;
    }
    CHECK(n_sets > 0);
    CHECK_OK(ml_forest_prune(model, SIZE_MAX, data, NULL, &pruned));
    CHECK(toy_score(pruned, data) == toy_score(model, data));
    free(bytes[0]);
    free(bytes[1]);
    ml_model_free(pruned);
    ml_model_free(merged);
    ml_model_free(parts[0]);
    ml_model_free(parts[1]);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- contract ---- */

TEST(tree_categories, they_have_no_direction)
{
    ml_dataset *data = many_categories(NULL, false, 1);
    ml_model *model = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_model_set_text(model, "monotonic_cst", "1,0"));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK_OK(ml_model_set_text(model, "monotonic_cst", "0,1"));
    CHECK_FAILS(ml_model_fit(model, data, NULL), ML_E_PARAMETER,
                "monotonic_cst of feature 'colour', which is categorical");
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree_categories, damaged_sets_are_refused)
{
    ml_dataset *data = many_categories(NULL, false, 1);
    ml_model *model = toy_fitted(NULL, "decision_tree", data, NULL);
    uint32_t *words = test_tensor(model, "trees.nodes")->data, *sets = test_tensor(model, "trees.sets")->data;

    words[0] = 1;
    CHECK_REFUSED(model, "its set is words 1 to 3, of 3");
    words[0] = UINT32_MAX;
    CHECK_REFUSED(model, "its set is words 4294967295");
    words[0] = 0;
    sets[2] |= (uint32_t)1 << (N_CATEGORIES - 64);
    CHECK_REFUSED(model, "its set has more than the 75 categories of feature 1");
    sets[2] &= ~((uint32_t)1 << (N_CATEGORIES - 64));
    words[1] &= ~((uint32_t)1 << ML__FLAG_BITS);
    CHECK_REFUSED(model, "its feature 0 has no categories");
    words[1] |= (uint32_t)1 << ML__FLAG_BITS;
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(tree_categories, every_failing_allocation_is_reported)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    ml_dataset *data = many_categories(context, true, 1);

    CHECK(test_failing_allocations(&allocator, context, "a fit with categories", test_fit_new,
                                   &(test_fit){"decision_tree", NULL, data}) >= 20);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(allocator.n_live == 0);
}
