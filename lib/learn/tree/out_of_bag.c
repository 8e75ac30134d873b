/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out-of-bag estimates (Breiman 1996, "Out-of-bag estimation"; 2001, section 3.1): each row is predicted by the trees whose
 * sample it is not in, as if it were new.
 *
 * Prediction   mean over these trees, in their order; NaN for a row that every tree has seen
 * Error        labels: share of rows whose most probable class is wrong; reals: mean squared error. Over the rows left out so
 *              far, whatever they weigh; after 1, 2, ... T trees, NaN while there is no such row
 * Score        labels: 1 - error, the accuracy; reals: 1 - error / variance, R2, over the same rows
 *
 * Samples are not kept: that of a tree is drawn again from its key. Trees come in batches; for each the samples are drawn in
 * parallel, then rows are walked in parallel. Sums of a block of rows are merged in block order, so threads do not show.
 */
#include "learn/tree/tree.h"

enum {
    BATCH_TREES = 16, /* a byte per row and tree of a batch */
    BLOCK_ROWS = 1024
};

typedef struct {
    double error;
    size_t n_rows;
} tally;

typedef struct {
    const ml__fit *f;
    const ml__tree_data *data;
    const ml__bins *bins;
    const ml__tree *trees;
    size_t n_trees, first, n_batch, n_blocks;
    bool *is_seen;   /* [n_batch x n] */
    uint32_t *n_out; /* [n] trees that have not seen the row */
    double *sum;     /* [n x K] of their values */
    double *error;   /* [n] of the row as predicted so far */
    tally *tallies;  /* [n_blocks x BATCH_TREES] */
} estimate;

/* ---- samples ---- */

static ml_status draw_sample(void *argument, size_t b)
{
    const estimate *e = argument;
    const size_t n = e->data->n;
    const uint64_t key = ml__tree_key(e->f, e->first + b);
    bool *is_seen = e->is_seen + b * n;
    uint8_t *few;
    uint32_t *count;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, e->f->context);
    if (e->bins) {
        ML__NEW(&arena, few, n);
        ml__columns_draw(e->data, key, few);
        for (size_t i = 0; i < n; i++)
            is_seen[e->bins->row[i]] = few[i];
    } else {
        ML__NEW(&arena, count, n);
        ml__tree_draw(e->data, key, count);
        for (size_t i = 0; i < n; i++)
            is_seen[i] = count[i];
    }
done:
    ml__arena_free(&arena);
    return st;
}

/* ---- rows ---- */

static const double *walk(const ml__tree *tree, const float *x, size_t K)
{
    const ml__tree_node *node = tree->nodes;

    while (node->feature >= 0) {
        const float value = x[node->feature];
        const bool right = isnan(value)   ? !node->missing_left
                           : node->is_set ? !ml__in_set(tree->sets + node->set, (uint32_t)value) /* as in the fit */
                                          : value > node->threshold;
        node = tree->nodes + node->next + right;
    }
    return tree->value + node->next * K;
}

static double row_error(const estimate *e, size_t i)
{
    const size_t K = e->data->K;
    double difference;

    if (e->data->classify)
        return ml__arg_max(e->sum + i * K, K) != (size_t)e->data->y[i];
    difference = e->sum[i] / e->n_out[i] - e->data->t[i];
    return difference * difference;
}

static ml_status predict_block(void *argument, size_t block)
{
    const estimate *e = argument;
    const size_t n = e->data->n, d = e->data->d, K = e->data->K, begin = block * BLOCK_ROWS;
    const size_t end = n - begin < BLOCK_ROWS ? n : begin + BLOCK_ROWS;

    for (size_t b = 0; b < e->n_batch; b++) {
        tally all = {0};

        for (size_t i = begin; i < end; i++) {
            if (!e->is_seen[b * n + i]) {
                const double *value = walk(&e->trees[e->first + b], e->data->X + i * d, K);
                for (size_t k = 0; k < K; k++)
                    e->sum[i * K + k] += value[k];
                e->n_out[i]++;
                e->error[i] = row_error(e, i);
            }
            all.error += e->error[i];
            all.n_rows += e->n_out[i] > 0;
        }
        e->tallies[block * BATCH_TREES + b] = all;
    }
    return ML_OK;
}

static ml_status predict_batch(estimate *e, double *curve)
{
    ml_status st;

    ML__TRY(ml__parallel_for(e->f->context, e->n_batch, draw_sample, e));
    ML__TRY(ml__parallel_for(e->f->context, e->n_blocks, predict_block, e));
    for (size_t b = 0; b < e->n_batch; b++) {
        tally all = {0};

        for (size_t block = 0; block < e->n_blocks; block++) {
            all.error += e->tallies[block * BATCH_TREES + b].error;
            all.n_rows += e->tallies[block * BATCH_TREES + b].n_rows;
        }
        curve[e->first + b] = all.n_rows ? all.error / (double)all.n_rows : NAN;
    }
done:
    return st;
}

/* ---- what is published ---- */

/* Of the targets of the rows that were left out. */
static double variance(const estimate *e)
{
    double sum = 0, squares = 0, n = 0;

    for (size_t i = 0; i < e->data->n; i++)
        if (e->n_out[i]) {
            sum += e->data->t[i];
            n++;
        }
    for (size_t i = 0; i < e->data->n; i++)
        if (e->n_out[i])
            squares += (e->data->t[i] - sum / n) * (e->data->t[i] - sum / n);
    return squares / n;
}

static void write_predictions(const estimate *e, double *out)
{
    const size_t n = e->data->n, K = e->data->K;
    size_t n_without = 0;

    for (size_t i = 0; i < n; i++) {
        n_without += !e->n_out[i];
        for (size_t k = 0; k < K; k++)
            out[i * K + k] = e->n_out[i] ? e->sum[i * K + k] / e->n_out[i] : NAN;
    }
    if (n_without)
        ml__log(e->f->context, ML_LOG_WARNING,
                "%s: %zu of %zu rows have no out-of-bag prediction, all %zu trees saw them", e->f->run->path, n_without,
                n, e->n_trees);
}

static ml_status make_estimate(ml__fit *f, estimate *e)
{
    const size_t n = e->data->n;
    ml_status st = ML_OK;

    e->f = f;
    e->n_blocks = (n + BLOCK_ROWS - 1) / BLOCK_ROWS;
    ML__NEW(f->scratch, e->is_seen, BATCH_TREES * n);
    ML__NEW(f->scratch, e->n_out, n);
    ML__NEW(f->scratch, e->sum, n * e->data->K);
    ML__NEW(f->scratch, e->error, n);
    ML__NEW(f->scratch, e->tallies, e->n_blocks * BATCH_TREES);
done:
    return st;
}

ml_status ml__out_of_bag(ml__fit *f, const ml__tree_data *data, const ml__bins *bins, size_t n_trees,
                         const ml__tree *trees)
{
    estimate e = {.data = data, .bins = bins, .trees = trees, .n_trees = n_trees};
    double *curve, *score, *out, error;
    ml_status st;

    ML__TRY(make_estimate(f, &e));
    ML__PUBLISH(f, curve, "oob_error_curve", ML_FLOAT64, n_trees);
    ML__PUBLISH(f, score, "oob_score", ML_FLOAT64, 1);
    if (data->classify)
        ML__PUBLISH(f, out, "oob_decision_function", ML_FLOAT64, data->n, data->K);
    else
        ML__PUBLISH(f, out, "oob_prediction", ML_FLOAT64, data->n);
    for (; e.first < n_trees; e.first += BATCH_TREES) {
        e.n_batch = n_trees - e.first < BATCH_TREES ? n_trees - e.first : BATCH_TREES;
        ML__TRY(predict_batch(&e, curve));
    }
    write_predictions(&e, out);
    error = curve[n_trees - 1];
    *score = data->classify || !(error > 0) ? 1 - error : 1 - error / variance(&e);
done:
    return st;
}
