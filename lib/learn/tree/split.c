/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best split of a node: for each feature its rows are sorted by code and every gap between different codes is tried.
 *
 * With W the weight of the node, l and r of its sides, c_k, l_k, r_k of class k in them, and S a sum of weighted targets,
 * the impurity that a split removes, times W, is
 *
 *     gini            sum_k (l_k r - r_k l)^2 / (l r W)
 *     squared error         (S_l r - S_r l)^2 / (l r W)
 *     entropy         sum_k l_k log2(l_k W / (l c_k)) + r_k log2(r_k W / (r c_k))
 *
 * which are W I(node) - l I(left) - r I(right) (Breiman, Friedman, Olshen & Stone 1984, chapters 4 and 8) rearranged so
 * that little cancels and that exchanging the sides does not change a bit. All sums are whole numbers, so the gain of a
 * partition does not depend on the feature or the order of rows that led to it, and ties are real ties. They go to the
 * feature searched first, then to the lowest threshold. A single tree that looks at all features searches them by
 * number. A forest draws an order in every node, as scikit-learn does: always the lowest feature would make the small
 * nodes of its trees alike, which costs accuracy where many splits tie (Boston: R2 .918 instead of .922).
 *
 * A split that gains nothing is still made when it is the best there is (scikit-learn's rule): below it there may be one
 * that gains, as in exclusive or.
 */
#include <string.h>

#include "learn/tree/tree.h"

float ml__threshold_between(float a, float b)
{
    const double middle = (double)a / 2 + (double)b / 2; /* cannot overflow */
    const float rounded = (float)middle;

    return (double)rounded > middle ? nextafterf(rounded, -INFINITY) : rounded;
}

/* ---- gains ---- */

static double gini_gain(size_t K, const int64_t *c, const int64_t *l_k, double W, double l, double r)
{
    double sum = 0;

    for (size_t k = 0; k < K; k++) {
        const double difference = (double)l_k[k] * r - (double)(c[k] - l_k[k]) * l;
        sum += difference * difference;
    }
    return sum / (l * r * W);
}

/* x log2(x W / (side c)): 0 for x = 0 */
static double information(double x, double side, double c, double W)
{
    return x > 0 ? x * log2(x / side * (W / c)) : 0;
}

static double entropy_gain(size_t K, const int64_t *c, const int64_t *l_k, double W, double l, double r)
{
    double sum = 0;

    for (size_t k = 0; k < K; k++)
        sum +=
            information((double)l_k[k], l, (double)c[k], W) + information((double)(c[k] - l_k[k]), r, (double)c[k], W);
    return sum > 0 ? sum : 0; /* rounding may leave less */
}

static double squared_error_gain(int64_t S, int64_t S_l, double W, double l, double r)
{
    const double difference = (double)S_l * r - (double)(S - S_l) * l;

    return difference * difference / (l * r * W);
}

static double gain_of(const ml__splitter *s, const ml__node_sums *all)
{
    const ml__node_sums *left = &s->left;
    const double W = (double)all->W, l = (double)left->W, r = (double)(all->W - left->W);

    switch (s->data->criterion) {
    case ML__GINI:
        return gini_gain(s->data->K, all->c, left->c, W, l, r);
    case ML__ENTROPY:
        return entropy_gain(s->data->K, all->c, left->c, W, l, r);
    default:
        return squared_error_gain(all->q, left->q, W, l, r);
    }
}

/* ---- one feature ---- */

static void clear(ml__splitter *s)
{
    s->left.W = s->left.q = 0;
    if (s->data->classify)
        memset(s->left.c, 0, s->data->K * sizeof *s->left.c);
}

static void move_to_left(ml__splitter *s, uint32_t row)
{
    s->left.W += s->W[row];
    if (s->data->classify)
        s->left.c[s->data->y[row]] += s->W[row];
    else
        s->left.q += s->q[row];
}

/* Keys of the node's rows, in order of rows; false when the feature is constant here. */
static bool gather(ml__splitter *s, size_t j, const uint32_t *rows, size_t m)
{
    const uint32_t *code = s->data->codes.code + j * s->data->n;
    const uint32_t first = code[rows[0]];
    uint32_t differs = 0;

    if (!s->data->codes.n_bits[j])
        return false;
    for (size_t p = 0; p < m; p++) {
        const uint32_t c = code[rows[p]];
        differs |= c ^ first;
        s->keys[p] = (uint64_t)c << 32 | rows[p];
    }
    return differs;
}

/* Try every gap of feature j; false when the feature is constant here. */
static bool search_feature(ml__splitter *s, size_t j, const uint32_t *rows, size_t m, const ml__node_sums *all,
                           ml__split *best)
{
    const size_t least = s->data->min_samples_leaf, d = s->data->d;
    const uint64_t *keys = s->keys;

    if (!gather(s, j, rows, m))
        return false;
    ml__sort_keys(s->keys, s->other, m, s->data->codes.n_bits[j]);
    clear(s);
    for (size_t p = 0; p + 1 < m; p++) {
        const uint32_t row = (uint32_t)keys[p], next = (uint32_t)keys[p + 1];
        double gain;

        move_to_left(s, row);
        if (keys[p] >> 32 == keys[p + 1] >> 32 || p + 1 < least || m - p - 1 < least)
            continue;
        gain = gain_of(s, all);
        if (gain > best->gain)
            *best = (ml__split){.gain = gain,
                                .feature = (uint32_t)j,
                                .code = (uint32_t)(keys[p] >> 32),
                                .threshold = ml__threshold_between(s->data->X[row * d + j], s->data->X[next * d + j])};
    }
    return true;
}

/* ---- all features ---- */

uint32_t ml__draw_feature(uint32_t *features, uint32_t *swapped, size_t d, size_t i, uint64_t key)
{
    const uint32_t other = (uint32_t)(i + ((ml__random_at(key, i) >> 32) * (uint64_t)(d - i) >> 32));
    const uint32_t feature = features[other];

    features[other] = features[i];
    features[i] = feature;
    swapped[i] = other;
    return feature;
}

void ml__undo_draws(uint32_t *features, const uint32_t *swapped, size_t n_drawn)
{
    while (n_drawn--) {
        const uint32_t other = swapped[n_drawn], feature = features[n_drawn];
        features[n_drawn] = features[other];
        features[other] = feature;
    }
}

ml__split ml__best_split(ml__splitter *s, const uint32_t *rows, size_t m, const ml__node_sums *all, uint64_t key)
{
    const size_t d = s->data->d, wanted = s->data->max_features;
    const bool draws = s->data->draw_features;
    ml__split best = {.gain = -1};
    size_t n_seen, n_useful = 0;

    for (n_seen = 0; n_seen < d && (n_seen < wanted || !n_useful); n_seen++) {
        const size_t j = draws ? ml__draw_feature(s->features, s->swapped, d, n_seen, key) : n_seen;
        n_useful += search_feature(s, j, rows, m, all, &best);
    }
    if (draws)
        ml__undo_draws(s->features, s->swapped, n_seen);
    return best;
}
