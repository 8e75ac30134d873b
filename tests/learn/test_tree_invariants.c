/* SPDX-License-Identifier: Apache-2.0 */
/* What must not show in a tree: the units of features, the order of rows, who runs the tasks. */
#include "tree_toys.h"

enum { N_ROWS = 400, N_FEATURES = 5 };

/* Numbers that a float holds also when they are multiplied; no two targets are equal. */
typedef struct {
    double x[N_ROWS * N_FEATURES], t[N_ROWS];
    int64_t y[N_ROWS];
} table;

static void fill(table *a, uint64_t seed)
{
    toy_random r = {seed};

    for (size_t i = 0; i < N_ROWS; i++) {
        for (size_t j = 0; j < N_FEATURES; j++)
            a->x[i * N_FEATURES + j] = floor(2048 * toy_uniform(&r)) / 1024 - 1;
        a->t[i] = a->x[i * N_FEATURES] + 2 * a->x[i * N_FEATURES + 1] * a->x[i * N_FEATURES + 2] + toy_uniform(&r);
        a->y[i] = (int64_t)floor(1.5 * a->t[i]) + 5;
    }
}

static ml_dataset *data_of(const table *a, bool labels)
{
    return labels ? toy_labels(NULL, a->x, N_ROWS, N_FEATURES, a->y) : toy_reals(NULL, a->x, N_ROWS, N_FEATURES, a->t);
}

static table scaled(const table *a, const double *factor)
{
    table b = *a;

    for (size_t at = 0; at < N_ROWS * N_FEATURES; at++)
        b.x[at] *= factor[at % N_FEATURES];
    return b;
}

static table permuted(const table *a)
{
    table b;

    for (size_t i = 0; i < N_ROWS; i++) {
        const size_t from = (7 * i + 3) % N_ROWS;

        memcpy(b.x + i * N_FEATURES, a->x + from * N_FEATURES, N_FEATURES * sizeof *b.x);
        b.t[i] = a->t[from];
        b.y[i] = a->y[from];
    }
    return b;
}

static void check_same_predictions(const ml_model *a, const ml_dataset *of_a, const ml_model *b, const ml_dataset *of_b)
{
    double *p = toy_predictions(a, of_a), *q = toy_predictions(b, of_b);

    CHECK_SAME_BYTES(p, N_ROWS * sizeof *p, q, N_ROWS * sizeof *q);
    free(p);
    free(q);
}

/* ---- units ---- */

static void check_scales(const char *kind, const char *const *settings, const double *factor, bool new_rows)
{
    table a, b, other, other_b;

    fill(&a, 11);
    fill(&other, 12);
    b = scaled(&a, factor);
    other_b = scaled(&other, factor);
    for (int labels = 0; labels < 2; labels++) {
        ml_dataset *plain = data_of(&a, labels), *large = data_of(&b, labels), *test = data_of(&other, labels),
                   *large_test = data_of(&other_b, labels);
        ml_model *of_plain = toy_fitted(NULL, kind, plain, settings),
                 *of_large = toy_fitted(NULL, kind, large, settings);

        CHECK(ml_model_tree_size(of_plain, 0) > 50);
        check_same_predictions(of_plain, plain, of_large, large);
        if (new_rows)
            check_same_predictions(of_plain, test, of_large, large_test);
        ml_model_free(of_plain);
        ml_model_free(of_large);
        ml_dataset_free(plain);
        ml_dataset_free(large);
        ml_dataset_free(test);
        ml_dataset_free(large_test);
    }
}

/* Cuts are multiplied without rounding, drawn ones too. */
TEST(tree_invariants, features_in_units_of_powers_of_two)
{
    static const double FACTOR[N_FEATURES] = {0x1p60, 0x1p-60, 4, 1, 0.5};
    static const char *const BINS[] = {"0", "20", "255"};

    for (size_t k = 0; k < 3; k++) {
        check_scales("decision_tree", TOY_SETTINGS("max_bins", BINS[k]), FACTOR, true);
        check_scales("random_forest", TOY_SETTINGS("max_bins", BINS[k], "n_estimators", "8"), FACTOR, true);
        check_scales("extra_trees", TOY_SETTINGS("max_bins", BINS[k], "n_estimators", "8"), FACTOR, true);
    }
}

/* Cuts lie between the same rows. */
TEST(tree_invariants, features_in_any_units)
{
    static const double FACTOR[N_FEATURES] = {1e-20, 3, 7, 1e12, 0.1};

    check_scales("decision_tree", NULL, FACTOR, false);
    check_scales("random_forest", TOY_SETTINGS("max_bins", "0", "n_estimators", "8"), FACTOR, false);
}

/* ---- order ---- */

static void check_permutation(const char *kind, bool labels, const char *const *settings)
{
    table a, b;
    ml_dataset *straight, *mixed;
    ml_model *of_straight, *of_mixed;

    fill(&a, 13);
    b = permuted(&a);
    straight = data_of(&a, labels);
    mixed = data_of(&b, labels);
    of_straight = toy_fitted(NULL, kind, straight, settings);
    of_mixed = toy_fitted(NULL, kind, mixed, settings);
    toy_same_models(of_straight, of_mixed);
    ml_model_free(of_straight);
    ml_model_free(of_mixed);
    ml_dataset_free(straight);
    ml_dataset_free(mixed);
}

/* Sums are of whole numbers. Trees that see all rows do not know their order; a bag is drawn from rows by number, or, for
 * byte codes, in the order of the targets. */
TEST(tree_invariants, the_order_of_the_rows)
{
    static const char *const BINS[] = {"0", "255"};

    for (int labels = 0; labels < 2; labels++)
        for (size_t k = 0; k < 2; k++) {
            check_permutation("decision_tree", labels, TOY_SETTINGS("max_bins", BINS[k]));
            check_permutation("extra_trees", labels, TOY_SETTINGS("max_bins", BINS[k], "n_estimators", "8"));
            check_permutation("random_forest", labels,
                              TOY_SETTINGS("max_bins", BINS[k], "n_estimators", "8", "bootstrap", "false"));
        }
    check_permutation("random_forest", false, TOY_SETTINGS("n_estimators", "8"));
}
