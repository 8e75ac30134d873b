/* SPDX-License-Identifier: Apache-2.0 */
/* AdaBoost of trees that are grown from codes; votes of stumps; predictions after each round. */
#include "learn/tree/tree.h"
#include "tree_toys.h"

/* ---- trees from codes against trees from ranks ---- */

/* Rows on few levels, so that codes are exact; noisy labels. */
static ml_dataset *levels_data(ml_context *context, size_t n, size_t d, int64_t K, bool weighted)
{
    double *x = malloc(n * d * sizeof *x), *w = malloc(n * sizeof *w);
    int64_t *y = malloc(n * sizeof *y);
    toy_random r = {17};
    ml_dataset *data;

    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < d; j++) {
            x[i * d + j] = floor(12 * toy_uniform(&r) + 4 * (double)j * toy_uniform(&r)) / 8;
            sum += x[i * d + j] * (j % 2 ? -1 : 1.3);
        }
        sum += 1.5 * toy_uniform(&r);
        y[i] = ((int64_t)floor(sum) % K + K) % K;
        w[i] = floor(5 * toy_uniform(&r)) * (1 + toy_uniform(&r));
    }
    data = toy_labels(context, x, n, d, y);
    if (weighted)
        CHECK_OK(ml_dataset_set_weights(data, w, n));
    free(x);
    free(w);
    free(y);
    return data;
}

static ml_model *boosted_trees(const ml_dataset *data, const char *depth, const char *n_rounds, const char *max_bins)
{
    ml_model *model = toy_model(NULL, "adaboost"), *tree = toy_model(NULL, "decision_tree");

    CHECK_OK(ml_model_set_text(tree, "max_depth", depth));
    CHECK_OK(ml_model_add_member(model, "tree", tree));
    CHECK_OK(ml_model_set_text(model, "n_estimators", n_rounds));
    CHECK_OK(ml_model_set_text(model, "max_bins", max_bins));
    CHECK_OK(ml_model_fit(model, data, NULL));
    return model;
}

/* The same tests of features, and the same classes. */
static void check_same_trees(const ml_model *a, const ml_model *b)
{
    const ml__trees *s = ml__trees_of(a), *t = ml__trees_of(b);

    CHECK_MSG(s->offset[1] == t->offset[1], "%lld nodes, expected %lld", (long long)s->offset[1],
              (long long)t->offset[1]);
    for (size_t i = 0; i < (size_t)s->offset[1]; i++) {
        const ml__tree_node p = ml__tree_node_at(s, 0, i), q = ml__tree_node_at(t, 0, i);

        CHECK(p.feature == q.feature);
        if (p.feature >= 0)
            CHECK(p.threshold == q.threshold && p.next == q.next);
        else
            CHECK(ml__arg_max(s->value + p.next * s->K, s->K) == ml__arg_max(t->value + q.next * t->K, t->K));
    }
}

static void check_codes_against_ranks(size_t n, size_t d, int64_t K, bool weighted, const char *depth,
                                      const char *rounds)
{
    ml_dataset *data = levels_data(NULL, n, d, K, weighted);
    ml_model *coded = boosted_trees(data, depth, rounds, "255"), *ranked = boosted_trees(data, depth, rounds, "0");
    const size_t T = ml_model_member_count(ranked);

    CHECK_MSG(ml_model_member_count(coded) == T && T > 1, "%zu rounds, expected %zu", ml_model_member_count(coded), T);
    CHECK(ml_model_stop_reason(coded) == ml_model_stop_reason(ranked));
    for (size_t t = 0; t < T; t++) {
        CHECK_CLOSE(((const double *)toy_tensor(coded, "estimator_errors").data)[t],
                    ((const double *)toy_tensor(ranked, "estimator_errors").data)[t], 1e-9);
        CHECK_CLOSE(((const double *)toy_tensor(coded, "estimator_weights").data)[t],
                    ((const double *)toy_tensor(ranked, "estimator_weights").data)[t], 1e-8);
        check_same_trees(ml_model_member(coded, t), ml_model_member(ranked, t));
    }
    ml_model_free(coded);
    ml_model_free(ranked);
    ml_dataset_free(data);
}

TEST(adaboost, trees_from_codes_are_those_from_ranks)
{
    for (int weighted = 0; weighted < 2; weighted++) {
        check_codes_against_ranks(3000, 5, 2, weighted, "1", "50");
        check_codes_against_ranks(700, 3, 5, weighted, "1", "50");
        check_codes_against_ranks(3000, 9, 3, weighted, "4", "50");
        check_codes_against_ranks(10000, 2, 2, weighted, "2", "50"); /* pieces of several thousand rows */
    }
    /* small nodes, in which equal weights, such as the least there is, would make gains tie */
    check_codes_against_ranks(2000, 4, 7, true, "8", "15");
    check_codes_against_ranks(20000, 3, 5, true, "0", "3"); /* levels of more nodes than are searched at a time */
}

/* The best cut of a table, straight from the formula: of equal gains the lowest code. */
static ml__tree_cut cut_by_formula(size_t K, size_t stride, const uint64_t *table)
{
    ml__tree_cut best = {.gain = -1};

    for (size_t code = 0; code < stride; code++) {
        double l = 0, r = 0, gain = 0;
        for (size_t pass = 0; pass < 2; pass++)
            for (size_t k = 0; k < K; k++) {
                double l_k = 0, r_k = 0;
                for (size_t c = 0; c < stride; c++)
                    *(c <= code ? &l_k : &r_k) += (double)table[k * stride + c];
                if (pass)
                    gain += (l_k * r - r_k * l) * (l_k * r - r_k * l);
                else
                    l += l_k, r += r_k;
            }
        if (l > 0 && r > 0 && gain / (l * r) > best.gain)
            best = (ml__tree_cut){gain / (l * r), (uint32_t)code, 0};
    }
    return best;
}

TEST(adaboost, every_kernel_finds_the_best_cut_of_a_table)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);
    toy_random random = {23};
    uint64_t table[7 * 256], class_weight[7];

    for (size_t round = 0; round < 60; round++) {
        const size_t K = 1 + round % 7, stride = 8 * (1 + round % 32), n_codes = stride - round % 8;
        ml__tree_cut want, got;

        memset(table, 0, sizeof table);
        memset(class_weight, 0, sizeof class_weight);
        for (size_t k = 0; k < K; k++)
            for (size_t c = 0; c < n_codes; c++) { /* small whole numbers: some tie, and all sums are exact */
                table[k * stride + c] = (uint64_t)(toy_uniform(&random) * (round < 30 ? 3 : 1000));
                class_weight[k] += table[k * stride + c];
            }
        want = cut_by_formula(K, stride, table);
        for (size_t i = 0; i < n_tables; i++) {
            got = (ml__tree_cut){.gain = -1};
            tables[i]->tree.tree_cut_table(K, stride, table, class_weight, &got);
            CHECK_MSG(got.gain == want.gain && (want.gain < 0 || got.code == want.code),
                      "%s: cut %u gains %.17g, expected cut %u with %.17g", tables[i]->name, (unsigned)got.code,
                      got.gain, (unsigned)want.code, want.gain);
            got = (ml__tree_cut){want.gain, 77, 0}; /* what is as good as the best so far is not better */
            tables[i]->tree.tree_cut_table(K, stride, table, class_weight, &got);
            CHECK(got.gain == want.gain && got.code == 77);
        }
    }
}

/* A tree that is not plain is grown the general way, whatever max_bins says. */
TEST(adaboost, other_trees_are_not_coded)
{
    ml_dataset *data = levels_data(NULL, 300, 4, 3, false);

    for (int i = 0; i < 4; i++) {
        static const char *const NAMES[] = {"min_samples_leaf", "criterion", "min_samples_split", "max_features"},
                                 *const VALUES[] = {"20", "entropy", "60", "2"};
        ml_model *models[2];

        for (int k = 0; k < 2; k++) {
            ml_model *tree = toy_model(NULL, "decision_tree");
            models[k] = toy_model(NULL, "adaboost");
            CHECK_OK(ml_model_set_text(tree, "max_depth", "3"));
            CHECK_OK(ml_model_set_text(tree, NAMES[i], VALUES[i]));
            CHECK_OK(ml_model_add_member(models[k], "tree", tree));
            CHECK_OK(ml_model_set_text(models[k], "max_bins", k ? "255" : "0"));
            CHECK_OK(ml_model_fit(models[k], data, NULL));
        }
        CHECK_OK(ml_model_set_text(models[0], "max_bins", "255"));
        toy_same_models(models[0], models[1]);
        ml_model_free(models[0]);
        ml_model_free(models[1]);
    }
    ml_dataset_free(data);
}

/* Stumps do not see what this needs: three levels. */
TEST(adaboost, deeper_trees_learn_what_stumps_cannot)
{
    double x[8 * 3];
    int64_t y[8];
    ml_dataset *data;
    ml_model *model;
    double *h;

    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < 3; j++)
            x[i * 3 + j] = i >> j & 1;
        y[i] = (i ^ i >> 1 ^ i >> 2) & 1;
    }
    data = toy_labels(NULL, x, 8, 3, y);
    model = boosted_trees(data, "3", "5", "255");
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED && ml_model_member_count(model) == 1);
    h = toy_predictions(model, data);
    for (size_t i = 0; i < 8; i++)
        CHECK(h[i] == (double)y[i]);
    free(h);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* Rows of weight 0 leave no trace. */
TEST(adaboost, rows_of_weight_zero_are_as_if_absent)
{
    ml_dataset *data = levels_data(NULL, 1500, 4, 3, true), *kept;
    double *w = malloc(1500 * sizeof *w);
    size_t *rows = malloc(1500 * sizeof *rows), n = 0;
    ml_model *all, *some;

    ml__dataset_read_weights(data, w);
    for (size_t i = 0; i < 1500; i++)
        if (w[i] > 0)
            rows[n++] = i;
    CHECK(n < 1400);
    CHECK_OK(ml_dataset_subset(data, rows, n, &kept));
    for (int depth = 1; depth < 5; depth += 3) {
        all = boosted_trees(data, depth == 1 ? "1" : "4", "20", "9");
        some = boosted_trees(kept, depth == 1 ? "1" : "4", "20", "9");
        toy_same_models(all, some);
        ml_model_free(all);
        ml_model_free(some);
    }
    free(w);
    free(rows);
    ml_dataset_free(data);
    ml_dataset_free(kept);
}

/* Fewer codes than values: close to exact stumps, and no threshold that is not between two values. */
TEST(adaboost, few_bins_are_nearly_as_good)
{
    ml_dataset *all = test_table(NULL, "breast_cancer"), *train, *test;
    ml_model *model;

    toy_split(all, &train, &test);
    model = toy_fitted(NULL, "adaboost", train, TOY_SETTINGS("max_bins", "16"));
    CHECK(ml_model_member_count(model) == 50);
    CHECK(toy_score(model, train) > 0.98);
    CHECK(toy_score(model, test) > 0.93);
    ml_model_free(model);
    ml_dataset_free(train);
    ml_dataset_free(test);
    ml_dataset_free(all);
}

/* Large learning rates send the sum of weights beyond its limit again and again: all are divided, and the tables made anew. */
TEST(adaboost, weights_that_grow_fast_are_divided)
{
    ml_dataset *data = levels_data(NULL, 2000, 4, 2, false);
    ml_model *coded, *ranked;

    for (int fast = 0; fast < 2; fast++) {
        const char *const settings[] = {
            "learning_rate", fast ? "12" : "3", "n_estimators", "8", "max_bins", "255", NULL};
        const char *const ranks[] = {"learning_rate", fast ? "12" : "3", "n_estimators", "8", "max_bins", "0", NULL};
        coded = toy_fitted(NULL, "adaboost", data, settings);
        ranked = toy_fitted(NULL, "adaboost", data, ranks);
        CHECK(ml_model_member_count(coded) == ml_model_member_count(ranked));
        for (size_t t = 0; t < ml_model_member_count(coded); t++)
            CHECK_CLOSE(((const double *)toy_tensor(coded, "estimator_errors").data)[t],
                        ((const double *)toy_tensor(ranked, "estimator_errors").data)[t], 1e-8);
        ml_model_free(coded);
        ml_model_free(ranked);
    }
    ml_dataset_free(data);
}

/* Votes of stumps are counted feature by feature: the same bits as member by member. */
static void check_votes_of_stumps(const char *algorithm)
{
    ml_dataset *data = levels_data(NULL, 900, 4, 3, false);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "80", "algorithm", algorithm));
    const size_t n = 900, K = 3, T = ml_model_member_count(model);
    double *decision = malloc(n * K * sizeof *decision), *staged = malloc(T * n * K * sizeof *staged);
    double *row = malloc(K * sizeof *row), *x = malloc(n * 4 * sizeof *x);

    CHECK(T == 80);
    CHECK_OK(ml_model_decision(model, data, decision, n * K));
    CHECK_OK(ml_model_staged_predict(model, data, ML_DECISION, staged, T * n * K));
    CHECK_SAME_BYTES(decision, n * K * sizeof *decision, staged + (T - 1) * n * K, n * K * sizeof *decision);
    CHECK_OK(ml__dataset_read(data, 0, n, ML_FLOAT64, x));
    for (size_t i = 0; i < n; i += 7) {
        CHECK_OK(ml_model_predict_row(model, ML_DECISION, x + i * 4, 4, row, K, NULL, 0));
        CHECK_SAME_BYTES(row, K * sizeof *row, decision + i * K, K * sizeof *row);
    }
    free(decision);
    free(staged);
    free(row);
    free(x);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, votes_of_stumps_are_exact_sums)
{
    check_votes_of_stumps("samme");
    check_votes_of_stumps("samme_r");
}

/* Enough rows for work to be shared. */
static void *fit_levels(ml_context *context, const void *depth, size_t *n_bytes)
{
    const int max_depth = *(const int *)depth;
    ml_model *model = test_model(context, "adaboost",
                                 SETTINGS("n_estimators=5", max_depth == 4 ? "algorithm=samme_r" : "algorithm=samme"));
    ml_model *tree = toy_model(context, "decision_tree");

    CHECK_OK(ml_model_set_int(tree, "max_depth", max_depth));
    CHECK_OK(ml_model_add_member(model, "tree", tree));
    return test_fitted_bytes(model, levels_data(context, 20000, 20, 4, true), n_bytes);
}

TEST(adaboost, coded_trees_are_the_same_bytes_for_any_number_of_threads)
{
    for (int depth = 1; depth < 8; depth += 3)
        test_any_threads("coded trees", fit_levels, &depth);
}

/* ---- after each round ---- */

/* Stage t is a model of t rounds, and the last one is the model. */
static void check_stages(const ml_dataset *data, const char *base, int32_t what)
{
    ml_model *model = toy_model(NULL, "adaboost");
    const size_t n = ml_dataset_n_rows(data);
    const double tolerance =
        strcmp(base, "samme_r") ? 1e-14 : 1e-12; /* units of its votes are larger and depend on T */
    size_t width, T;
    double *staged, *single;

    if (!strcmp(base, "samme_r")) {
        CHECK_OK(ml_model_set_text(model, "algorithm", base));
        base = "decision_tree";
    }
    CHECK_OK(ml_model_add_member(model, "base", toy_model(NULL, base)));
    if (!strcmp(base, "decision_tree"))
        CHECK_OK(ml_model_set_int(model, "base__max_depth", 2));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 9));
    CHECK(ml_model_stage_count(model) == 0);
    CHECK_OK(ml_model_fit(model, data, NULL));
    width = ml_model_width(model, what);
    T = ml_model_stage_count(model);
    CHECK(T == ml_model_member_count(model) && T > 3);
    staged = malloc(T * n * width * sizeof *staged);
    single = malloc(n * width * sizeof *single);
    CHECK_FAILS(ml_model_staged_predict(model, data, what, staged, n * width), ML_E_SHAPE, "each and stage");
    CHECK_OK(ml_model_staged_predict(model, data, what, staged, T * n * width));
    for (size_t t = T; t >= 1; t--) {
        CHECK_OK(ml_model_set_int(model, "n_estimators", (int64_t)t));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_OK(ml__model_apply(model, what, data, single, n * width));
        for (size_t i = 0; i < n * width; i++)
            CHECK_CLOSE(staged[(t - 1) * n * width + i], single[i], t == T ? 0 : tolerance);
    }
    free(staged);
    free(single);
    ml_model_free(model);
}

TEST(adaboost, stages_are_smaller_models)
{
    ml_dataset *labels = levels_data(NULL, 400, 3, 3, true), *reals = toy_data(NULL, false);

    check_stages(labels, "decision_tree", ML_PREDICT);
    check_stages(labels, "decision_tree", ML_PREDICT_PROBA);
    check_stages(labels, "decision_tree", ML_DECISION);
    check_stages(labels, "logistic_regression", ML_DECISION);
    check_stages(labels, "samme_r", ML_DECISION);
    check_stages(labels, "samme_r", ML_PREDICT_PROBA);
    check_stages(labels, "samme_r", ML_PREDICT);
    check_stages(reals, "decision_tree", ML_PREDICT);
    check_stages(reals, "linear_regression", ML_PREDICT);
    ml_dataset_free(labels);
    ml_dataset_free(reals);
}

/* A first round whose weight is nothing next to that of the perfect second one. */
TEST(adaboost, a_stage_of_little_weight_is_finite)
{
    ml_dataset *data = levels_data(NULL, 200, 3, 3, true);
    ml_model *model = toy_fitted(NULL, "adaboost", data, TOY_SETTINGS("n_estimators", "2"));
    double *staged = malloc(2 * 200 * 3 * sizeof *staged);

    ((double *)ml__learned_find(model->learned, "estimator_weights")->data)[0] = 1e-30;
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    CHECK_OK(ml_model_staged_predict(model, data, ML_DECISION, staged, 2 * 200 * 3));
    for (size_t i = 0; i < 200; i++)
        CHECK(staged[3 * i] + staged[3 * i + 1] + staged[3 * i + 2] == 1);
    free(staged);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(adaboost, stages_of_other_models_are_refused)
{
    ml_dataset *data = toy_data(NULL, true);
    ml_model *tree = toy_fitted(NULL, "decision_tree", data, NULL), *blank = toy_model(NULL, "adaboost");
    double out[TOY_ROWS];

    CHECK(ml_model_stage_count(tree) == 0 && ml_model_stage_count(NULL) == 0);
    CHECK_FAILS(ml_model_staged_predict(tree, data, ML_PREDICT, out, TOY_ROWS), ML_E_UNSUPPORTED,
                "decision_tree does not learn in stages");
    CHECK_FAILS(ml_model_staged_predict(blank, data, ML_PREDICT, out, TOY_ROWS), ML_E_STATE, "not fitted");
    CHECK_FAILS(ml_model_staged_predict(NULL, data, ML_PREDICT, out, TOY_ROWS), ML_E_ARGUMENT, "model is NULL");
    ml_model_free(tree);
    ml_model_free(blank);
    ml_dataset_free(data);
}
