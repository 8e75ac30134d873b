/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The best split of a node: for each feature its rows are sorted by code and every gap between different codes is tried.
 *
 * Ties go to the feature searched first, then to missing values on the right, then to the lowest threshold. A single tree
 * that looks at all features searches them by number. A forest draws an order in every node, as scikit-learn does: always
 * the lowest feature would make the small nodes of its trees alike, which costs accuracy where many splits tie (Boston:
 * R2 .918 instead of .922).
 *
 * A split that gains nothing is still made when it is the best there is (scikit-learn's rule): below it there may be one
 * that gains, as in exclusive or.
 *
 * Missing     where rows of the node lack the feature, each gap is tried with them on either side, and so is the split of
 *             them from all others. Where none does, what is missing later goes with the larger part of the rows
 * Categories  of a node are put in an order and only the cuts of that order are tried. By the share of the second of two
 *             classes or by the mean target the best cut is the best of all sets, for impurities and for the deviance
 *             (Fisher 1958, "On grouping for maximum homogeneity"; Breiman et al., theorem 4.5); for medians and by the
 *             share of the node's largest class it is a good one. Several outputs give an order each. Categories that
 *             the node lacks go where missing values go
 * Random      thresholds (Geurts, Ernst & Wehenkel 2006): of each feature one cut is tried, drawn between the least and largest
 *             value that the node has, or anywhere in a drawn order of its categories; where values are missing, with
 *             them on either side, and the split of them from all others as well
 * Monotone    a split is allowed if the values of its sides are in the order that the feature asks for and within the
 *             bounds that the splits above set (see grow.c)
 */
#include <float.h>
#include <stdatomic.h>
#include <string.h>

#include "learn/tree/tree.h"

enum { LEAST_CELLS = 1 << 12 }; /* rows times features of a node that is searched together: some tens of microseconds */

float ml__threshold_between(float a, float b)
{
    const double middle = (double)a / 2 + (double)b / 2; /* cannot overflow */
    const float rounded = (float)middle;

    return (double)rounded > middle ? nextafterf(rounded, -INFINITY) : rounded;
}

/* ---- one feature ---- */

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

/* May the rows be parted as they are now? Where they may, the bound between the sides is written down. */
static bool is_monotone(const ml__splitter *s, size_t j, double *middle)
{
    const double left = ml__criterion_side_value(s->criterion, true);
    const double right = ml__criterion_side_value(s->criterion, false);

    *middle = left / 2 + right / 2;
    return (s->data->monotonic[j] <= 0 || left <= right) && (s->data->monotonic[j] >= 0 || left >= right) &&
           left >= s->lower && left <= s->upper && right >= s->lower && right <= s->upper;
}

/* The left side where there is one output, gini or squared error and no constraint: the commonest trees, which are grown
 * a third faster when its sums do not go through memory. */
typedef struct {
    bool labels, reals; /* neither: ask the criterion */
    int64_t W, q;
    int64_t *c;
} plain_sums;

static plain_sums plain_left(const ml__splitter *s)
{
    const bool may = s->data->n_outputs == 1 && !s->data->monotonic;

    return (plain_sums){.labels = may && s->data->criterion == ML__GINI,
                        .reals = may && s->data->criterion == ML__SQUARED_ERROR,
                        .c = s->criterion->left.c};
}

static inline void move_left(ml__splitter *s, plain_sums *left, uint32_t row)
{
    if (left->labels) {
        left->W += s->criterion->W[row];
        left->c[s->data->y[row]] += s->criterion->W[row];
    } else if (left->reals) {
        left->W += s->criterion->W[row];
        left->q += s->criterion->q[row];
    } else
        ml__criterion_move_left(s->criterion, row);
}

static inline double gain_of(const ml__splitter *s, const plain_sums *left)
{
    const ml__sums *all = &s->criterion->all;
    const double W = (double)all->W[0], l = (double)left->W, r = (double)(all->W[0] - left->W);

    if (left->labels)
        return ml__gini_gain(s->data->K, all->c, left->c, W, l, r);
    if (left->reals)
        return ml__squared_error_gain(all->q[0], left->q, W, l, r);
    return ml__criterion_gain(s->criterion);
}

static bool weighs_enough(const ml__splitter *s, int64_t W_left)
{
    return (double)W_left >= s->least_weight && (double)(s->W_node - W_left) >= s->least_weight;
}

/* Try every gap between the first `present` of m keys, which are sorted; the others have no value and go together. */
static void sweep(ml__splitter *s, size_t j, size_t m, size_t present, bool missing_left, ml__split *best)
{
    const size_t least = s->data->min_samples_leaf, d = s->data->d;
    const bool weighs = s->least_weight > 0;
    const size_t end = present < m && !missing_left ? present : present - 1; /* is a side without missing ones left? */
    const bool is_set = s->data->n_categories && s->data->n_categories[j];
    const uint64_t *keys = s->keys;
    plain_sums left = plain_left(s);
    int64_t W_left = 0;
    size_t n_left = 0;

    ml__criterion_clear_left(s->criterion);
    for (size_t p = present; p < m && missing_left; p++, n_left++) {
        move_left(s, &left, (uint32_t)keys[p]);
        W_left += weighs ? s->W[(uint32_t)keys[p]] : 0;
    }
    for (size_t p = 0; p < end; p++) {
        const float *x = s->data->X + j;
        const size_t row = (uint32_t)keys[p], next = (uint32_t)keys[p + 1];
        double gain, middle = 0;

        move_left(s, &left, (uint32_t)row);
        n_left++;
        if (weighs)
            W_left += s->W[row];
        if (keys[p] >> 32 == keys[p + 1] >> 32 || n_left < least || m - n_left < least ||
            (weighs && !weighs_enough(s, W_left)))
            continue;
        gain = gain_of(s, &left);
        if (gain > best->gain && (!s->data->monotonic || is_monotone(s, j, &middle)))
            *best = (ml__split){.gain = gain,
                                .feature = (uint32_t)j,
                                .code = (uint32_t)(keys[p] >> 32),
                                .missing_left = missing_left || (present == m && n_left > m - n_left),
                                .threshold = is_set             ? 0
                                             : p + 1 == present ? FLT_MAX
                                                                : ml__threshold_between(x[row * d], x[next * d]),
                                .is_set = is_set,
                                .middle = middle};
    }
}

static void search_gaps(ml__splitter *s, size_t j, size_t m, size_t present, ml__split *best)
{
    sweep(s, j, m, present, false, best);
    if (present < m)
        sweep(s, j, m, present, true, best);
}

/* ---- random thresholds ---- */

float ml__draw_threshold(float a, float b, uint64_t random)
{
    const double share = (double)(random >> 11) * 0x1p-53;
    const float threshold = (float)(a + share * ((double)b - a));

    return threshold >= b ? a : threshold < a ? a : threshold;
}

/* The first `present` keys, those up to the threshold in front with code 0, the others with code 1. Returns the largest
 * code that goes left. */
static uint32_t cut_keys(ml__splitter *s, size_t j, size_t present, float threshold)
{
    const float *x = s->data->X + j;
    size_t n_left = 0, n_right = 0;
    uint32_t code = 0;

    for (size_t p = 0; p < present; p++) {
        const uint64_t key = s->keys[p];

        if (x[(size_t)(uint32_t)key * s->data->d] <= threshold) {
            code = key >> 32 > code ? (uint32_t)(key >> 32) : code;
            s->keys[n_left++] = (uint32_t)key;
        } else
            s->other[n_right++] = (uint64_t)1 << 32 | (uint32_t)key;
    }
    memcpy(s->keys + n_left, s->other, n_right * sizeof *s->keys);
    return code;
}

/* Keys of rows without the feature behind the others; returns how many have it. */
static size_t part_missing(ml__splitter *s, size_t j, size_t m)
{
    size_t present = 0, n_missing = 0;

    for (size_t p = 0; p < m; p++)
        if (s->keys[p] >> 32 == s->data->codes.missing[j])
            s->other[n_missing++] = s->keys[p];
        else
            s->keys[present++] = s->keys[p];
    memcpy(s->keys + present, s->other, n_missing * sizeof *s->keys);
    return present;
}

static void search_threshold(ml__splitter *s, size_t j, size_t m, uint64_t random, ml__split *best)
{
    const float *x = s->data->X + j;
    const size_t d = s->data->d, present = part_missing(s, j, m);
    const double before = best->gain;
    uint64_t lowest = s->keys[0], highest = s->keys[0];
    float threshold = FLT_MAX;
    uint32_t code;

    for (size_t p = 1; p < present; p++) {
        lowest = s->keys[p] >> 32 < lowest >> 32 ? s->keys[p] : lowest;
        highest = s->keys[p] >> 32 > highest >> 32 ? s->keys[p] : highest;
    }
    if (lowest >> 32 != highest >> 32)
        threshold = ml__draw_threshold(x[(uint32_t)lowest * d], x[(uint32_t)highest * d], random);
    code = cut_keys(s, j, present, threshold);
    search_gaps(s, j, m, present, best);
    if (best->gain > before && best->threshold < FLT_MAX) {
        best->threshold = threshold;
        best->code = code;
    } else if (best->gain > before)
        best->code = (uint32_t)(highest >> 32);
}

/* ---- categories ---- */

/* Where the keys of each category begin; returns how many there are. */
static size_t find_categories(ml__splitter *s, size_t present)
{
    size_t n = 0;

    for (size_t p = 0; p < present; p++)
        if (!p || s->by_code[p] >> 32 != s->by_code[p - 1] >> 32)
            s->begin[n++] = (uint32_t)p;
    s->begin[n] = (uint32_t)present;
    return n;
}

/* Keys by the score of their category, which becomes their code. */
static void sort_categories(ml__splitter *s, size_t n)
{
    size_t at = 0;

    ml__order_reals(s->score, n, s->order, s->order_keys, s->order_other);
    for (size_t k = 0; k < n; k++)
        for (size_t p = s->begin[s->order[k]]; p < s->begin[s->order[k] + 1]; p++)
            s->keys[at++] = (uint64_t)k << 32 | (uint32_t)s->by_code[p];
}

static void order_categories(ml__splitter *s, size_t o, size_t n)
{
    for (size_t k = 0; k < n; k++)
        s->score[k] = ml__criterion_score(s->criterion, o, s->by_code + s->begin[k], s->begin[k + 1] - s->begin[k]);
    sort_categories(s, n);
}

/* The set of the best split, which was found among the keys as they are. */
static void write_set(ml__splitter *s, size_t n, const ml__split *best)
{
    const size_t j = best->feature;
    const uint32_t n_categories = s->data->n_categories[j];

    memset(s->set, 0, ml__set_words(n_categories) * sizeof *s->set);
    for (uint32_t c = 0; c < n_categories && best->missing_left; c++)
        s->set[c / 32] |= (uint32_t)1 << c % 32;
    for (size_t k = 0; k < n; k++) {
        const size_t row = (uint32_t)s->by_code[s->begin[s->order[k]]];
        const uint32_t c = (uint32_t)s->data->X[row * s->data->d + j], bit = (uint32_t)1 << c % 32;

        s->set[c / 32] = k <= best->code ? s->set[c / 32] | bit : s->set[c / 32] & ~bit;
    }
}

static void search_sets(ml__splitter *s, size_t j, size_t m, size_t present, ml__split *best)
{
    size_t n;

    memcpy(s->by_code, s->keys, m * sizeof *s->keys);
    n = find_categories(s, present);
    for (size_t o = 0; o < s->data->n_outputs; o++) {
        const double before = best->gain;

        order_categories(s, o, n);
        search_gaps(s, j, m, present, best);
        if (best->gain > before)
            write_set(s, n, best);
    }
}

/* One cut of the categories in a drawn order. */
static void search_drawn_set(ml__splitter *s, size_t j, size_t m, size_t present, uint64_t random, ml__split *best)
{
    const double before = best->gain;
    uint64_t last;
    size_t n;

    memcpy(s->by_code, s->keys, m * sizeof *s->keys);
    n = find_categories(s, present);
    for (size_t k = 0; k < n; k++)
        s->score[k] = (double)(ml__random_at(random, k + 1) >> 11);
    sort_categories(s, n);
    last = n > 1 ? (ml__random_at(random, 0) >> 32) * (n - 1) >> 32 : 0;
    for (size_t p = 0; p < present; p++)
        s->keys[p] = (s->keys[p] >> 32 > last ? (uint64_t)1 << 32 : 0) | (uint32_t)s->keys[p];
    search_gaps(s, j, m, present, best);
    if (best->gain > before) {
        best->code = best->code ? (uint32_t)n : (uint32_t)last; /* 1: all of them, missing values right */
        write_set(s, n, best);
    }
}

ml_status ml__splitter_create(ml__arena *arena, const ml__tree_data *data, ml__criterion *criterion, const int64_t *W,
                              size_t m, ml__splitter *s)
{
    uint32_t most = 0;
    ml_status st = ML_OK;

    *s = (ml__splitter){.data = data, .criterion = criterion, .W = W};
    ML__NEW(arena, s->keys, m);
    ML__NEW(arena, s->other, m);
    ML__NEW(arena, s->features, data->d);
    ML__NEW(arena, s->swapped, data->d);
    for (size_t j = 0; j < data->d; j++) {
        s->features[j] = (uint32_t)j;
        if (data->n_categories && data->n_categories[j] > most)
            most = data->n_categories[j];
    }
    if (!most)
        return ML_OK;
    ML__NEW(arena, s->by_code, m);
    ML__NEW(arena, s->begin, m + 1);
    ML__NEW(arena, s->order, m);
    ML__NEW(arena, s->score, m);
    ML__NEW(arena, s->order_keys, m);
    ML__NEW(arena, s->order_other, m);
    ML__NEW(arena, s->set, ml__set_words(most));
done:
    return st;
}

/* ---- all features ---- */

/* False when the feature is constant here. */
static bool search_feature(ml__splitter *s, size_t j, const uint32_t *rows, size_t m, uint64_t random, ml__split *best)
{
    const bool is_set = s->data->n_categories && s->data->n_categories[j];
    size_t present = m;

    if (!gather(s, j, rows, m))
        return false;
    if (s->data->random_thresholds && !is_set) {
        search_threshold(s, j, m, random, best);
        return true;
    }
    ml__sort_keys(s->keys, s->other, m, s->data->codes.n_bits[j]);
    while (s->keys[present - 1] >> 32 == s->data->codes.missing[j])
        present--;
    if (is_set && s->data->random_thresholds)
        search_drawn_set(s, j, m, present, random, best);
    else if (is_set)
        search_sets(s, j, m, present, best);
    else
        search_gaps(s, j, m, present, best);
    return true;
}

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

/* ---- together ---- */

/* A node whose first `n_features` features, in the order that was drawn, are searched by whoever comes first. */
typedef struct {
    const ml__splitter *s;
    const uint32_t *rows;
    size_t m, n_features;
    uint64_t key;
    atomic_size_t next;
} search_job;

static uint64_t random_of(const ml__splitter *s, uint64_t key, size_t j)
{
    return s->data->random_thresholds ? ml__random_at(key, s->data->d + j) : 0;
}

static ml_status search_share(void *argument, size_t worker)
{
    search_job *job = argument;
    const ml__splitter *s = job->s;
    ml__splitter *helper = s->helpers[worker];
    size_t n_useful = 0;

    helper->found = (ml__split){.gain = -1};
    ml__criterion_follow(helper->criterion, s->criterion);
    helper->lower = s->lower;
    helper->upper = s->upper;
    helper->W_node = s->W_node;
    helper->least_weight = s->least_weight;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->n_features;) {
        const size_t j = s->features[i];
        const double before = helper->found.gain;

        n_useful += search_feature(helper, j, job->rows, job->m, random_of(s, job->key, j), &helper->found);
        if (helper->found.gain > before)
            helper->place = i;
    }
    helper->n_useful = n_useful;
    return ML_OK;
}

/* As one would find it: of equal gains that of the first feature. n_useful: features that are not constant. */
static ml_status search_together(ml__splitter *s, const uint32_t *rows, size_t m, uint64_t key, size_t n_features,
                                 size_t *n_useful, ml__split *best)
{
    search_job job = {.s = s, .rows = rows, .m = m, .n_features = n_features, .key = key};
    const ml__splitter *winner = NULL;
    ml_status st;

    atomic_init(&job.next, 0);
    ML__TRY(ml__parallel_for(s->context, s->n_helpers, search_share, &job));
    for (size_t w = 0; w < s->n_helpers; w++) {
        const ml__splitter *helper = s->helpers[w];
        const double gain = helper->found.gain;

        *n_useful += helper->n_useful;
        if (gain >= 0 &&
            (!winner || gain > winner->found.gain || (gain == winner->found.gain && helper->place < winner->place)))
            winner = helper;
    }
    if (!winner)
        return ML_OK;
    *best = winner->found;
    if (best->is_set)
        memcpy(s->set, winner->set, ml__set_words(s->data->n_categories[best->feature]) * sizeof *s->set);
done:
    return st;
}

ml_status ml__best_split(ml__splitter *s, const uint32_t *rows, size_t m, uint64_t key, ml__split *best)
{
    const size_t d = s->data->d, wanted = s->data->max_features;
    const bool draws = s->data->draw_features;
    size_t n_seen = 0, n_useful = 0;
    ml_status st = ML_OK;

    *best = (ml__split){.gain = -1};
    if (s->n_helpers && (double)m * (double)wanted >= LEAST_CELLS) {
        for (; n_seen < wanted && draws; n_seen++)
            (void)ml__draw_feature(s->features, s->swapped, d, n_seen, key);
        n_seen = wanted;
        st = search_together(s, rows, m, key, wanted, &n_useful, best);
    }
    for (; n_seen < d && (n_seen < wanted || !n_useful); n_seen++) {
        const size_t j = draws ? ml__draw_feature(s->features, s->swapped, d, n_seen, key) : n_seen;
        n_useful += search_feature(s, j, rows, m, random_of(s, key, j), best);
    }
    if (draws)
        ml__undo_draws(s->features, s->swapped, n_seen);
    return st;
}
