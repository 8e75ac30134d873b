/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles of a forest's targets: against the definition, and where the rows of leaves go when trees are taken along. */
#include "base/context.h"
#include "learn/tree/tree.h"
#include "tree_toys.h"

/* ---- data ---- */

enum { N_ROWS = 120, N_FEATURES = 3, N_QUANTILES = 9 };

static const double QUANTILES[N_QUANTILES] = {0.9, 0, 0.05, 0.5, 1, 0.1, 0.25, 0.75, 0.95};

typedef struct {
    int n_outputs;
    bool gaps, lacks, weights; /* values missing; targets missing, of the last output; weights, some of them 0 */
} recipe;

static const recipe RECIPES[] = {
    {1, false, false, false}, {1, true, true, false}, {1, false, false, true}, {1, false, true, true},
    {2, false, false, false}, {2, true, true, false}, {2, false, true, true},
};
enum { N_RECIPES = sizeof RECIPES / sizeof *RECIPES };

/* Targets are rounded, so that some are equal. */
static ml_dataset *make_data(ml_context *context, recipe what)
{
    double x[N_ROWS * N_FEATURES], t[2][N_ROWS], w[N_ROWS];
    toy_random r = {23};
    ml_dataset *data;

    for (size_t i = 0; i < N_ROWS; i++) {
        for (size_t j = 0; j < N_FEATURES; j++)
            x[i * N_FEATURES + j] = what.gaps && toy_uniform(&r) < 0.15 ? NAN : floor(50 * toy_uniform(&r)) / 50;
        for (int o = 0; o < 2; o++) {
            const double size = isnan(x[i * N_FEATURES]) ? 0.5 : x[i * N_FEATURES];
            t[o][i] = what.lacks && o == what.n_outputs - 1 && toy_uniform(&r) < 0.3
                          ? NAN
                          : floor(20 * ((o ? -size : 2 * size) + toy_uniform(&r))) / 20;
        }
        w[i] = toy_uniform(&r) < 0.1 ? 0 : 1 + floor(5 * toy_uniform(&r));
    }
    data = toy_matrix(context, x, N_ROWS, N_FEATURES);
    CHECK_OK(ml_dataset_set_targets(data, "a", t[0], N_ROWS));
    if (what.n_outputs == 2)
        CHECK_OK(ml_dataset_add_targets(data, "b", t[1], N_ROWS));
    if (what.weights)
        CHECK_OK(ml_dataset_set_weights(data, w, N_ROWS));
    return data;
}

static double *quantiles_of(const ml_model *model, const ml_dataset *data, size_t *n)
{
    double *out;

    *n = ml_dataset_n_rows(data) * ml_model_n_outputs(model) * N_QUANTILES;
    out = malloc(*n * sizeof *out);
    CHECK_OK(ml_forest_quantiles(model, data, QUANTILES, N_QUANTILES, out, *n));
    return out;
}

static void same_quantiles(const ml_model *a, const ml_model *b, const ml_dataset *data)
{
    size_t n_a, n_b;
    double *of_a = quantiles_of(a, data, &n_a), *of_b = quantiles_of(b, data, &n_b);

    CHECK_SAME_BYTES(of_a, n_a * sizeof *of_a, of_b, n_b * sizeof *of_b);
    free(of_a);
    free(of_b);
}

static void check_same_again(const ml_model *model, const ml_dataset *data)
{
    size_t n_bytes;
    void *bytes = test_saved(model, &n_bytes);
    ml_model *loaded, *clone;

    CHECK_OK(ml_model_load_memory(NULL, bytes, n_bytes, NULL, &loaded));
    CHECK_OK(ml_model_clone(model, &clone));
    toy_same_models(loaded, model);
    same_quantiles(loaded, model, data);
    same_quantiles(clone, model, data);
    free(bytes);
    ml_model_free(loaded);
    ml_model_free(clone);
}

/* ---- the definition ---- */

/* What a fitted model and its training data say: leaves by the public function, draws by the lists. */
typedef struct {
    size_t n, n_trees, n_outputs; /* training rows that count */
    int32_t *leaf;                /* [n x n_trees] */
    double *drawn;                /* [n x n_trees] */
    double *t, *w;                /* [n x n_outputs], [n] */
} fitted;

/* Rows of the fit: with one output those that have it. */
static void read_training(const ml_model *model, const ml_dataset *data, fitted *f)
{
    const double *targets[2] = {NULL, NULL};
    const size_t n_all = ml_dataset_n_rows(data);
    size_t *rows = malloc(n_all * sizeof *rows);
    double *t = malloc(2 * n_all * sizeof *t), *w = malloc(n_all * sizeof *w);
    ml_dataset *part;

    f->n = 0;
    f->n_outputs = ml_model_n_outputs(model);
    f->n_trees = ml_model_tree_count(model);
    for (size_t o = 0; o < f->n_outputs; o++) {
        ml__dataset_read_targets(data, o, t + o * n_all);
        targets[o] = t + o * n_all;
    }
    ml__dataset_read_weights(data, w);
    f->t = malloc(n_all * f->n_outputs * sizeof *f->t);
    f->w = malloc(n_all * sizeof *f->w);
    for (size_t i = 0; i < n_all; i++) {
        if (f->n_outputs == 1 && isnan(targets[0][i]))
            continue;
        for (size_t o = 0; o < f->n_outputs; o++)
            f->t[f->n * f->n_outputs + o] = targets[o][i];
        f->w[f->n] = w[i];
        rows[f->n++] = i;
    }
    CHECK_OK(ml_dataset_subset(data, rows, f->n, &part));
    f->leaf = malloc(f->n * f->n_trees * sizeof *f->leaf);
    CHECK_OK(ml_model_tree_leaves(model, part, f->leaf, f->n * f->n_trees));
    ml_dataset_free(part);
    free(rows);
    free(t);
    free(w);
}

static fitted read_fit(const ml_model *model, const ml_dataset *data)
{
    const ml_tensor size = toy_tensor(model, "trees.leaf_size");
    const int32_t *sizes = size.data, *listed = toy_tensor(model, "trees.leaf_rows").data;
    const int64_t *first = toy_tensor(model, "trees.first_value").data;
    fitted f = {0};
    size_t t = 0;

    read_training(model, data, &f);
    f.drawn = calloc(f.n * f.n_trees, sizeof *f.drawn);
    for (size_t v = 0; v < (size_t)size.shape[0]; v++) {
        while (t + 1 < f.n_trees && (size_t)first[t + 1] == v)
            t++;
        CHECK(sizes[v] > 0);
        for (int32_t k = 0; k < sizes[v]; k++, listed++) {
            CHECK(f.w[*listed] > 0 &&
                  f.leaf[(size_t)*listed * f.n_trees + t] == f.leaf[(size_t)listed[-k] * f.n_trees + t]);
            f.drawn[(size_t)*listed * f.n_trees + t]++;
        }
    }
    return f;
}

static void fitted_free(fitted *f)
{
    free(f->leaf);
    free(f->drawn);
    free(f->t);
    free(f->w);
}

/* Of a row that falls into these leaves; false when nothing is known. */
static bool weigh(const fitted *f, size_t o, const int32_t *leaf, double *weight)
{
    double n_known = 0;

    for (size_t i = 0; i < f->n; i++)
        weight[i] = 0;
    for (size_t t = 0; t < f->n_trees; t++) {
        double sum = 0;

        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < f->n; i++) {
                const double w = f->drawn[i * f->n_trees + t] * f->w[i];

                if (f->leaf[i * f->n_trees + t] != leaf[t] || isnan(f->t[i * f->n_outputs + o]) || !(w > 0))
                    continue;
                if (pass)
                    weight[i] += w / sum;
                else
                    sum += w;
            }
        n_known += sum > 0;
    }
    for (size_t i = 0; i < f->n; i++)
        weight[i] /= n_known;
    return n_known > 0;
}

/* The least target with F >= q, by looking at each. */
static double search(const fitted *f, size_t o, const double *weight, double q)
{
    double best = INFINITY;

    for (size_t i = 0; i < f->n; i++) {
        const double y = f->t[i * f->n_outputs + o];
        double F = 0;

        for (size_t k = 0; k < f->n; k++)
            F += f->t[k * f->n_outputs + o] <= y ? weight[k] : 0;
        if (weight[i] > 0 && F >= q - 1e-10 && y < best)
            best = y;
    }
    return best;
}

static double mean_of(const fitted *f, size_t o, const double *weight)
{
    double mean = 0;

    for (size_t i = 0; i < f->n; i++)
        mean += weight[i] > 0 ? weight[i] * f->t[i * f->n_outputs + o] : 0;
    return mean;
}

/* Every third row of the data is asked. */
static void check_definition(const ml_model *model, const ml_dataset *data, const ml_dataset *asked, bool means)
{
    fitted f = read_fit(model, data);
    const size_t n = ml_dataset_n_rows(asked);
    int32_t *leaf = malloc(n * f.n_trees * sizeof *leaf);
    double *weight = malloc(f.n * sizeof *weight), *predicted = malloc(n * f.n_outputs * sizeof *predicted);
    size_t n_out;
    double *out = quantiles_of(model, asked, &n_out);

    CHECK_OK(ml_model_tree_leaves(model, asked, leaf, n * f.n_trees));
    CHECK_OK(ml_model_predict(model, asked, predicted, n * f.n_outputs));
    for (size_t i = 0; i < n; i += 3)
        for (size_t o = 0; o < f.n_outputs; o++) {
            const bool known = weigh(&f, o, leaf + i * f.n_trees, weight);

            for (size_t q = 0; q < N_QUANTILES; q++) {
                const double got = out[(i * f.n_outputs + o) * N_QUANTILES + q];
                CHECK_MSG(known ? got == search(&f, o, weight, QUANTILES[q]) : isnan(got),
                          "row %zu, output %zu: quantile %g is %g, by the definition %g", i, o, QUANTILES[q], got,
                          search(&f, o, weight, QUANTILES[q]));
            }
            if (means && known)
                CHECK_CLOSE(predicted[i * f.n_outputs + o], mean_of(&f, o, weight), 1e-9);
        }
    free(leaf);
    free(weight);
    free(predicted);
    free(out);
    fitted_free(&f);
}

TEST(quantiles, are_those_of_the_definition)
{
    static const char *const SETTINGS[][10] = {
        {"random_forest"},
        {"random_forest", "max_bins", "0", "min_samples_leaf", "4"},
        {"random_forest", "max_depth", "2", "max_samples", "0.5"},
        {"extra_trees", "min_samples_leaf", "3"},
        {"extra_trees", "max_leaf_nodes", "9", "bootstrap", "true"},
        {"random_forest", "ccp_alpha", "0.003", "max_features", "0.7"},
        {"random_forest", "criterion", "absolute_error", "max_leaf_nodes", "12"},
    };

    for (size_t k = 0; k < N_RECIPES * 7; k++) {
        const char *const *s = SETTINGS[k % 7];
        const recipe what = RECIPES[k / 7];
        ml_dataset *data = make_data(NULL, what), *asked = make_data(NULL, (recipe){what.n_outputs, !what.gaps, 0, 0});
        ml_model *model = toy_model(NULL, s[0]);

        CHECK_OK(ml_model_set_int(model, "n_estimators", 11));
        CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "true"));
        for (s++; *s; s += 2)
            CHECK_OK(ml_model_set_text(model, s[0], s[1]));
        CHECK_OK(ml_model_fit(model, data, NULL));
        /* a leaf that no row with the output is in predicts what is above it, not nothing; medians are no means */
        check_definition(model, data, asked, !(what.n_outputs == 2 && what.lacks) && k % 7 != 6);
        check_same_again(model, asked);
        ml_model_free(model);
        ml_dataset_free(data);
        ml_dataset_free(asked);
    }
}

/* Without samples every row is in every tree once. */
TEST(quantiles, of_trees_that_see_all_rows_count_each_once)
{
    ml_dataset *data = make_data(NULL, RECIPES[0]);
    ml_model *model =
                 toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "5", "keep_leaf_targets", "true")),
             *sampled = toy_fitted(NULL, "random_forest", data,
                                   TOY_SETTINGS("n_estimators", "5", "keep_leaf_targets", "true", "max_samples", "40"));
    fitted f = read_fit(model, data);

    for (size_t at = 0; at < f.n * f.n_trees; at++)
        CHECK(f.drawn[at] == 1);
    CHECK(toy_tensor(sampled, "trees.leaf_rows").shape[0] == 5 * 40);
    fitted_free(&f);
    ml_model_free(model);
    ml_model_free(sampled);
    ml_dataset_free(data);
}

/* One leaf: the quantiles of all targets, 1, 2, …, 10, where each step of F is a tenth and rounds somewhere. */
TEST(quantiles, of_one_leaf_are_those_of_the_sample)
{
    static const double X[10] = {0}, T[10] = {4, 8, 10, 1, 3, 2, 9, 7, 5, 6};
    ml_dataset *data = toy_reals(NULL, X, 10, 1, T);
    static const char *const KINDS[] = {"decision_tree", "extra_trees"};

    for (int k = 0; k < 2; k++) {
        ml_model *model = toy_fitted(NULL, KINDS[k], data, TOY_SETTINGS("keep_leaf_targets", "true"));
        double out[10 * 21], q[21];

        for (int i = 0; i <= 20; i++)
            q[i] = i / 20.;
        CHECK_OK(ml_forest_quantiles(model, data, q, 21, out, 210));
        for (int i = 0; i <= 20; i++)
            CHECK_MSG(out[i] == (i ? (i + 1) / 2 : 1), "quantile %g is %g", q[i], out[i]);
        ml_model_free(model);
    }
    ml_dataset_free(data);
}

/* Weights below what rounding may cost: q = 1 is the largest target with weight all the same, and no other sees it. */
TEST(quantiles, of_one_are_the_largest_target_with_weight)
{
    static const double X[4] = {0}, T[4] = {4, 1, 3, 2}, Q[4] = {1, 0.9999999999, 0, 1}, W[4] = {1e-17, 1, 1, 1};
    ml_dataset *data = toy_reals(NULL, X, 4, 1, T);
    double out[16];
    ml_model *model;

    CHECK_OK(ml_dataset_set_weights(data, W, 4));
    model = toy_fitted(NULL, "decision_tree", data, TOY_SETTINGS("keep_leaf_targets", "true"));
    CHECK_OK(ml_forest_quantiles(model, data, Q, 4, out, 16));
    CHECK(out[0] == 4 && out[1] == 3 && out[2] == 1 && out[3] == 4);
    ml_model_free(model);
    ml_dataset_free(data);
}

TEST(quantiles, ascend_and_end_at_the_support)
{
    ml_dataset *data = make_data(NULL, RECIPES[4]);
    ml_model *model =
        toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("keep_leaf_targets", "true", "min_samples_leaf", "5"));
    double q[101], *out = malloc(N_ROWS * 2 * 101 * sizeof *out), *weight;
    int32_t *leaf = malloc(N_ROWS * 100 * sizeof *leaf);
    fitted f = read_fit(model, data);

    weight = malloc(f.n * sizeof *weight);
    for (int i = 0; i <= 100; i++)
        q[i] = i / 100.;
    CHECK_OK(ml_forest_quantiles(model, data, q, 101, out, N_ROWS * 2 * 101));
    CHECK_OK(ml_model_tree_leaves(model, data, leaf, N_ROWS * 100));
    for (size_t at = 0; at < N_ROWS * 2; at++) {
        double least = INFINITY, largest = -INFINITY;

        for (int i = 0; i < 100; i++)
            CHECK(out[at * 101 + (size_t)i] <= out[at * 101 + (size_t)i + 1]);
        CHECK(weigh(&f, at % 2, leaf + at / 2 * 100, weight));
        for (size_t i = 0; i < f.n; i++)
            if (weight[i] > 0) {
                least = fmin(least, f.t[i * 2 + at % 2]);
                largest = fmax(largest, f.t[i * 2 + at % 2]);
            }
        CHECK(out[at * 101] == least && out[at * 101 + 100] == largest && least < largest);
    }
    fitted_free(&f);
    free(weight);
    free(leaf);
    free(out);
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- out-of-bag estimates of several outputs, by the same lists ---- */

/* Mean over the trees whose sample row i is not in; false when there is none. */
static bool predict_out_of_bag(const fitted *f, const ml_model *model, size_t n_trees, size_t i, double *mean)
{
    double n_out = 0;

    mean[0] = mean[1] = 0;
    for (size_t t = 0; t < n_trees; t++) {
        if (f->drawn[i * f->n_trees + t] > 0)
            continue;
        n_out++;
        for (size_t o = 0; o < 2; o++)
            mean[o] += toy_node(model, t, (size_t)f->leaf[i * f->n_trees + t]).value[o];
    }
    for (size_t o = 0; o < 2; o++)
        mean[o] /= n_out;
    return n_out > 0;
}

static double variance_of(const fitted *f, size_t o, const bool *is_out)
{
    double sum = 0, squares = 0, n = 0;

    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < f->n; i++) {
            const double y = f->t[i * 2 + o];
            if (!is_out[i] || isnan(y))
                continue;
            if (pass)
                squares += (y - sum / n) * (y - sum / n);
            sum += pass ? 0 : y;
            n += pass ? 0 : 1;
        }
    return squares / n;
}

TEST(quantiles, lists_tell_the_out_of_bag_estimates_of_two_outputs)
{
    enum { N_TREES = 21 };

    for (int lacks = 0; lacks < 2; lacks++) {
        ml_dataset *data = make_data(NULL, (recipe){2, true, lacks, false});
        ml_model *model = toy_fitted(NULL, "random_forest", data,
                                     TOY_SETTINGS("keep_leaf_targets", "true", "oob_score", "true", "n_estimators",
                                                  "21", "min_samples_leaf", "2"));
        const ml_tensor curve = toy_tensor(model, "oob_error_curve"), prediction = toy_tensor(model, "oob_prediction");
        fitted f = read_fit(model, data);
        bool is_out[N_ROWS];
        double score = 0;

        CHECK(curve.shape[0] == N_TREES && curve.shape[1] == 2);
        CHECK(prediction.shape[0] == N_ROWS && prediction.shape[1] == 2);
        for (size_t n_trees = 1; n_trees <= N_TREES; n_trees++)
            for (size_t o = 0; o < 2; o++) {
                const double got = ((const double *)curve.data)[2 * n_trees - 2 + o];
                double error = 0, n = 0, mean[2];

                for (size_t i = 0; i < N_ROWS; i++) {
                    is_out[i] = predict_out_of_bag(&f, model, n_trees, i, mean);
                    if (n_trees == N_TREES)
                        CHECK_CLOSE(((const double *)prediction.data)[2 * i + o], mean[o], 1e-12);
                    if (is_out[i] && !isnan(f.t[2 * i + o])) {
                        error += (mean[o] - f.t[2 * i + o]) * (mean[o] - f.t[2 * i + o]);
                        n++;
                    }
                }
                CHECK_CLOSE(got, error / n, 1e-12);
                score += n_trees < N_TREES ? 0 : (1 - got / variance_of(&f, o, is_out)) / 2;
            }
        CHECK_CLOSE(*(const double *)toy_tensor(model, "oob_score").data, score, 1e-12);
        CHECK(score > 0.2 && score < 0.95);
        fitted_free(&f);
        ml_model_free(model);
        ml_dataset_free(data);
    }
}

/* ---- what they are good for ---- */

enum { N_MANY = 2000 };

/* y = 3 x + (0.2 + 2 x) e, e uniform in [-1, 1], and a feature of noise. */
static ml_dataset *make_many(ml_context *context, uint64_t seed)
{
    double *x = malloc(2 * N_MANY * sizeof *x), *t = malloc(N_MANY * sizeof *t);
    toy_random r = {seed};
    ml_dataset *data;

    for (size_t i = 0; i < N_MANY; i++) {
        x[2 * i] = toy_uniform(&r);
        x[2 * i + 1] = toy_uniform(&r);
        t[i] = 3 * x[2 * i] + (0.2 + 2 * x[2 * i]) * (2 * toy_uniform(&r) - 1);
    }
    data = toy_reals(context, x, N_MANY, 2, t);
    free(x);
    free(t);
    return data;
}

/* Nine tenths of new rows lie between the quantiles of .05 and .95, which are as far apart as the noise is wide. */
TEST(quantiles, of_five_and_ninety_five_percent_hold_ninety)
{
    static const char *const KINDS[] = {"random_forest", "extra_trees"};
    static const double ENDS[] = {0.05, 0.95};
    ml_dataset *train = make_many(NULL, 5), *test = make_many(NULL, 6);

    for (int k = 0; k < 2; k++) {
        ml_model *model =
            toy_fitted(NULL, KINDS[k], train, TOY_SETTINGS("keep_leaf_targets", "true", "min_samples_leaf", "20"));
        double *out = malloc(2 * N_MANY * sizeof *out), *t = malloc(N_MANY * sizeof *t), x[2];
        double n_inside = 0, width[2] = {0}, n[2] = {0};

        CHECK_OK(ml_forest_quantiles(model, test, ENDS, 2, out, 2 * N_MANY));
        ml__dataset_read_targets(test, 0, t);
        for (size_t i = 0; i < N_MANY; i++) {
            CHECK_OK(ml_dataset_row(test, i, x, 2));
            n_inside += out[2 * i] <= t[i] && t[i] <= out[2 * i + 1];
            if (x[0] < 0.2 || x[0] > 0.8) {
                width[x[0] > 0.8] += out[2 * i + 1] - out[2 * i];
                n[x[0] > 0.8]++;
            }
        }
        CHECK_MSG(fabs(n_inside / N_MANY - 0.9) < 0.03, "%s: %g inside", KINDS[k], n_inside / N_MANY);
        CHECK_MSG(width[1] / n[1] > 2.5 * width[0] / n[0], "%s: widths %g and %g", KINDS[k], width[0] / n[0],
                  width[1] / n[1]);
        free(out);
        free(t);
        ml_model_free(model);
    }
    ml_dataset_free(train);
    ml_dataset_free(test);
}

/* ---- trees that are taken along ---- */

TEST(quantiles, follow_trees_into_other_forests)
{
    for (size_t k = 0; k < N_RECIPES; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k]);
        ml_model *whole = toy_fitted(NULL, "random_forest", data,
                                     TOY_SETTINGS("n_estimators", "9", "keep_leaf_targets", "true")),
                 *small = toy_fitted(NULL, "random_forest", data,
                                     TOY_SETTINGS("n_estimators", "4", "keep_leaf_targets", "true")),
                 *parts[2], *again, *twice;

        CHECK_OK(ml_forest_select(whole, (const size_t[]){0, 1, 2, 3}, 4, &parts[0]));
        CHECK_OK(ml_forest_select(whole, (const size_t[]){4, 5, 6, 7, 8}, 5, &parts[1]));
        CHECK_OK(ml_forest_merge((const ml_model *const[]){parts[0], parts[1]}, 2, &again));
        CHECK_OK(ml_forest_select(whole, (const size_t[]){7, 2, 7}, 3, &twice));
        toy_same_models(whole, again);
        same_quantiles(parts[0], small, data);
        check_definition(twice, data, data, false);
        ml_model_free(whole);
        ml_model_free(small);
        ml_model_free(parts[0]);
        ml_model_free(parts[1]);
        ml_model_free(again);
        ml_model_free(twice);
        ml_dataset_free(data);
    }
}

/* The leaf that takes the place of a branch has the rows of its leaves; down to one leaf a tree. */
TEST(quantiles, of_pruned_forests_are_those_of_their_leaves)
{
    for (size_t k = 0; k < 4; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k]);
        ml_model *whole =
            toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "9", "keep_leaf_targets", "true"));
        static const size_t MOST[] = {9, 30, 120, 100000};

        for (size_t m = 0; m < 4; m++) {
            ml_model *pruned;

            CHECK_OK(ml_forest_prune(whole, MOST[m], data, NULL, &pruned));
            CHECK(toy_tensor(pruned, "trees.leaf_rows").shape[0] == toy_tensor(whole, "trees.leaf_rows").shape[0]);
            check_definition(pruned, data, data, false);
            check_same_again(pruned, data);
            ml_model_free(pruned);
        }
        ml_model_free(whole);
        ml_dataset_free(data);
    }
}

TEST(quantiles, of_forests_of_other_data_are_not_mixed)
{
    ml_dataset *data = make_data(NULL, RECIPES[0]), *weighted = make_data(NULL, RECIPES[2]), *half;
    const char *const *const settings = TOY_SETTINGS("n_estimators", "3", "keep_leaf_targets", "true");
    size_t rows[N_ROWS / 2];
    ml_model *a, *b, *c, *d, *out;

    for (size_t i = 0; i < N_ROWS / 2; i++)
        rows[i] = i;
    CHECK_OK(ml_dataset_subset(data, rows, N_ROWS / 2, &half));
    a = toy_fitted(NULL, "random_forest", data, settings);
    b = toy_fitted(NULL, "random_forest", half, settings);
    c = toy_fitted(NULL, "random_forest", weighted, settings);
    d = toy_fitted(NULL, "random_forest", data, TOY_SETTINGS("n_estimators", "3"));
    CHECK_FAILS(ml_forest_merge((const ml_model *const[]){a, b}, 2, &out), ML_E_UNSUPPORTED,
                "forest 1: keep_leaf_targets");
    CHECK_FAILS(ml_forest_merge((const ml_model *const[]){a, c}, 2, &out), ML_E_UNSUPPORTED, "other training data");
    CHECK_FAILS(ml_forest_merge((const ml_model *const[]){a, d}, 2, &out), ML_E_UNSUPPORTED,
                "forest 1: keep_leaf_targets");
    CHECK_FAILS(ml_forest_merge((const ml_model *const[]){d, a}, 2, &out), ML_E_UNSUPPORTED,
                "forest 1: keep_leaf_targets");
    ml_model_free(a);
    ml_model_free(b);
    ml_model_free(c);
    ml_model_free(d);
    ml_dataset_free(data);
    ml_dataset_free(weighted);
    ml_dataset_free(half);
}

/* Growing on, also from trees that kept nothing: the forest of a fresh fit, as long as the rows are the same. */
TEST(quantiles, of_a_forest_that_grows_on_are_those_of_a_fresh_one)
{
    static const char *const BINS[] = {"0", "255"};

    for (size_t k = 0; k < 8; k++) {
        ml_dataset *data = make_data(NULL, RECIPES[k % 4]), *other = make_data(NULL, (recipe){1, true, false, false});
        ml_model *model = toy_fitted(NULL, "random_forest", data,
                                     TOY_SETTINGS("n_estimators", "5", "warm_start", "true", "max_bins", BINS[k % 2],
                                                  "keep_leaf_targets", k < 4 ? "true" : "false")),
                 *fresh;

        CHECK_OK(ml_model_set_int(model, "n_estimators", 8));
        CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "true"));
        CHECK_OK(ml_model_clone(model, &fresh));
        CHECK_OK(ml_model_set_text(fresh, "warm_start", "false"));
        CHECK_OK(ml_model_fit(fresh, data, NULL));
        CHECK_OK(ml_model_set_text(fresh, "warm_start", "true"));
        CHECK_FAILS(ml_model_fit(model, other, NULL), ML_E_PARAMETER, "'keep_leaf_targets' needs the 5 trees");
        CHECK_OK(ml_model_fit(model, data, NULL));
        same_quantiles(model, fresh, data);
        CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "false"));
        CHECK_OK(ml_model_fit(model, data, NULL));
        CHECK_FAILS(ml_forest_quantiles(model, data, QUANTILES, 1, NULL, 0), ML_E_ARGUMENT, "out is NULL");
        CHECK_FAILS(ml_forest_quantiles(model, data, QUANTILES, 1, &(double){0}, 1), ML_E_STATE, "'keep_leaf_targets'");
        ml_model_free(model);
        ml_model_free(fresh);
        ml_dataset_free(data);
        ml_dataset_free(other);
    }
}

/* The trees that there are have means by their weights; what is out of their bags does not depend on weights. */
TEST(quantiles, of_a_forest_that_grows_on_need_the_same_weights)
{
    ml_dataset *data = make_data(NULL, RECIPES[0]), *weighted = make_data(NULL, RECIPES[0]);
    ml_model *model = toy_fitted(NULL, "random_forest", data,
                                 TOY_SETTINGS("n_estimators", "5", "warm_start", "true", "max_bins", "0"));
    double w[N_ROWS];

    for (size_t i = 0; i < N_ROWS; i++)
        w[i] = 1 + (double)(i % 3);
    CHECK_OK(ml_dataset_set_weights(weighted, w, N_ROWS));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 8));
    CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "true"));
    CHECK_FAILS(ml_model_fit(model, weighted, NULL), ML_E_PARAMETER, "the same rows, weights, random_state");
    CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "false"));
    CHECK_OK(ml_model_set_text(model, "oob_score", "true"));
    CHECK_OK(ml_model_fit(model, weighted, NULL));
    CHECK_OK(ml_model_set_int(model, "n_estimators", 9));
    CHECK_OK(ml_model_fit(model, weighted, NULL));
    CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "true"));
    CHECK_FAILS(ml_model_fit(model, weighted, NULL), ML_E_PARAMETER, "needs the 9 trees");
    ml_model_free(model);
    ml_dataset_free(data);
    ml_dataset_free(weighted);
}

/* ---- what is refused ---- */

TEST(quantiles, bad_arguments_are_refused)
{
    ml_dataset *data = make_data(NULL, RECIPES[4]), *labels = toy_data(NULL, true),
               *narrow = toy_matrix(NULL, (const double[]){1, 2}, 1, 2);
    ml_model *model =
                 toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "2", "keep_leaf_targets", "true")),
             *plain = toy_fitted(NULL, "extra_trees", data, TOY_SETTINGS("n_estimators", "2")),
             *unfitted = toy_model(NULL, "random_forest"), *line = toy_fitted(NULL, "linear_regression", data, NULL);
    enum { N = N_ROWS * 2 * 3 };
    double out[N], kept = out[0] = 7;
    const double q[] = {0.5, 0.1, 0.2}, high[] = {0.5, 1.01, 0.2}, low[] = {-0.01, 1, 0}, none[] = {0, 0.5, NAN};

    CHECK_FAILS(ml_forest_quantiles(NULL, data, q, 3, out, N), ML_E_ARGUMENT, "model is NULL");
    CHECK_FAILS(ml_forest_quantiles(model, NULL, q, 3, out, N), ML_E_ARGUMENT, "data is NULL");
    CHECK_FAILS(ml_forest_quantiles(model, data, NULL, 3, out, N), ML_E_ARGUMENT, "quantiles is NULL");
    CHECK_FAILS(ml_forest_quantiles(model, data, q, 3, NULL, N), ML_E_ARGUMENT, "out is NULL");
    CHECK_FAILS(ml_forest_quantiles(model, data, q, 0, out, 0), ML_E_ARGUMENT, "no quantiles");
    CHECK_FAILS(ml_forest_quantiles(model, data, high, 3, out, N), ML_E_ARGUMENT, "quantile 1 is 1.01");
    CHECK_FAILS(ml_forest_quantiles(model, data, low, 3, out, N), ML_E_ARGUMENT, "quantile 0 is -0.01");
    CHECK_FAILS(ml_forest_quantiles(model, data, none, 3, out, N), ML_E_ARGUMENT, "quantile 2 is nan");
    CHECK_FAILS(ml_forest_quantiles(model, data, q, 3, out, N - 1), ML_E_SHAPE, "719 elements");
    CHECK_FAILS(ml_forest_quantiles(model, data, q, SIZE_MAX / 2, out, N), ML_E_SHAPE, "out has 720 elements");
    CHECK_FAILS(ml_forest_quantiles(model, narrow, q, 3, out, 6), ML_E_SHAPE, "expected 3");
    CHECK_FAILS(ml_forest_quantiles(plain, data, q, 3, out, N), ML_E_STATE, "without parameter 'keep_leaf_targets'");
    CHECK_FAILS(ml_forest_quantiles(unfitted, data, q, 3, out, N), ML_E_STATE, "not fitted");
    CHECK_FAILS(ml_forest_quantiles(line, data, q, 3, out, N), ML_E_UNSUPPORTED, "linear_regression");
    CHECK(out[0] == kept);
    CHECK_OK(ml_model_set_text(unfitted, "keep_leaf_targets", "true"));
    CHECK_FAILS(ml_model_fit(unfitted, labels, NULL), ML_E_PARAMETER,
                "'keep_leaf_targets' is for reals, output 'class'");
    ml_model_free(model);
    ml_model_free(plain);
    ml_model_free(unfitted);
    ml_model_free(line);
    ml_dataset_free(data);
    ml_dataset_free(labels);
    ml_dataset_free(narrow);
}

static void without(const ml_model *model, const char *name, const char *text)
{
    ml__learned *learned = model->learned;
    ml__named_tensor *tensor = test_tensor(model, name), *last = &learned->tensors[--learned->n_tensors],
                     kept = *tensor;

    *tensor = *last;
    CHECK_REFUSED(model, text);
    *last = *tensor;
    *tensor = kept;
    learned->n_tensors++;
}

TEST(quantiles, damaged_lists_are_refused)
{
    ml_dataset *data = make_data(NULL, RECIPES[2]);
    ml_model *model =
        toy_fitted(NULL, "random_forest", data,
                   TOY_SETTINGS("n_estimators", "3", "keep_leaf_targets", "true", "min_samples_leaf", "6"));
    const int32_t *size = test_tensor(model, "trees.leaf_size")->data,
                  *row = test_tensor(model, "trees.leaf_rows")->data;
    const double *w = test_tensor(model, "trees.weights")->data;
    const size_t n_draws = (size_t)toy_tensor(model, "trees.leaf_rows").shape[0];
    int64_t *first = test_tensor(model, "trees.first_value")->data, second;
    int32_t unused = 0;

    while (w[unused] > 0)
        unused++;
    CHECK_REFUSED_VALUE(model, "trees.leaf_size", 2, 0, "'trees.leaf_size': element 2 is 0, not positive");
    CHECK_REFUSED_VALUE(model, "trees.leaf_size", 2, -5, "not positive");
    CHECK_REFUSED_VALUE(model, "trees.leaf_size", 2, INT32_MAX, "the first 3 leaves have more than the");
    CHECK_REFUSED_VALUE(model, "trees.leaf_size", 2, size[2] - 1, "elements, leaves have");
    CHECK_REFUSED_VALUE(model, "trees.leaf_rows", 1, -1, "element 1 is row -1 of 120");
    CHECK_REFUSED_VALUE(model, "trees.leaf_rows", n_draws - 1, N_ROWS, "is row 120 of 120");
    CHECK_REFUSED_VALUE(model, "trees.leaf_rows", 0, row[size[0] - 1] + 1, "'trees.leaf_rows': element 1 is");
    CHECK_REFUSED_VALUE(model, "trees.leaf_rows", 0, unused, "of weight 0");
    CHECK_REFUSED_VALUE(model, "trees.targets", 4, NAN, "'trees.targets': element 4 is nan");
    CHECK_REFUSED_VALUE(model, "trees.targets", 4, INFINITY, "not finite");
    CHECK_REFUSED_VALUE(model, "trees.weights", 4, -1, "negative");
    CHECK_REFUSED_VALUE(model, "trees.weights", 4, 1.5, "more than 1");
    second = first[1];
    first[1] = 0;
    CHECK_REFUSED(model, "its rows are those of another leaf");
    first[1] = second;
    without(model, "trees.leaf_size", "belong together");
    without(model, "trees.leaf_rows", "belong together");
    without(model, "trees.targets", "belong together");
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    ml_dataset_free(data);
}

/* ---- for all of these ---- */

/* The quantiles, and behind them the forest. */
static void *fit_and_ask(ml_context *context, const void *bins, size_t *n_bytes)
{
    ml_dataset *data = make_many(context, 9);
    ml_model *model = toy_fitted(
        context, "random_forest", data,
        TOY_SETTINGS("keep_leaf_targets", "true", "n_estimators", "20", "max_samples", "0.4", "max_bins", bins));
    size_t n, n_model;
    double *out = quantiles_of(model, data, &n);
    void *saved = test_saved(model, &n_model);

    *n_bytes = n * sizeof *out + n_model;
    out = realloc(out, *n_bytes);
    memcpy(out + n, saved, n_model);
    free(saved);
    ml_model_free(model);
    ml_dataset_free(data);
    return out;
}

TEST(quantiles, any_number_of_threads_gives_the_same_bytes)
{
    test_any_threads("exact", fit_and_ask, "0");
    test_any_threads("binned", fit_and_ask, "255");
}

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
    double *out;
    size_t n;
} asking;

static ml_status ask(ml_context *context, void *argument)
{
    const asking *a = argument;

    (void)context;
    return ml_forest_quantiles(a->model, a->data, QUANTILES, N_QUANTILES, a->out, a->n);
}

TEST(quantiles, every_failing_allocation_is_reported)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 2);
    ml_dataset *data = make_data(context, RECIPES[2]);
    ml_model *model =
        toy_fitted(context, "extra_trees", data, TOY_SETTINGS("n_estimators", "3", "keep_leaf_targets", "true"));
    asking a = {.model = model, .data = data};

    a.out = quantiles_of(model, data, &a.n);
    CHECK(test_failing_allocations(&allocator, context, "quantiles", ask, &a) >= 1);
    free(a.out);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    CHECK(toy_check_memory(1, "extra_trees", false, TOY_SETTINGS("n_estimators", "3", "keep_leaf_targets", "true")) >=
          15);
    CHECK(toy_check_memory(3, "random_forest", false,
                           TOY_SETTINGS("n_estimators", "3", "keep_leaf_targets", "true", "max_bins", "0")) >= 15);
}

/* Under every limit above the peak the forest is whole, below it is a smaller one whose leaves have their rows. */
TEST(quantiles, survive_the_memory_limit)
{
    enum { N_LIMITS = 12 };
    size_t n_peak = 0, n_early = 0;

    for (size_t k = 0; k <= N_LIMITS; k++) { /* the first without limit */
        ml_context_options options = {.struct_size = sizeof options,
                                      .memory_limit = k ? (2 * n_peak + (2 << 20)) * k / N_LIMITS : 0};
        ml_context *context;
        ml_dataset *data;
        ml_model *model;
        ml_status st;

        CHECK_OK(ml_context_create(&options, &context));
        data = make_many(context, 3);
        model = toy_model(context, "random_forest");
        CHECK_OK(ml_model_set_int(model, "n_estimators", 80));
        CHECK_OK(ml_model_set_text(model, "keep_leaf_targets", "true"));
        st = ml_model_fit(model, data, NULL);
        CHECK(st == ML_OK || (st == ML_E_MEMORY && options.memory_limit < n_peak));
        if (st == ML_OK) {
            const size_t n = ml_model_tree_count(model);

            CHECK(n == 80 || k % N_LIMITS);
            CHECK(ml_model_stop_reason(model) == (n < 80 ? ML_STOP_MEMORY : ML_STOP_COMPLETE));
            CHECK(toy_tensor(model, "trees.leaf_rows").shape[0] == n * N_MANY);
            n_early += n < 80;
        }
        if (!k)
            n_peak = (size_t)context->n_bytes_peak;
        ml_model_free(model);
        ml_dataset_free(data);
        ml_context_free(context);
    }
    CHECK_MSG(n_early >= 3, "%zu early ends", n_early);
}
