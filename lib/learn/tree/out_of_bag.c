/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out-of-bag estimates (Breiman 1996, "Out-of-bag estimation"; 2001, section 3.1): each row is predicted by the trees whose
 * sample it is not in, as if it were new.
 *
 * Prediction   mean over these trees, in their order; NaN for a row that every tree has seen
 * Error        of each output, labels: share of rows whose most probable class is wrong; reals: mean squared error. Over the rows
 *              left out so far that have the output, whatever they weigh; after 1, 2, ... T trees, NaN while there is no such row
 * Score        labels: 1 - error, the accuracy; reals: 1 - error / variance, R2, over the same rows, of targets that are all the
 *              same 1 when there is no error, else 0; the mean over the outputs
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
    double *sum;     /* [n x K] of their values, in units of 2^exponent */
    int exponent;    /* 0 unless sums might be larger than any double */
    double *error;   /* [n x O] of the row as predicted so far */
    tally *tallies;  /* [n_blocks x BATCH_TREES x O] */
} estimate;

/* ---- samples ---- */

static ml_status draw_sample(void *argument, size_t b)
{
    const estimate *e = argument;
    const size_t n = e->data->n;
    bool *is_seen = e->is_seen + b * n;
    uint32_t *count;
    ml__arena arena;
    ml_status st = ML_OK;

    ml__arena_init(&arena, e->f->context);
    ML__NEW(&arena, count, n);
    ML__TRY(ml__tree_sample(e->data, e->bins, ml__tree_key(e->f, e->first + b), &arena, count));
    for (size_t i = 0; i < n; i++)
        is_seen[i] = count[i];
done:
    ml__arena_free(&arena);
    return st;
}

/* ---- rows ---- */

static double row_error(const estimate *e, size_t i, size_t o)
{
    const ml__tree_data *data = e->data;
    const double *sum = e->sum + i * data->K;
    double difference;

    if (data->classify) {
        const size_t first = data->first[o], n_classes = data->first[o + 1] - first;
        return first + ml__arg_max(sum + first, n_classes) != (size_t)data->y[o * data->n + i];
    }
    difference = ml__mean_of_scaled(sum[o], e->n_out[i], e->exponent) - data->t[o * data->n + i];
    return difference * difference;
}

/* What tree t of the forest adds to a row that it has not seen. */
static void predict_row(const estimate *e, size_t t, size_t i)
{
    const size_t K = e->data->K, n_outputs = e->data->n_outputs;
    const double *value = e->trees[t].value + ml__tree_leaf(&e->trees[t], e->data->X + i * e->data->d)->next * K;

    for (size_t k = 0; k < K; k++)
        e->sum[i * K + k] += e->exponent ? ldexp(value[k], -e->exponent) : value[k];
    e->n_out[i]++;
    for (size_t o = 0; o < n_outputs; o++)
        e->error[i * n_outputs + o] = row_error(e, i, o);
}

static bool counts(const estimate *e, size_t i, size_t o)
{
    return e->n_out[i] && ml__has_output(e->data, o, i);
}

static ml_status predict_block(void *argument, size_t block)
{
    const estimate *e = argument;
    const size_t n = e->data->n, n_outputs = e->data->n_outputs, begin = block * BLOCK_ROWS;
    const size_t end = n - begin < BLOCK_ROWS ? n : begin + BLOCK_ROWS;

    for (size_t b = 0; b < e->n_batch; b++) {
        tally *all = e->tallies + (block * BATCH_TREES + b) * n_outputs;

        for (size_t o = 0; o < n_outputs; o++)
            all[o] = (tally){0};
        for (size_t i = begin; i < end; i++) {
            if (!e->is_seen[b * n + i])
                predict_row(e, e->first + b, i);
            for (size_t o = 0; o < n_outputs; o++)
                if (counts(e, i, o)) {
                    all[o].error += e->error[i * n_outputs + o];
                    all[o].n_rows++;
                }
        }
    }
    return ML_OK;
}

/* curve [n_trees x O] */
static ml_status predict_batch(estimate *e, double *curve)
{
    const size_t n_outputs = e->data->n_outputs;
    ml_status st;

    ML__TRY(ml__parallel_for(e->f->context, e->n_batch, draw_sample, e));
    ML__TRY(ml__parallel_for(e->f->context, e->n_blocks, predict_block, e));
    for (size_t at = 0; at < e->n_batch * n_outputs; at++) {
        tally all = {0};

        for (size_t block = 0; block < e->n_blocks; block++) {
            all.error += e->tallies[block * BATCH_TREES * n_outputs + at].error;
            all.n_rows += e->tallies[block * BATCH_TREES * n_outputs + at].n_rows;
        }
        curve[e->first * n_outputs + at] = all.n_rows ? all.error / (double)all.n_rows : NAN;
    }
done:
    return st;
}

/* ---- what is published ---- */

/* Of the targets of the rows that were left out; 0 exactly when they are all the same. */
static double variance(const estimate *e, size_t o)
{
    const double *t = e->data->t + o * e->data->n;
    double sum = 0, squares = 0, n = 0, least = INFINITY, largest = -INFINITY;

    for (size_t i = 0; i < e->data->n; i++)
        if (counts(e, i, o)) {
            sum += t[i];
            n++;
            least = fmin(least, t[i]);
            largest = fmax(largest, t[i]);
        }
    if (least == largest)
        return 0;
    for (size_t i = 0; i < e->data->n; i++)
        if (counts(e, i, o))
            squares += (t[i] - sum / n) * (t[i] - sum / n);
    return squares / n;
}

/* NaN of no rows. */
static double r2(const estimate *e, size_t o, double error)
{
    const double v = error > 0 ? variance(e, o) : 1;

    return v == 0 ? 0 : 1 - error / v;
}

/* error [O] after all trees. */
static double score_of(const estimate *e, const double *error)
{
    const size_t n_outputs = e->data->n_outputs;
    double sum = 0;

    for (size_t o = 0; o < n_outputs; o++)
        sum += e->data->classify ? 1 - error[o] : r2(e, o, error[o]);
    return sum / (double)n_outputs;
}

static void write_predictions(const estimate *e, double *out)
{
    const size_t n = e->data->n, K = e->data->K;
    size_t n_without = 0;

    for (size_t i = 0; i < n; i++) {
        n_without += !e->n_out[i];
        for (size_t k = 0; k < K; k++)
            out[i * K + k] = e->n_out[i] ? ml__mean_of_scaled(e->sum[i * K + k], e->n_out[i], e->exponent) : NAN;
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
    if (e->data->largest_target > DBL_MAX / 2 / (double)e->n_trees)
        (void)frexp((double)e->n_trees, &e->exponent);
    ML__NEW(f->scratch, e->is_seen, BATCH_TREES * n);
    ML__NEW(f->scratch, e->n_out, n);
    ML__NEW(f->scratch, e->sum, n * e->data->K);
    ML__NEW(f->scratch, e->error, n * e->data->n_outputs);
    ML__NEW(f->scratch, e->tallies, e->n_blocks * BATCH_TREES * e->data->n_outputs);
done:
    return st;
}

ml_status ml__out_of_bag(ml__fit *f, const ml__tree_data *data, const ml__bins *bins, size_t n_trees,
                         const ml__tree *trees)
{
    estimate e = {.data = data, .bins = bins, .trees = trees, .n_trees = n_trees};
    double *curve, *score, *out;
    ml_status st;

    ML__TRY(make_estimate(f, &e));
    ML__PUBLISH(f, curve, "oob_error_curve", ML_FLOAT64, n_trees, data->n_outputs);
    ML__PUBLISH(f, score, "oob_score", ML_FLOAT64, 1);
    if (data->classify)
        ML__PUBLISH(f, out, "oob_decision_function", ML_FLOAT64, data->n, data->K);
    else
        ML__PUBLISH(f, out, "oob_prediction", ML_FLOAT64, data->n, data->n_outputs);
    for (; e.first < n_trees; e.first += BATCH_TREES) {
        e.n_batch = n_trees - e.first < BATCH_TREES ? n_trees - e.first : BATCH_TREES;
        ML__TRY(predict_batch(&e, curve));
    }
    write_predictions(&e, out);
    *score = score_of(&e, curve + (n_trees - 1) * data->n_outputs);
done:
    return st;
}
