/* SPDX-License-Identifier: Apache-2.0 */
/* Trees that several threads grow together: their bytes are those that one thread grows. */
#include "tree_tables.h"

enum { N_ROWS = 3000, N_NUMBERS = 24, N_FEATURES = N_NUMBERS + 1, N_CATEGORIES = 40, ROW_BYTES = 8 * N_FEATURES + 8 };

/* What the tables have that only the general way can grow from. */
typedef struct {
    bool labels, missing, categories, two_outputs, missing_labels, weights;
    size_t n_classes, n_outliers; /* of these each is split off by itself */
} shape;

/* Numbers of which three matter, and a last column of categories, or of numbers. */
static char *write_csv(const shape *s, toy_random *r, double *score)
{
    char *text = malloc((N_ROWS + 1) * (size_t)ROW_BYTES);
    size_t length = 0;

    for (size_t j = 0; j < N_FEATURES; j++)
        length += (size_t)sprintf(text + length, "x%zu%s", j, j + 1 < N_FEATURES ? "," : "\n");
    for (size_t i = 0; i < N_ROWS; i++) {
        const int category = (int)(toy_uniform(r) * N_CATEGORIES);

        score[i] = category % 7 < 3 ? 0.3 : 0;
        for (size_t j = 0; j < N_NUMBERS; j++) {
            const double x = i < s->n_outliers && !j ? (double)(1u << i) : toy_uniform(r);

            score[i] += j < 3 ? x * (double)(j + 1) : 0;
            if (s->missing && j % 2 && toy_uniform(r) < 0.1)
                length += (size_t)sprintf(text + length, ",");
            else
                length += (size_t)sprintf(text + length, "%.4f,", x);
        }
        length += (size_t)sprintf(text + length, s->categories ? "c%d\n" : "%d\n", category);
    }
    text[length] = 0;
    return text;
}

static ml_dataset *make_data(ml_context *context, const shape *s)
{
    const ml_csv_options options = {.struct_size = sizeof options};
    static double t[N_ROWS], w[N_ROWS];
    static int64_t y[N_ROWS];
    toy_random r = {21};
    char *text = write_csv(s, &r, t);
    ml_dataset *data;

    CHECK_OK(ml_dataset_from_csv_memory(context, text, strlen(text), NULL, &options, &data));
    CHECK((ml_dataset_n_categories(data, N_NUMBERS) == N_CATEGORIES) == s->categories);
    for (int output = 0; output <= s->two_outputs; output++) {
        for (size_t i = 0; i < N_ROWS; i++) {
            t[i] += toy_uniform(&r);
            y[i] = (int64_t)(t[i] * 7) % (int64_t)(s->n_classes ? s->n_classes : 2);
            w[i] = 0.5 + toy_uniform(&r);
            if (s->missing_labels && toy_uniform(&r) < 0.2) {
                y[i] = -1;
                t[i] = NAN;
            }
        }
        CHECK_OK(s->labels ? ml_dataset_add_labels(data, output ? "b" : "a", y, N_ROWS, -1)
                           : ml_dataset_add_targets(data, output ? "b" : "a", t, N_ROWS));
        for (size_t i = 0; i < N_ROWS; i++)
            t[i] = isnan(t[i]) ? 0 : sin(5 * t[i]) + 1;
    }
    if (s->weights)
        CHECK_OK(ml_dataset_set_weights(data, w, N_ROWS));
    free(text);
    return data;
}

typedef struct {
    const shape *shape;
    const char *kind;
    const char *const *settings;
} fit_case;

static void *fit_shape(ml_context *context, const void *argument, size_t *n_bytes)
{
    const fit_case *c = argument;
    ml_dataset *data = make_data(context, c->shape);
    ml_model *model = toy_fitted(context, c->kind, data, c->settings);
    void *bytes = test_saved(model, n_bytes);

    CHECK(ml_model_tree_size(model, 0) > 20);
    ml_model_free(model);
    ml_dataset_free(data);
    return bytes;
}

static void check_threads(const shape *s, const char *kind, const char *const *settings)
{
    const ml__tree_data all_features = {.max_features = N_FEATURES};

    CHECK(4 * ml__subtree_rows(&all_features, N_ROWS) < N_ROWS);
    test_any_threads(kind, fit_shape, &(fit_case){s, kind, settings});
}

/* ---- the same bytes ---- */

TEST(tree_threads, every_criterion)
{
    static const char *const OF_LABELS[] = {"gini", "entropy"}, *const OF_REALS[] = {"squared_error", "absolute_error",
                                                                                     "poisson"};
    const shape labels = {.labels = true, .n_classes = 3}, reals = {0};

    for (size_t k = 0; k < 2; k++)
        check_threads(&labels, "decision_tree", TOY_SETTINGS("criterion", OF_LABELS[k]));
    for (size_t k = 0; k < 3; k++)
        check_threads(&reals, "decision_tree", TOY_SETTINGS("criterion", OF_REALS[k]));
}

TEST(tree_threads, missing_values_and_categories)
{
    for (int labels = 0; labels < 2; labels++) {
        const shape s = {.labels = labels, .n_classes = 4, .missing = true, .categories = true, .weights = true};

        check_threads(&s, "decision_tree", NULL);
        check_threads(&s, "decision_tree", TOY_SETTINGS("splitter", "random", "max_features", "0.5"));
    }
}

TEST(tree_threads, several_outputs_and_missing_labels)
{
    for (int labels = 0; labels < 2; labels++) {
        const shape s = {.labels = labels, .n_classes = 3, .two_outputs = true, .missing_labels = true};

        check_threads(&s, "decision_tree", NULL);
        check_threads(&s, "decision_tree", TOY_SETTINGS("criterion", labels ? "entropy" : "absolute_error"));
    }
}

TEST(tree_threads, rules_of_growth)
{
    const shape labels = {.labels = true, .n_classes = 2}, reals = {.weights = true, .n_outliers = 12};

    check_threads(&reals, "decision_tree", TOY_SETTINGS("monotonic_cst", "1,0,-1"));
    check_threads(&labels, "decision_tree", TOY_SETTINGS("monotonic_cst", "1,0,1", "min_samples_leaf", "3"));
    check_threads(&reals, "decision_tree", TOY_SETTINGS("max_leaf_nodes", "300"));
    check_threads(&labels, "decision_tree", TOY_SETTINGS("ccp_alpha", "0.0005", "pruning_path", "true"));
    check_threads(&labels, "decision_tree",
                  TOY_SETTINGS("min_impurity_decrease", "0.0005", "class_weight", "balanced"));
    check_threads(&reals, "decision_tree", TOY_SETTINGS("min_weight_fraction_leaf", "0.002", "max_features", "5"));
}

TEST(tree_threads, byte_codes)
{
    static const size_t N_CLASSES[] = {0, 2, 3, 30}; /* 0: reals */

    for (size_t k = 0; k < 4; k++) {
        const shape s = {.labels = k, .n_classes = N_CLASSES[k], .n_outliers = 3};

        check_threads(&s, "decision_tree", TOY_SETTINGS("max_bins", "255"));
        check_threads(&s, "decision_tree", TOY_SETTINGS("max_bins", "255", "splitter", "random"));
        check_threads(&s, "decision_tree", TOY_SETTINGS("max_bins", "20", "max_features", "2"));
        check_threads(&s, "random_forest", TOY_SETTINGS("n_estimators", "1", "max_features", "0.5"));
        check_threads(&s, "extra_trees", TOY_SETTINGS("n_estimators", "1", "max_features", "0.5"));
    }
}

/* Of some numbers of trees a few are left for all threads together. */
TEST(tree_threads, forests_of_a_few_trees)
{
    for (int labels = 0; labels < 2; labels++) {
        const shape s = {.labels = labels, .n_classes = 3};

        check_threads(&s, "random_forest", TOY_SETTINGS("n_estimators", "5", "max_features", "0.5"));
        check_threads(&s, "random_forest",
                      TOY_SETTINGS("n_estimators", "17", "max_features", "0.5", "oob_score", "true"));
        check_threads(&s, "extra_trees", TOY_SETTINGS("n_estimators", "2", "max_features", "0.5", "max_bins", "0"));
        check_threads(&s, "random_forest",
                      TOY_SETTINGS("n_estimators", "2", "max_features", "0.5", "max_samples", "0.1"));
    }
}

/* ---- order ---- */

static void check_same_tensor(const ml_model *a, const ml_model *b, const char *name, size_t size)
{
    const ml_tensor x = toy_tensor(a, name), y = toy_tensor(b, name);
    size_t count = 1;

    CHECK(x.rank == y.rank && !memcmp(x.shape, y.shape, x.rank * sizeof *x.shape));
    for (uint32_t k = 0; k < x.rank; k++)
        count *= (size_t)x.shape[k];
    CHECK_SAME_BYTES(x.data, count * size, y.data, count * size);
}

/* Best first with leaves without limit every node is split in the end: the same tree in yet another order. */
TEST(tree_threads, trees_in_parts_are_numbered_as_others_are)
{
    for (int labels = 0; labels < 2; labels++) {
        const shape s = {.labels = labels, .n_classes = 3, .missing = true, .categories = true};
        ml_dataset *data = make_data(NULL, &s);
        ml_model *parts = toy_fitted(NULL, "decision_tree", data, NULL);
        ml_model *best_first = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("max_leaf_nodes", "1000000"));

        check_same_tensor(parts, best_first, "trees.nodes", sizeof(int32_t));
        check_same_tensor(parts, best_first, "trees.value", sizeof(double));
        check_same_tensor(parts, best_first, "trees.sets", sizeof(int32_t));
        check_same_tensor(parts, best_first, "feature_importances", sizeof(double));
        ml_model_free(parts);
        ml_model_free(best_first);
        ml_dataset_free(data);
    }
}

/* ---- ends ---- */

TEST(tree_threads, memory_fails_in_any_place)
{
    const shape shapes[] = {{.labels = true, .n_classes = 3},
                            {.missing = true, .categories = true, .missing_labels = true}};
    const char *const *const settings[] = {TOY_SETTINGS("max_bins", "255", "max_depth", "6"),
                                           TOY_SETTINGS("criterion", "absolute_error", "max_depth", "4")};

    for (int k = 0; k < 2; k++) {
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, 3);
        ml_dataset *data = make_data(context, &shapes[k]);
        test_fit fit = {"decision_tree", settings[k], data};

        CHECK(test_failing_allocations(&allocator, context, "a tree of several threads", test_fit_new, &fit) > 60);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
}

/* ---- monitor and deadline ---- */

static void check_first_trees(const ml_model *model, size_t n, const char *const *settings, const ml_dataset *data)
{
    ml_model *small = toy_model(NULL, "random_forest");

    for (; *settings; settings += 2)
        CHECK_OK(ml_model_set_text(small, settings[0], settings[1]));
    CHECK_OK(ml_model_set_int(small, "n_estimators", (int64_t)n));
    CHECK_OK(ml_model_fit(small, data, NULL));
    check_same_tensor(model, small, "trees.nodes", sizeof(int32_t));
    check_same_tensor(model, small, "trees.value", sizeof(double));
    ml_model_free(small);
}

/* Of twenty trees three threads grow some apart and the last two together. A late fit keeps its first tree; a monitor hears of
 * each tree, and when it says stop no more are begun than are at hand. */
TEST(tree_threads, the_monitor_and_the_deadline_end_growth)
{
    static const char *const BINS[] = {"255", "0"};
    const shape s = {.labels = true, .n_classes = 3};

    for (size_t k = 0; k < 8; k++) {
        const uint32_t n_threads = k / 2 % 2 ? 3 : 1;
        const char *const *settings = TOY_SETTINGS("max_features", "0.5", "max_bins", BINS[k % 2]);
        test_allocator allocator = {0};
        ml_context *context = test_context(&allocator, n_threads);
        ml_dataset *data = make_data(context, &s);
        test_watch cancel = {.stop_at = 7}, stop = {.stop_at = k < 4 ? 1 : 4, .answer = ML_MONITOR_STOP};
        const ml_fit_options cancelled = {
            .struct_size = sizeof cancelled, .monitor = test_watching, .monitor_user = &cancel};
        const ml_fit_options stopped = {.struct_size = sizeof stopped, .monitor = test_watching, .monitor_user = &stop};
        const ml_fit_options late = {.struct_size = sizeof late, .deadline_seconds = 1e-9};
        ml_model *model = toy_model(context, "random_forest");

        CHECK_OK(ml_model_set_text(model, "max_features", "0.5"));
        CHECK_OK(ml_model_set_text(model, "max_bins", BINS[k % 2]));
        CHECK_OK(ml_model_set_int(model, "n_estimators", k < 4 ? 20 : 2)); /* two: grown together by three */
        if (k < 4)
            CHECK_FAILS(ml_model_fit(model, data, &cancelled), ML_E_CANCELLED, "the monitor stopped the fit");
        CHECK(!ml_model_is_fitted(model) && (k >= 4 || (cancel.n_seen == 7 && cancel.least_done >= 1)));
        CHECK_OK(ml_model_fit(model, data, &late));
        CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE && ml_model_tree_count(model) == 1);
        check_first_trees(model, 1, settings, data);
        CHECK_OK(ml_model_set_int(model, "n_estimators", 20));
        CHECK_OK(ml_model_fit(model, data, &stopped));
        CHECK(ml_model_stop_reason(model) == ML_STOP_MONITOR);
        CHECK(ml_model_tree_count(model) == (stop.stop_at + n_threads - 1) / n_threads * n_threads);
        check_first_trees(model, ml_model_tree_count(model), settings, data);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
        CHECK(allocator.n_live == 0);
    }
}

/* ---- the host's threads ---- */

/* Notes how many tasks the call had that left most memory behind, up to the first tree that the monitor is told of: that
 * which grew the trees. */
typedef struct {
    ml_context *context;
    bool backwards, is_over;
    uint64_t most_bytes;
    size_t n_tasks;
} host;

static int32_t run_on_host(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument)
{
    host *h = user;
    const uint64_t before = ml_context_memory(h->context);

    for (size_t i = 0; i < n_tasks; i++)
        task(argument, h->backwards ? n_tasks - 1 - i : i);
    if (!h->is_over && ml_context_memory(h->context) > before + h->most_bytes) {
        h->most_bytes = ml_context_memory(h->context) - before;
        h->n_tasks = n_tasks;
    }
    return 0;
}

static int32_t end_of_growth(void *user, const ml_progress *progress)
{
    host *h = user;

    (void)progress;
    h->is_over = true;
    return ML_MONITOR_CONTINUE;
}

static void make_host(host *h, uint32_t n_threads)
{
    const ml_context_options options = {
        .struct_size = sizeof options, .n_threads = n_threads, .executor = {run_on_host, h}};

    CHECK_OK(ml_context_create(&options, &h->context));
}

/* All trees are grown apart when there is one for every thread. */
TEST(tree_threads, every_thread_has_a_tree_when_there_are_enough)
{
    enum { N_THREADS = 4 };
    static const char *const N_TREES[] = {"4", "5", "8"}, *const BINS[] = {"255", "0"};
    const shape s = {.labels = true, .n_classes = 3};

    for (size_t k = 0; k < 6; k++) {
        host h = {0};
        const ml_fit_options options = {.struct_size = sizeof options, .monitor = end_of_growth, .monitor_user = &h};
        ml_dataset *data = make_data(NULL, &s);
        ml_model *model;

        make_host(&h, N_THREADS);
        model = toy_model(h.context, "random_forest");
        CHECK_OK(ml_model_set_text(model, "n_estimators", N_TREES[k / 2]));
        CHECK_OK(ml_model_set_text(model, "max_features", "0.5"));
        CHECK_OK(ml_model_set_text(model, "max_bins", BINS[k % 2]));
        CHECK_OK(ml_model_fit(model, data, &options));
        CHECK_MSG(h.n_tasks == N_THREADS, "%s trees, max_bins %s: %zu tasks", N_TREES[k / 2], BINS[k % 2], h.n_tasks);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(h.context);
    }
}

TEST(tree_threads, the_host_s_threads_do_not_show)
{
    static const char *const KINDS[] = {"decision_tree", "random_forest", "extra_trees"}, *const BINS[] = {"0", "255"};

    for (size_t k = 0; k < 12; k++) {
        const shape s = {.labels = k / 6, .n_classes = 3};
        const char *const kind = KINDS[k / 2 % 3];
        ml_dataset *data = make_data(NULL, &s);
        void *bytes[4];
        size_t n[4];

        for (uint32_t who = 0; who < 4; who++) { /* one thread, three of our own, the host's in two orders */
            const ml_context_options own = {.struct_size = sizeof own, .n_threads = 2 * who + 1};
            host h = {.backwards = who == 3};
            ml_model *model;

            if (who < 2)
                CHECK_OK(ml_context_create(&own, &h.context));
            else
                make_host(&h, 4);
            model = toy_model(h.context, kind);
            CHECK_OK(ml_model_set_text(model, "max_bins", BINS[k % 2]));
            CHECK_OK(ml_model_set_text(model, "max_features", "0.5"));
            if (k / 2 % 3)
                CHECK_OK(ml_model_set_int(model, "n_estimators", 6));
            CHECK_OK(ml_model_fit(model, data, NULL));
            CHECK((who < 2) == !h.n_tasks);
            bytes[who] = test_saved(model, &n[who]);
            CHECK_SAME_BYTES(bytes[0], n[0], bytes[who], n[who]);
            ml_model_free(model);
            ml_context_free(h.context);
        }
        for (int who = 0; who < 4; who++)
            free(bytes[who]);
        ml_dataset_free(data);
    }
}

/* ---- memory ---- */

/* Under a memory limit a fit leaves the first of its trees, or fails and leaves nothing. */
TEST(tree_threads, the_memory_limit_leaves_the_first_trees)
{
    enum { N_TREES = 5, N_LIMITS = 24 };
    const shape s = {0};
    size_t n_peak = 0, n_failed = 0, n_whole = 0;

    for (size_t k = 0; k <= N_LIMITS; k++) { /* the first without limit */
        const ml_context_options options = {
            .struct_size = sizeof options, .n_threads = 2, .memory_limit = k ? (n_peak + (3 << 20)) * k / N_LIMITS : 0};
        ml_context *context;
        ml_dataset *data = make_data(NULL, &s);
        ml_model *model;
        ml_status st;

        CHECK_OK(ml_context_create(&options, &context));
        model = toy_model(context, "random_forest");
        CHECK_OK(ml_model_set_int(model, "n_estimators", N_TREES));
        st = ml_model_fit(model, data, NULL);
        CHECK(st == ML_OK || (st == ML_E_MEMORY && k && !ml_model_is_fitted(model)));
        n_failed += st != ML_OK;
        if (st == ML_OK) {
            const size_t n = (size_t)toy_tensor(model, "trees.first_value").shape[0];
            ml_model *small = toy_model(NULL, "random_forest");

            CHECK(n >= 1 && n <= N_TREES);
            CHECK(ml_model_stop_reason(model) == (n < N_TREES ? ML_STOP_MEMORY : ML_STOP_COMPLETE));
            CHECK_OK(ml_model_set_int(small, "n_estimators", (int64_t)n));
            CHECK_OK(ml_model_fit(small, data, NULL));
            check_same_tensor(model, small, "trees.nodes", sizeof(int32_t));
            n_whole += n == N_TREES;
            ml_model_free(small);
        }
        n_peak = k ? n_peak : (size_t)context->n_bytes_peak;
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
    }
    CHECK(n_failed >= 2 && n_whole >= 2);
}
