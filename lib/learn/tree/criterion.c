/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a split is worth and what a node predicts.
 *
 * With W the weight of the node, l and r of its sides, c_k, l_k, r_k of class k in them, and S, S_l, S_r sums of weighted
 * targets, the impurity that a split removes, times W, is
 *
 *     gini            sum_k (l_k r - r_k l)^2 / (l r W)
 *     entropy         sum_k l_k log2(l_k W / (l c_k)) + r_k log2(r_k W / (r c_k))
 *     squared error   (S_l r - S_r l)^2 / (l r W)
 *     poisson         S_l ln(S_l W / (l S)) + S_r ln(S_r W / (r S))          half the deviance
 *     absolute error  E - E_l - E_r      with E the sum of weighted distances from the median
 *
 * which are W I(node) - l I(left) - r I(right) (Breiman, Friedman, Olshen & Stone 1984, chapters 4 and 8) rearranged so
 * that little cancels and that exchanging the sides does not change a bit. All sums are whole numbers, so the gain of a
 * partition does not depend on the feature or the order of rows that led to it, and ties are real ties.
 *
 * Outputs      the gain is the mean of the outputs' gains. friedman_mse squares the mean of their roots with signs,
 *              (S_l r - S_r l) / sqrt(l r W) (Friedman 2001, "Greedy function approximation", eq. 35); of one output it
 *              is the squared error. W, l and r of an output are of the rows that have it; where no row of a side has
 *              it, it gains nothing
 * Targets      in each node q_i = W_i u_i 2^9 rounded, where u_i = (t_i - centre) / 2^exponent is in [-1, 1] and centre
 *              is halfway between the node's least and largest target: their size, offset and outliers in other nodes
 *              cost no digits. All sums of W and q are exact. Poisson needs S itself, so its centre is 0
 * Poisson      a side whose targets are all 0 is not split off: its deviance would be infinite
 * Medians      are found in a Fenwick tree (1994, "A new data structure for cumulative frequency tables") over the ranks
 *              of the node's targets: O(log m) for a row that goes left and for a median of a side. Where half of the
 *              weight lies below a gap the median is its middle
 */
#include <string.h>

#include "learn/tree/tree.h"

enum { TARGET_BITS = 9 }; /* with the 52 of weights, sums of q stay within 2^61 */

/* Of one output; number r of a table holds the sums over the ranks that Fenwick's number r + 1 does. */
typedef struct mass {
    int64_t W, q;
} mass;

struct ml__ranks {
    uint32_t *rank;         /* [n] of the rows of the node */
    size_t n, top;          /* different targets; the largest power of two that is not above n */
    double *t;              /* [m] ascending targets */
    mass *all, *left;       /* [m] */
    uint64_t *keys, *other; /* [m] workspace */
    double error;           /* E of the node */
};

enum side { LEFT, RIGHT, BOTH };

/* ---- medians ---- */

static void add_mass(mass *table, size_t n, size_t rank, int64_t W, int64_t q)
{
    for (size_t r = rank; r < n; r |= r + 1) {
        table[r].W += W;
        table[r].q += q;
    }
}

static mass mass_of(const ml__ranks *ranks, enum side side, size_t r)
{
    const mass all = ranks->all[r], left = ranks->left[r];

    return side == BOTH ? all : side == LEFT ? left : (mass){all.W - left.W, all.q - left.q};
}

static mass sums_of(const ml__criterion *c, enum side side, size_t o)
{
    const mass all = {c->all.W[o], c->all.q[o]}, left = {c->left.W[o], c->left.q[o]};

    return side == BOTH ? all : side == LEFT ? left : (mass){all.W - left.W, all.q - left.q};
}

/* The rank where twice the weight up to it, itself included, reaches W, or with `upper` exceeds it; `below` is what lies
 * before it. */
static size_t median_rank(const ml__ranks *ranks, enum side side, int64_t W, bool upper, mass *below)
{
    size_t rank = 0;

    *below = (mass){0, 0};
    for (size_t step = ranks->top; step; step >>= 1) {
        const size_t to = rank + step;
        mass sum;

        if (to > ranks->n)
            continue;
        sum = mass_of(ranks, side, to - 1);
        sum.W += below->W;
        sum.q += below->q;
        if (2 * sum.W < W || (upper && 2 * sum.W == W)) {
            rank = to;
            *below = sum;
        }
    }
    return rank;
}

/* u 2^TARGET_BITS */
static double scaled(const ml__criterion *c, size_t o, double t)
{
    return ldexp(t - c->centre[o], TARGET_BITS - c->exponent[o]);
}

/* sum_i W_i |u_i - median| */
static double absolute_error(const ml__criterion *c, enum side side, size_t o)
{
    const ml__ranks *ranks = &c->ranks[o];
    const mass all = sums_of(c, side, o);
    mass below;
    const size_t rank = median_rank(ranks, side, all.W, false, &below);

    return (double)(all.q - 2 * below.q) - scaled(c, o, ranks->t[rank]) * (double)(all.W - 2 * below.W);
}

static double median(const ml__criterion *c, enum side side, size_t o)
{
    const ml__ranks *ranks = &c->ranks[o];
    const int64_t W = sums_of(c, side, o).W;
    mass below;
    const double lower = ranks->t[median_rank(ranks, side, W, false, &below)];
    const double upper = ranks->t[median_rank(ranks, side, W, true, &below)];

    return lower == upper ? lower : lower / 2 + upper / 2;
}

/* Ranks of the node's targets and what weighs on them. */
static void set_ranks(ml__criterion *c, size_t o, const uint32_t *rows, size_t m)
{
    const ml__tree_data *data = c->data;
    const int64_t *W = c->W + o * c->W_stride;
    const uint32_t *of_all = data->rank + o * data->n;
    ml__ranks *ranks = &c->ranks[o];
    size_t n_rows = 0;

    for (size_t p = 0; p < m; p++)
        if (W[rows[p]])
            ranks->keys[n_rows++] = (uint64_t)of_all[rows[p]] << 32 | rows[p];
    ranks->n = 0;
    if (!n_rows)
        return;
    ml__sort_keys(ranks->keys, ranks->other, n_rows, 32);
    for (size_t p = 0; p < n_rows; p++) {
        const uint32_t row = (uint32_t)ranks->keys[p];

        if (!p || ranks->keys[p] >> 32 != ranks->keys[p - 1] >> 32)
            ranks->t[ranks->n++] = data->t[o * data->n + row];
        ranks->rank[row] = (uint32_t)ranks->n - 1;
    }
    for (ranks->top = 1; ranks->top <= ranks->n / 2;)
        ranks->top *= 2;
    memset(ranks->all, 0, ranks->n * sizeof *ranks->all);
    for (size_t p = 0; p < n_rows; p++) {
        const uint32_t row = (uint32_t)ranks->keys[p];
        add_mass(ranks->all, ranks->n, ranks->rank[row], W[row], c->q[o * data->n + row]);
    }
    ranks->error = absolute_error(c, BOTH, o);
}

void ml__criterion_rank_left(ml__criterion *c, uint32_t row)
{
    const size_t n = c->data->n;

    for (size_t o = 0; o < c->data->n_outputs; o++) {
        ml__ranks *ranks = &c->ranks[o];
        const int64_t W = c->W[o * c->W_stride + row];

        if (W)
            add_mass(ranks->left, ranks->n, ranks->rank[row], W, c->q[o * n + row]);
    }
}

/* ---- a tree ---- */

/* Weights for each output, 0 where a row does not have it. */
static ml_status weigh_outputs(ml__arena *arena, const ml__tree_data *data, const int64_t *W, ml__criterion *c)
{
    int64_t *of_output;
    ml_status st = ML_OK;

    c->W = W;
    c->W_stride = 0;
    if (!data->has)
        return ML_OK;
    ML__NEW(arena, of_output, data->n_outputs * data->n);
    for (size_t o = 0; o < data->n_outputs; o++)
        for (size_t i = 0; i < data->n; i++)
            of_output[o * data->n + i] = data->has[o * data->n + i] ? W[i] : 0;
    c->W = of_output;
    c->W_stride = data->n;
done:
    return st;
}

static ml_status create_ranks(ml__arena *arena, const ml__tree_data *data, size_t m, const ml__ranks *beside,
                              ml__criterion *c)
{
    uint64_t *keys, *other;
    ml_status st = ML_OK;

    ML__NEW(arena, c->ranks, data->n_outputs);
    ML__NEW(arena, keys, m);
    ML__NEW(arena, other, m);
    for (size_t o = 0; o < data->n_outputs; o++) {
        ml__ranks *ranks = &c->ranks[o];

        ranks->keys = keys;
        ranks->other = other;
        if (beside)
            ranks->rank = beside[o].rank;
        else
            ML__NEW(arena, ranks->rank, data->n);
        ML__NEW(arena, ranks->t, m);
        ML__NEW(arena, ranks->all, m);
        ML__NEW(arena, ranks->left, m);
    }
done:
    return st;
}

static ml_status create_sums(ml__arena *arena, const ml__tree_data *data, ml__sums *sums)
{
    ml_status st = ML_OK;

    ML__NEW(arena, sums->W, data->n_outputs);
    if (data->classify)
        ML__NEW(arena, sums->c, data->K);
    else
        ML__NEW(arena, sums->q, data->n_outputs);
done:
    return st;
}

ml_status ml__criterion_create(ml__arena *arena, const ml__tree_data *data, const int64_t *W, size_t m,
                               const ml__criterion *beside, ml__criterion *c)
{
    const size_t n_outputs = data->n_outputs;
    ml_status st = ML_OK;

    *c = (ml__criterion){.data = data};
    if (beside) { /* what is kept for each row */
        c->W = beside->W;
        c->W_stride = beside->W_stride;
        c->q = beside->q;
    } else
        ML__TRY(weigh_outputs(arena, data, W, c));
    ML__TRY(create_sums(arena, data, &c->all));
    ML__TRY(create_sums(arena, data, &c->left));
    if (data->classify)
        return ML_OK;
    if (!beside)
        ML__NEW(arena, c->q, n_outputs * data->n);
    ML__NEW(arena, c->centre, n_outputs);
    ML__NEW(arena, c->least, n_outputs);
    ML__NEW(arena, c->largest, n_outputs);
    ML__NEW(arena, c->exponent, n_outputs);
    if (data->criterion == ML__ABSOLUTE_ERROR)
        ML__TRY(create_ranks(arena, data, m, beside ? beside->ranks : NULL, c));
done:
    return st;
}

ml_status ml__criterion_create_follower(ml__arena *arena, const ml__tree_data *data, size_t m, ml__criterion *c)
{
    ml_status st;

    *c = (ml__criterion){.data = data};
    ML__TRY(create_sums(arena, data, &c->left));
    if (data->criterion != ML__ABSOLUTE_ERROR)
        return ML_OK;
    ML__NEW(arena, c->ranks, data->n_outputs);
    for (size_t o = 0; o < data->n_outputs; o++)
        ML__NEW(arena, c->ranks[o].left, m);
done:
    return st;
}

void ml__criterion_follow(ml__criterion *c, const ml__criterion *leader)
{
    const ml__sums left = c->left;
    ml__ranks *ranks = c->ranks;

    *c = *leader;
    c->left = left;
    c->ranks = ranks;
    for (size_t o = 0; ranks && o < c->data->n_outputs; o++) {
        mass *left_of_ranks = ranks[o].left;

        ranks[o] = leader->ranks[o];
        ranks[o].left = left_of_ranks;
    }
}

/* ---- a node ---- */

void ml__criterion_clear_left(ml__criterion *c)
{
    const ml__tree_data *data = c->data;

    memset(c->left.W, 0, data->n_outputs * sizeof *c->left.W);
    if (data->classify)
        memset(c->left.c, 0, data->K * sizeof *c->left.c);
    else
        memset(c->left.q, 0, data->n_outputs * sizeof *c->left.q);
    for (size_t o = 0; c->ranks && o < data->n_outputs; o++)
        memset(c->ranks[o].left, 0, c->ranks[o].n * sizeof *c->ranks[o].left);
}

/* Sums of one output; true when it does not vary. */
static bool sum_classes(ml__criterion *c, size_t o, const uint32_t *rows, size_t m)
{
    const ml__tree_data *data = c->data;
    const int64_t *W = c->W + o * c->W_stride;
    const int32_t *y = data->y + o * data->n;

    memset(c->all.c + data->first[o], 0, (data->first[o + 1] - data->first[o]) * sizeof *c->all.c);
    for (size_t p = 0; p < m; p++) {
        c->all.W[o] += W[rows[p]];
        c->all.c[y[rows[p]]] += W[rows[p]];
    }
    for (size_t k = data->first[o]; k < data->first[o + 1]; k++)
        if (c->all.c[k] == c->all.W[o])
            return true;
    return false;
}

static void set_scale(ml__criterion *c, size_t o, const uint32_t *rows, size_t m)
{
    const int64_t *W = c->W + o * c->W_stride;
    const double *t = c->data->t + o * c->data->n;
    double least = INFINITY, largest = -INFINITY;

    for (size_t p = 0; p < m; p++)
        if (W[rows[p]]) {
            least = fmin(least, t[rows[p]]);
            largest = fmax(largest, t[rows[p]]);
        }
    if (least > largest)
        least = largest = 0; /* no row has it */
    c->least[o] = least;
    c->largest[o] = largest;
    c->centre[o] = c->data->criterion == ML__POISSON ? 0 : least / 2 + largest / 2;
    (void)frexp(c->data->criterion == ML__POISSON ? largest : largest / 2 - least / 2, &c->exponent[o]);
}

static bool sum_targets(ml__criterion *c, size_t o, const uint32_t *rows, size_t m)
{
    const int64_t *W = c->W + o * c->W_stride;
    const double *t = c->data->t + o * c->data->n;
    int64_t *q = c->q + o * c->data->n;

    set_scale(c, o, rows, m);
    c->all.q[o] = 0;
    for (size_t p = 0; p < m; p++) {
        const uint32_t i = rows[p];

        q[i] = W[i] ? llrint((double)W[i] * scaled(c, o, t[i])) : 0;
        c->all.W[o] += W[i];
        c->all.q[o] += q[i];
    }
    if (c->ranks)
        set_ranks(c, o, rows, m);
    return c->least[o] == c->largest[o];
}

bool ml__criterion_set(ml__criterion *c, const uint32_t *rows, size_t m)
{
    const ml__tree_data *data = c->data;
    bool same = true;

    c->common_exponent = INT32_MIN;
    for (size_t o = 0; o < data->n_outputs; o++) {
        bool constant;

        c->all.W[o] = 0;
        constant = data->classify ? sum_classes(c, o, rows, m) : sum_targets(c, o, rows, m);
        same &= constant;
        if (!data->classify && !constant && c->exponent[o] > c->common_exponent)
            c->common_exponent = c->exponent[o];
    }
    if (c->common_exponent == INT32_MIN)
        c->common_exponent = 0;
    ml__criterion_clear_left(c);
    return same;
}

/* ---- gains ---- */

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

static double signed_root_gain(int64_t S, int64_t S_l, double W, double l, double r)
{
    return ((double)S_l * r - (double)(S - S_l) * l) / sqrt(l * r * W);
}

static double poisson_gain(int64_t S, int64_t S_l, double W, double l, double r)
{
    static const double LN_2 = 0.69314718055994530942;
    double sum;

    if (!S)
        return 0;
    if (!S_l || S_l == S)
        return -1;
    sum = LN_2 * (information((double)S_l, l, (double)S, W) + information((double)(S - S_l), r, (double)S, W));
    return sum > 0 ? sum : 0;
}

static double absolute_error_gain(const ml__criterion *c, size_t o)
{
    const double gain = c->ranks[o].error - (absolute_error(c, LEFT, o) + absolute_error(c, RIGHT, o));

    return gain > 0 ? gain : 0;
}

/* Of output o, in units of its own. */
static double output_gain(const ml__criterion *c, size_t o)
{
    const ml__tree_data *data = c->data;
    const double W = (double)c->all.W[o], l = (double)c->left.W[o], r = (double)(c->all.W[o] - c->left.W[o]);
    const size_t first = data->classify ? data->first[o] : 0;

    if (l == 0 || r == 0)
        return 0;
    switch (data->criterion) {
    case ML__GINI:
        return ml__gini_gain(data->first[o + 1] - first, c->all.c + first, c->left.c + first, W, l, r);
    case ML__ENTROPY:
        return entropy_gain(data->first[o + 1] - first, c->all.c + first, c->left.c + first, W, l, r);
    case ML__FRIEDMAN_MSE:
        return signed_root_gain(c->all.q[o], c->left.q[o], W, l, r);
    case ML__ABSOLUTE_ERROR:
        return absolute_error_gain(c, o);
    case ML__POISSON:
        return poisson_gain(c->all.q[o], c->left.q[o], W, l, r);
    default:
        return ml__squared_error_gain(c->all.q[o], c->left.q[o], W, l, r);
    }
}

/* Gains grow with this power of the targets' unit. */
static int power(const ml__tree_data *data)
{
    return data->criterion == ML__SQUARED_ERROR || data->criterion == ML__FRIEDMAN_MSE ? 2 : 1;
}

int ml__criterion_unit(const ml__criterion *c)
{
    return c->data->classify ? 0 : power(c->data) * (c->common_exponent - TARGET_BITS);
}

double ml__criterion_gain(const ml__criterion *c)
{
    const size_t n_outputs = c->data->n_outputs;
    const bool roots = c->data->criterion == ML__FRIEDMAN_MSE;
    double mean = 0;

    if (n_outputs == 1)
        return output_gain(c, 0);
    for (size_t o = 0; o < n_outputs; o++) {
        const double gain = output_gain(c, o);

        if (gain < 0 && !roots)
            return -1;
        if (c->data->classify)
            mean += gain;
        else
            mean += ldexp(gain, (roots ? 1 : power(c->data)) * (c->exponent[o] - c->common_exponent));
    }
    mean /= (double)n_outputs;
    return roots ? mean * mean : mean;
}

/* ---- values ---- */

static double centre_of(const ml__criterion *c, size_t o)
{
    if (c->least[o] == c->largest[o])
        return c->least[o];
    if (c->ranks)
        return median(c, BOTH, o);
    return c->centre[o] + ldexp((double)c->all.q[o] / (double)c->all.W[o], c->exponent[o] - TARGET_BITS);
}

void ml__criterion_value(const ml__criterion *c, const double *inherited, double *value)
{
    const ml__tree_data *data = c->data;

    for (size_t o = 0; o < data->n_outputs; o++) {
        const size_t first = data->classify ? data->first[o] : o, end = data->classify ? data->first[o + 1] : o + 1;

        for (size_t k = first; k < end; k++)
            if (!c->all.W[o])
                value[k] = inherited[k];
            else
                value[k] = data->classify ? (double)c->all.c[k] / (double)c->all.W[o] : centre_of(c, o);
    }
}

double ml__criterion_side_value(const ml__criterion *c, bool left)
{
    const mass side = c->data->classify ? (mass){0, 0} : sums_of(c, left ? LEFT : RIGHT, 0);

    if (c->data->classify)
        return left ? (double)c->left.c[c->data->K - 1] / (double)c->left.W[0]
                    : (double)(c->all.c[c->data->K - 1] - c->left.c[c->data->K - 1]) /
                          (double)(c->all.W[0] - c->left.W[0]);
    if (c->ranks)
        return median(c, left ? LEFT : RIGHT, 0);
    return c->centre[0] + ldexp((double)side.q / (double)side.W, c->exponent[0] - TARGET_BITS);
}

double ml__criterion_score(const ml__criterion *c, size_t o, const uint64_t *keys, size_t n)
{
    const ml__tree_data *data = c->data;
    const int64_t *W = c->W + o * c->W_stride, *all = c->all.c;
    const size_t first = data->classify ? data->first[o] : 0, end = data->classify ? data->first[o + 1] : 0;
    int64_t weight = 0, sum = 0;
    size_t largest = first;

    for (size_t k = first; k < end; k++)
        if (end - first == 2 ? k > first : all[k] > all[largest])
            largest = k;
    for (size_t p = 0; p < n; p++) {
        const uint32_t row = (uint32_t)keys[p];

        weight += W[row];
        if (!data->classify)
            sum += c->q[o * data->n + row];
        else if ((size_t)data->y[o * data->n + row] == largest)
            sum += W[row];
    }
    return weight ? (double)sum / (double)weight : 0;
}

/* ---- impurity ---- */

static double class_impurity(const ml__criterion *c, size_t o)
{
    const bool gini = c->data->criterion == ML__GINI;
    double impurity = gini;

    for (size_t k = c->data->first[o]; k < c->data->first[o + 1]; k++) {
        const double share = (double)c->all.c[k] / (double)c->all.W[o];

        if (gini)
            impurity -= share * share;
        else if (share > 0)
            impurity -= share * log2(share);
    }
    return impurity;
}

/* Of a target t whose node has this mean or median. */
static double loss(int64_t criterion, double t, double centre)
{
    switch (criterion) {
    case ML__ABSOLUTE_ERROR:
        return fabs(t - centre);
    case ML__POISSON: /* t - centre is left out: it sums to 0 */
        return t > 0 ? t * log(t / centre) : 0;
    default:
        return (t - centre) * (t - centre);
    }
}

static int target_exponent(const ml__tree_data *data)
{
    int exponent;

    (void)frexp(data->largest_target, &exponent);
    return exponent;
}

/* Of targets divided by 2^target_exponent(). */
static double target_impurity(const ml__criterion *c, size_t o, const uint32_t *rows, size_t m)
{
    const int64_t *W = c->W + o * c->W_stride;
    const double *t = c->data->t + o * c->data->n;
    const int exponent = target_exponent(c->data);
    const double centre = ldexp(centre_of(c, o), -exponent);
    double sum = 0;

    for (size_t p = 0; p < m; p++)
        if (W[rows[p]])
            sum += (double)W[rows[p]] * loss(c->data->criterion, ldexp(t[rows[p]], -exponent), centre);
    return sum / (double)c->all.W[o];
}

int ml__risk_unit(const ml__tree_data *data)
{
    return data->classify ? 0 : power(data) * target_exponent(data);
}

double ml__criterion_risk(const ml__criterion *c, const uint32_t *rows, size_t m, double W_tree)
{
    const size_t n_outputs = c->data->n_outputs;
    double sum = 0;

    for (size_t o = 0; o < n_outputs; o++)
        if (c->all.W[o])
            sum += (c->data->classify ? class_impurity(c, o) : target_impurity(c, o, rows, m)) *
                   ((double)c->all.W[o] / W_tree);
    return sum / (double)n_outputs;
}
