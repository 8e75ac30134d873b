/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boosting of trees on byte codes that are made once (learn/tree/bins.c).
 *
 * Weights     integers: at first the sample weights, scaled by a power of two such that they sum to 2^51 to 2^52, at least
 *             1. A round multiplies those of wrong rows and leaves the others; only when the sum would pass 2^60 are all
 *             divided, by a power of two, back to 2^52. All sums of weights are exact, so their order does not matter
 * Tables      for each feature the weight of each class at each code, of all rows. They live as long as the fit: a round
 *             adds what the weights of its wrong rows gained, and makes them anew when all weights changed
 * Root        its split comes from the tables. Of a stump everything else does too; a deeper tree goes on in levels.c
 * Gain        of gini, ties to the lowest feature, then the lowest code
 * SAMME.R     gives every row a new weight: their sum is brought to 2^51 to 2^52 and the tables are made anew each round
 * Rows        of weight 0 have no part in it
 */
#include "learn/boost/coded.h"

#include <float.h>
#include <string.h>

enum {
    PIECE_ROWS = 8192, /* codes and gains of a piece stay in the first cache */
    MAX_ROWS = 1 << 26,
    MAX_TABLE_BYTES = 1 << 28, /* of all features */
    SUM_BITS = 52              /* of the weights at first */
};
static const double LARGEST_SUM = 0x1p60, SMALLEST_SUM = 0x1p-900; /* what brings it to 2^52 is finite */

/* Are all parameters of the tree as they are by default, but for depth and seed? Gini is what "auto" means for labels. */
static ml_status check_plain(const ml_model *tree, bool *plain)
{
    *plain = true;
    for (const ml__param *p = tree->kind->params; p->name && *plain; p++) {
        const bool may_differ = !strcmp(p->name, "max_depth") || !strcmp(p->name, "random_state");
        char value[32];
        ml_status st;

        if (may_differ)
            continue;
        st = ml_model_get_text(tree, p->name, value, sizeof value, NULL);
        if (st != ML_OK && st != ML_E_SHAPE)
            return st;
        *plain = st == ML_OK &&
                 (!strcmp(value, p->default_value) || (!strcmp(p->name, "criterion") && !strcmp(value, "gini")));
    }
    return ML_OK;
}

ml_status ml__coded_serves(const ml__fit *f, const ml_model *tree, size_t max_bins, bool *serves)
{
    const size_t n_codes = f->n < max_bins ? f->n : max_bins;
    const double table_bytes = 8.0 * (double)f->d * (double)f->K * (double)ml__coded_stride(n_codes);
    size_t row, feature;
    bool is_missing;
    ml_status st = ML_OK;

    *serves = max_bins >= 2 && f->K && f->K <= ML__MAX_CODES && f->n <= MAX_ROWS && table_bytes <= MAX_TABLE_BYTES;
    for (size_t j = 0; j < f->d; j++)
        *serves = *serves && !f->schema->features[j].n_categories;
    if (!*serves)
        return ML_OK;
    ML__TRY(ml__dataset_find_missing(f->data, &is_missing, &row, &feature));
    *serves = !is_missing;
    if (*serves)
        ML__TRY(check_plain(tree, serves));
done:
    return st;
}

/* ---- rows ---- */

/* The rows of positive weight, of which `part` is a view when they are not all. */
static ml_status choose_rows(ml__fit *f, const double *w, ml__tree_data *data, const double **kept, ml_dataset **part)
{
    const int32_t *y = ml__fit_labels(f, 0);
    int32_t *label;
    double *weight;
    size_t *rows, n = 0;
    ml_status st = y ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    *data = (ml__tree_data){.n = f->n, .d = f->d, .K = f->K, .classify = true, .y = y};
    *kept = w;
    ML__NEW(f->scratch, rows, f->n);
    for (size_t i = 0; i < f->n; i++)
        if (w[i] > 0)
            rows[n++] = i;
    if (n == f->n)
        goto done;
    ML__NEW(f->scratch, label, n);
    ML__NEW(f->scratch, weight, n);
    for (size_t p = 0; p < n; p++) {
        label[p] = y[rows[p]];
        weight[p] = w[rows[p]];
    }
    data->n = n;
    data->y = label;
    *kept = weight;
    ML__TRY(ml_dataset_subset(f->data, rows, n, part));
done:
    return st;
}

/* ---- pieces ---- */

static ml_status make_pieces(ml__coded *c, ml__arena *arena)
{
    const size_t most = c->n / PIECE_ROWS + c->K, n_words = c->n / 64 + most;
    uint64_t *words, *delta;
    ml_status st = ML_OK;

    ML__NEW(arena, c->pieces, most);
    ML__NEW(arena, words, n_words);
    ML__NEW(arena, delta, c->n);
    for (size_t begin = 0, end; begin < c->n; begin = end) {
        const uint8_t k = c->bins.label[begin];

        for (end = begin + 1; end < c->n && end - begin < PIECE_ROWS && c->bins.label[end] == k;)
            end++;
        c->pieces[c->n_pieces++] =
            (ml__piece){.begin = begin, .n = end - begin, .k = k, .chosen = words, .delta = delta + begin};
        words += (end - begin + 63) / 64;
    }
done:
    return st;
}

/* ---- weights ---- */

/* The class weights follow those of the rows. */
static void sum_classes(ml__coded *c)
{
    if (c->all_changed)
        memset(c->class_weight, 0, c->K * sizeof *c->class_weight);
    for (size_t p = 0; p < c->n_pieces; p++)
        c->class_weight[c->pieces[p].k] += c->pieces[p].gained;
    c->W = 0;
    for (size_t k = 0; k < c->K; k++)
        c->W += c->class_weight[k];
}

static uint64_t rounded(double x)
{
    return x < 1 ? 1 : (uint64_t)(int64_t)(x + 0.5);
}

static double power_for(double sum)
{
    int exponent;

    (void)frexp(sum, &exponent);
    return ldexp(1, SUM_BITS - exponent);
}

static void set_weights(ml__coded *c, const double *sample_weight)
{
    double largest = 0, sum = 0, scale;
    int exponent;

    for (size_t i = 0; i < c->n; i++)
        largest = fmax(largest, sample_weight[c->bins.row[i]]);
    (void)frexp(largest, &exponent);
    for (size_t i = 0; i < c->n; i++)
        sum += ldexp(sample_weight[c->bins.row[i]], -exponent);
    scale = power_for(sum);
    for (size_t p = 0; p < c->n_pieces; p++) {
        ml__piece *piece = &c->pieces[p];

        piece->n_changed = piece->n;
        for (size_t i = 0; i < piece->n; i++) {
            const double weight = ldexp(sample_weight[c->bins.row[piece->begin + i]], -exponent);
            c->w[piece->begin + i] = piece->delta[i] = rounded(weight * scale);
            piece->gained += piece->delta[i];
        }
    }
    c->all_changed = true;
    sum_classes(c);
}

/* Give all rows of the piece new weights; the tables are to be made anew, so that all of a weight is gain. */
static void reweight_all(const ml__coded *c, ml__piece *piece)
{
    uint64_t *w = c->w + piece->begin;

    for (size_t i = 0; i < piece->n; i++) {
        const bool is_chosen = piece->chosen[i / 64] >> (i % 64) & 1;
        const double factor = c->row_factor ? c->row_factor[piece->begin + i] : is_chosen ? c->factor : 1;

        w[i] = piece->delta[i] = rounded((double)(int64_t)w[i] * factor * c->scale);
        piece->gained += w[i];
    }
    piece->n_changed = piece->n;
}

static void reweight_chosen(const ml__coded *c, ml__piece *piece)
{
    uint64_t *delta = piece->delta;

    for (size_t word = 0; word < (piece->n + 63) / 64; word++) {
        uint64_t *w = c->w + piece->begin + 64 * word;

        for (uint64_t bits = piece->chosen[word]; bits; bits &= bits - 1) {
            const int i = __builtin_ctzll(bits);
            const uint64_t weight = rounded((double)(int64_t)w[i] * c->factor);
            *delta++ = weight - w[i];
            piece->gained += weight - w[i];
            w[i] = weight;
        }
    }
    piece->n_changed = (size_t)(delta - piece->delta);
}

static ml_status reweight_piece(void *argument, size_t p)
{
    const ml__coded *c = argument;
    ml__piece *piece = &c->pieces[p];

    piece->gained = 0;
    (c->all_changed ? reweight_all : reweight_chosen)(c, piece);
    return ML_OK;
}

ml_status ml__coded_reweight(ml__coded *c, double factor, bool *are_finite)
{
    const double sum =
        c->row_factor ? c->sum_ahead : (double)(int64_t)(c->W - c->wrong) + (double)(int64_t)c->wrong * factor;
    ml_status st = ML_OK;

    *are_finite = isfinite(sum) && sum >= SMALLEST_SUM;
    if (!*are_finite)
        goto done;
    c->factor = factor;
    c->all_changed = c->row_factor || sum > LARGEST_SUM;
    c->scale = c->all_changed ? power_for(sum) : 1;
    ML__TRY(
        ml__parallel_for_cost(c->context, c->n_pieces, 0.5 * (double)c->n / (double)c->n_pieces, reweight_piece, c));
    sum_classes(c);
done:
    return st;
}

/* ---- tables ---- */

/* table[code[i]] += delta[i], eight codes at a time. */
static void add_to_table(size_t n, const uint8_t *code, const uint64_t *delta, uint64_t *table)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint64_t codes;

        memcpy(&codes, code + i, sizeof codes);
        for (int byte = 0; byte < 8; byte++) /* in either order of bytes: sums are exact */
            table[codes >> (8 * byte) & 255] += delta[i + (size_t)byte];
    }
    for (; i < n; i++)
        table[code[i]] += delta[i];
}

/* Bring the table of feature j up to date and find its best cut. */
static ml_status search_feature(void *argument, size_t j)
{
    ml__coded *c = argument;
    const uint8_t *column = c->bins.code + j * c->bins.stride;
    uint64_t *table = c->tables + c->table_at[j];
    uint8_t chosen[PIECE_ROWS + ML__COLUMN_PADDING];

    c->cuts[j] = (ml__tree_cut){.gain = -1};
    if (c->all_changed)
        memset(table, 0, c->K * c->stride[j] * sizeof *table);
    for (size_t p = 0; p < c->n_pieces; p++) {
        const ml__piece *piece = &c->pieces[p];
        const uint8_t *code = column + piece->begin;

        if (piece->n_changed && piece->n_changed < piece->n) {
            (void)c->kernels->tree_choose(piece->n, code, piece->chosen, chosen);
            code = chosen;
        }
        add_to_table(piece->n_changed, code, piece->delta, table + piece->k * c->stride[j]);
    }
    if (c->bins.n_codes[j] > 1)
        c->kernels->tree_cut_table(c->K, c->stride[j], table, c->class_weight, &c->cuts[j]);
    return ML_OK;
}

static ml_status make_tables(ml__coded *c, ml__arena *arena)
{
    size_t n_cells = 0;
    ml_status st = ML_OK;

    ML__NEW(arena, c->table_at, c->d);
    ML__NEW(arena, c->stride, c->d);
    ML__NEW(arena, c->cuts, c->d);
    for (size_t j = 0; j < c->d; j++) {
        c->stride[j] = ml__coded_stride(c->bins.n_codes[j]);
        c->table_at[j] = n_cells;
        n_cells += c->K * c->stride[j];
    }
    ML__NEW(arena, c->tables, n_cells);
done:
    return st;
}

ml_status ml__coded_create(ml__fit *f, const ml__tree_params *base, size_t max_bins, const double *w, double power,
                           ml__coded **out)
{
    ml__tree_data data;
    ml_dataset *part = NULL;
    const double *kept;
    ml__coded *c;
    ml_status st;

    ML__NEW(f->scratch, c, 1);
    ML__TRY(choose_rows(f, w, &data, &kept, &part));
    *c = (ml__coded){.context = f->context, .n = data.n, .d = f->d, .K = f->K};
    c->max_depth = base->max_depth ? (size_t)base->max_depth : ML__TREE_MAX_DEPTH;
    st = ml__bins_make(f->scratch, part ? part : f->data, &data, max_bins, &c->bins);
    ML__TRY(ml__fit_blame_copy(f, st));
    c->kernels = c->bins.kernels;
    c->power = power;
    ML__NEW(f->scratch, c->w, c->n);
    if (power > 0)
        ML__NEW(f->scratch, c->row_factor, c->n);
    ML__NEW(f->scratch, c->class_weight, c->K);
    ML__TRY(make_pieces(c, f->scratch));
    ML__TRY(make_tables(c, f->scratch));
    if (c->max_depth > 1)
        ML__TRY(ml__coded_levels_create(c, f->scratch));
    set_weights(c, kept);
    *out = c;
done:
    ml_dataset_free(part);
    return st;
}

/* ---- trees ---- */

size_t ml__coded_shares(size_t K, const uint64_t *class_weight, double *share)
{
    uint64_t W = 0;

    for (size_t k = 0; k < K; k++)
        W += class_weight[k];
    for (size_t k = 0; k < K; k++)
        share[k] = (double)(int64_t)class_weight[k] / (double)(int64_t)W;
    return ml__arg_max(share, K);
}

double ml__coded_factors(const ml__coded *c, const uint64_t *class_weight, const double *share, double *factor)
{
    double logs = 0, sum = 0;

    for (size_t k = 0; k < c->K; k++)
        logs += factor[k] = log(fmax(share[k], DBL_EPSILON));
    for (size_t k = 0; k < c->K; k++) {
        factor[k] = exp(-c->power * (factor[k] - (logs - factor[k]) / ((double)c->K - 1)));
        if (class_weight[k]) /* the factor of others may be infinite */
            sum += (double)(int64_t)class_weight[k] * factor[k];
    }
    return sum;
}

/* Of SAMME.R: factors of the rows of a stump, or with `right` NULL of a single leaf. */
static void set_factors(ml__coded *c, const uint8_t *column, uint32_t cut, const uint64_t *left, const uint64_t *right,
                        const double *share)
{
    double factor[2][ML__MAX_CODES];

    if (!c->row_factor)
        return;
    c->sum_ahead = ml__coded_factors(c, left, share, factor[0]);
    if (right)
        c->sum_ahead += ml__coded_factors(c, right, share + c->K, factor[1]);
    for (size_t i = 0; i < c->n; i++)
        c->row_factor[i] = factor[right && column[i] > cut][c->bins.label[i]];
}

/* The chosen rows of each piece are those whose code is beyond the cut and whose class is not right_class, and the others if
 * it is not left_class. Returns how many rows go left. */
static size_t choose_wrong(ml__coded *c, const uint8_t *column, uint32_t cut, size_t left_class, size_t right_class)
{
    size_t n_left = 0;

    for (size_t p = 0; p < c->n_pieces; p++) {
        const ml__piece *piece = &c->pieces[p];
        const uint64_t left = piece->k == left_class ? 0 : ~(uint64_t)0,
                       right = piece->k == right_class ? 0 : ~(uint64_t)0;
        uint64_t *chosen = piece->chosen;
        const size_t last = (piece->n - 1) / 64;

        n_left += c->kernels->tree_compare(piece->n, column + piece->begin, cut, chosen);
        for (size_t word = 0; word <= last; word++)
            chosen[word] = (chosen[word] & left) | (~chosen[word] & right);
        if (piece->n % 64)
            chosen[last] &= ((uint64_t)1 << piece->n % 64) - 1;
    }
    return n_left;
}

static ml_status new_tree(const ml__coded *c, ml__arena *arena, size_t n_nodes, size_t n_values, ml__tree *out)
{
    ml_status st = ML_OK;

    out->n_nodes = n_nodes;
    out->n_values = n_values;
    ML__NEW(arena, out->nodes, n_nodes);
    ML__NEW(arena, out->value, n_values * c->K);
    ML__NEW(arena, out->importance, c->d);
done:
    return st;
}

static ml_status grow_leaf(ml__coded *c, ml__arena *arena, ml__tree *out)
{
    size_t k;
    ml_status st;

    ML__TRY(new_tree(c, arena, 1, 1, out));
    out->nodes[0] = (ml__tree_node){.feature = -1};
    k = ml__coded_shares(c->K, c->class_weight, out->value);
    (void)choose_wrong(c, c->bins.code, 0, k, k);
    c->wrong = c->W - c->class_weight[k];
    set_factors(c, c->bins.code, 0, c->class_weight, NULL, out->value);
done:
    return st;
}

static ml_status grow_stump(ml__coded *c, ml__arena *arena, size_t feature, ml__tree_cut cut, ml__tree *out)
{
    const uint64_t *table = c->tables + c->table_at[feature];
    uint64_t left[ML__MAX_CODES] = {0}, right[ML__MAX_CODES];
    size_t left_class, right_class, n_left;
    ml_status st;

    ML__TRY(new_tree(c, arena, 3, 2, out));
    for (size_t k = 0; k < c->K; k++) {
        for (uint32_t code = 0; code <= cut.code; code++)
            left[k] += table[k * c->stride[feature] + code];
        right[k] = c->class_weight[k] - left[k];
    }
    left_class = ml__coded_shares(c->K, left, out->value);
    right_class = ml__coded_shares(c->K, right, out->value + c->K);
    c->wrong = c->W - left[left_class] - right[right_class];
    set_factors(c, c->bins.code + feature * c->bins.stride, cut.code, left, right, out->value);
    n_left = choose_wrong(c, c->bins.code + feature * c->bins.stride, cut.code, left_class, right_class);
    out->nodes[0] = (ml__tree_node){.feature = (int32_t)feature,
                                    .next = 1,
                                    .threshold = ml__bins_threshold(&c->bins, feature, cut.code, cut.code + 1),
                                    .missing_left = n_left > c->n - n_left};
    out->nodes[1] = (ml__tree_node){.feature = -1, .next = 0};
    out->nodes[2] = (ml__tree_node){.feature = -1, .next = 1};
    out->importance[feature] = cut.gain;
done:
    return st;
}

static size_t best_feature(const ml__coded *c)
{
    size_t best = 0;

    for (size_t j = 1; j < c->d; j++)
        if (c->cuts[j].gain > c->cuts[best].gain)
            best = j;
    return best;
}

ml_status ml__coded_grow(ml__coded *c, ml__arena *arena, ml__tree *out, double *error)
{
    const double cells = (double)c->K * (double)c->stride[0], share = c->all_changed ? 1 : 0.5;
    const bool is_pure = c->bins.label[0] == c->bins.label[c->n - 1];
    size_t feature;
    ml_status st = ML_OK;

    ML__TRY(ml__parallel_for_cost(c->context, c->d, 0.5 * cells + share * (double)c->n, search_feature, c));
    feature = best_feature(c);
    if (is_pure || c->cuts[feature].gain < 0)
        ML__TRY(grow_leaf(c, arena, out));
    else if (c->max_depth == 1)
        ML__TRY(grow_stump(c, arena, feature, c->cuts[feature], out));
    else
        ML__TRY(ml__coded_grow_levels(c, arena, feature, c->cuts[feature], out));
    *error = (double)(int64_t)c->wrong / (double)(int64_t)c->W;
done:
    return st;
}
