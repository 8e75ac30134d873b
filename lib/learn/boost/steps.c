/* SPDX-License-Identifier: Apache-2.0 */
/* Votes of stumps as step functions of the features: a row costs the logarithm of the thresholds on a feature at most. */
#include <string.h>

#include "learn/boost/boost.h"
#include "learn/tree/tree.h"

enum { FEW_THRESHOLDS = 32 /* are compared one and all */ };

/* A member as a stump; without a split `right` is NULL. */
typedef struct {
    size_t feature;
    float threshold;
    double *left, *right, *missing; /* [K] votes */
} stump;

/* ---- making them ---- */

static const double *share_of(const ml__trees *trees, size_t node)
{
    const size_t row = (size_t)trees->first_value[0] + ml__tree_node_at(trees, 0, node).next;

    return trees->value + row * trees->K;
}

/* `votes` [2 x K] is where its votes are to be. */
static stump stump_of(const ml__trees *trees, size_t t, ml__leaf_votes leaf_votes, const void *argument, double *votes)
{
    const ml__tree_node root = ml__tree_node_at(trees, 0, 0);
    stump s = {.feature = trees->d, .left = votes};

    if (root.feature < 0) {
        leaf_votes(argument, t, share_of(trees, 0), s.left);
        return s;
    }
    s.feature = (size_t)root.feature;
    s.threshold = root.threshold;
    s.right = votes + trees->K;
    s.missing = root.missing_left ? s.left : s.right;
    leaf_votes(argument, t, share_of(trees, root.next), s.left);
    leaf_votes(argument, t, share_of(trees, root.next + 1), s.right);
    return s;
}

static bool are_stumps(const ml__members *members)
{
    for (size_t t = 0; t < members->n; t++) {
        const ml_model *model = members->items[t].model;
        if (model->kind != &ml__decision_tree || ml__trees_of(model)->offset[1] > 3 ||
            ml__tree_node_at(ml__trees_of(model), 0, 0).is_set)
            return false;
    }
    return true;
}

/* Those without a split come last. */
static int compare_stumps(const void *stumps, size_t a, size_t b)
{
    const stump *x = (const stump *)stumps + a, *y = (const stump *)stumps + b;

    if (x->feature != y->feature)
        return x->feature < y->feature ? -1 : 1;
    return (x->threshold > y->threshold) - (x->threshold < y->threshold);
}

/* Merge sort of numbers of stumps. */
static void sort_stumps(const stump *stumps, size_t *order, size_t *other, size_t n)
{
    const size_t middle = n / 2;
    size_t a = 0, b = middle;

    if (n < 2)
        return;
    sort_stumps(stumps, order, other, middle);
    sort_stumps(stumps, order + middle, other + middle, n - middle);
    for (size_t i = 0; i < n; i++)
        other[i] = b == n || (a < middle && compare_stumps(stumps, order[a], order[b]) <= 0) ? order[a++] : order[b++];
    memcpy(order, other, n * sizeof *order);
}

/* Votes of the n stumps on one feature, in the order of their thresholds. */
static void sum_votes(const stump *stumps, const size_t *order, size_t n, size_t K, double *votes)
{
    double *missing = votes + (n + 1) * K;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < K; k++) {
            votes[k] += stumps[order[i]].left[k];
            missing[k] += stumps[order[i]].missing[k];
        }
    for (size_t i = 0; i < n; i++, votes += K)
        for (size_t k = 0; k < K; k++)
            votes[K + k] = votes[k] + (stumps[order[i]].right[k] - stumps[order[i]].left[k]);
}

/* From stumps in order to one function per feature. */
static ml_status fold(ml__arena *arena, const stump *stumps, const size_t *order, size_t n, ml__steps *s)
{
    size_t *feature, *begin;
    float *threshold;
    double *votes, *always;
    ml_status st = ML_OK;

    ML__NEW(arena, feature, n);
    ML__NEW(arena, begin, n + 1);
    ML__NEW(arena, threshold, n);
    ML__NEW(arena, votes, 3 * n * s->K);
    ML__NEW(arena, always, s->K);
    s->feature = feature;
    s->begin = begin;
    s->threshold = threshold;
    s->votes = votes;
    s->always = always;
    for (size_t i = 0, end; i < n; i = end) {
        const size_t j = stumps[order[i]].feature;

        for (end = i; end < n && stumps[order[end]].feature == j; end++) {
            threshold[end] = stumps[order[end]].threshold;
            for (size_t k = 0; k < s->K && j == s->d; k++)
                always[k] += stumps[order[end]].left[k];
        }
        if (j == s->d)
            break;
        sum_votes(stumps, order + i, end - i, s->K, votes);
        votes += (end - i + 2) * s->K;
        feature[s->n_used++] = j;
        begin[s->n_used] = end;
    }
done:
    return st;
}

ml_status ml__steps_make(ml__arena *arena, const ml__members *members, size_t d, size_t K, ml__leaf_votes leaf_votes,
                         const void *argument, ml__steps **out)
{
    const size_t n = members->n;
    ml__arena workspace;
    stump *stumps;
    size_t *order, *other;
    double *votes;
    ml_status st = ML_OK;

    *out = NULL;
    if (!are_stumps(members))
        return ML_OK;
    ml__arena_init(&workspace, arena->context);
    ML__NEW(&workspace, stumps, n);
    ML__NEW(&workspace, order, n);
    ML__NEW(&workspace, other, n);
    ML__NEW(&workspace, votes, 2 * n * K);
    for (size_t t = 0; t < n; t++) {
        stumps[t] = stump_of(ml__trees_of(members->items[t].model), t, leaf_votes, argument, votes + 2 * t * K);
        order[t] = t;
    }
    sort_stumps(stumps, order, other, n);
    ML__NEW(arena, *out, 1);
    **out = (ml__steps){.d = d, .K = K};
    ML__TRY(fold(arena, stumps, order, n, *out));
done:
    ml__arena_free(&workspace);
    return st;
}

/* ---- reading them ---- */

/* How many of the ascending thresholds are below x. */
static size_t count_below(const float *threshold, size_t n, float x)
{
    size_t low = 0;

    if (n <= FEW_THRESHOLDS) {
        for (size_t i = 0; i < n; i++)
            low += threshold[i] < x;
        return low;
    }
    for (size_t high = n; low < high;) {
        const size_t middle = low + (high - low) / 2;
        if (threshold[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ml__steps_votes(const ml__steps *s, const float *x, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++, x += s->d, out += s->K) {
        const double *votes = s->votes;

        memcpy(out, s->always, s->K * sizeof *out);
        for (size_t u = 0; u < s->n_used; u++) {
            const size_t n_steps = s->begin[u + 1] - s->begin[u];
            const float value = x[s->feature[u]];
            const size_t at = isnan(value) ? n_steps + 1 : count_below(s->threshold + s->begin[u], n_steps, value);

            for (size_t k = 0; k < s->K; k++)
                out[k] += votes[at * s->K + k];
            votes += (n_steps + 2) * s->K;
        }
    }
}
