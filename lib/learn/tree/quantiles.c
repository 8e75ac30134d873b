/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quantile regression forests (Meinshausen 2006, section 2).
 *
 *     w_i(x, t)   = c_i u_i / Σ_{j in leaf} c_j u_j        for the rows i of the leaf of tree t that x falls into    (4)
 *     w_i(x)      = mean over the trees t of w_i(x, t)                                                              (5)
 *     F(y | x)    = Σ_i w_i(x) [y_i <= y]                                                                           (6)
 *     Q_q(x)      = least y_i with w_i(x) > 0 and F(y_i | x) >= q; of q = 1 the largest
 *
 * c_i is how often row i is in the sample of the tree, u_i its weight (the paper has 1 for both), so the mean of this distribution is
 * what the forest predicts where its leaves predict means. Of several outputs each has its own distribution; rows that lack
 * it count for nothing, and a tree in whose leaf no row has it is left out of the mean (NaN when all are).
 *
 * Weights of a row of data are added up at the places that the training rows have among the sorted targets; a bit for each
 * place says where there are any. F is compared with q up to the rounding of T additions and their quotients.
 *
 * Symbols     n training rows, O outputs, T trees, Q quantiles;  i training row, o output, t tree, q quantile
 */
#include <float.h>
#include <invar/tree.h>

#include "base/number.h"
#include "learn/tree/tree.h"

enum { BLOCK_ROWS = 64 }; /* that walk through a tree while it is in the cache */

/* Of a part. */
typedef struct {
    size_t *leaf;   /* [BLOCK_ROWS x T] row of values of the leaf in each tree */
    double *weight; /* [n] at the places of the sorted targets; 0 between rows */
    uint64_t *any;  /* [n / 64 + 1] is there a weight? none between rows */
} bench;

typedef struct {
    const ml__trees *trees;
    const ml__leaf_targets *kept;
    size_t n_quantiles;
    const double *q;      /* [Q] ascending */
    const size_t *column; /* [Q] where each was given */
    double *out;
    bench *benches; /* [parts] */
} job;

/* ---- rows ---- */

static void find_leaves(const ml__trees *trees, size_t n, const float *x, size_t *leaf)
{
    size_t length;

    for (size_t t = 0; t < trees->n_trees; t++)
        for (size_t i = 0; i < n; i++) {
            const int32_t node = ml__tree_walk(trees, t, x + i * trees->d, NULL, &length);
            leaf[i * trees->n_trees + t] =
                (size_t)trees->first_value[t] + ml__tree_node_at(trees, t, (size_t)node).next;
        }
}

static double weight_of(const ml__leaf_targets *k, const double *target, size_t i)
{
    return isnan(target[i]) ? 0 : k->w ? k->w[i] : 1;
}

/* Put the weights of a leaf's rows to their places; false when no row has the output. */
static bool add_leaf(const ml__leaf_targets *k, size_t o, size_t leaf, bench *b)
{
    const double *target = k->t + o * k->n;
    ml__sum total = {0};
    double sum;

    for (size_t at = k->first[leaf]; at < k->first[leaf + 1]; at++)
        ml__sum_add(&total, weight_of(k, target, (size_t)k->row[at]));
    sum = ml__sum_total(total);
    for (size_t at = k->first[leaf]; at < k->first[leaf + 1] && sum > 0; at++) {
        const size_t i = (size_t)k->row[at], place = k->place[o * k->n + i];
        const double w = weight_of(k, target, i);

        if (w > 0) {
            b->weight[place] += w / sum;
            b->any[place / 64] |= (uint64_t)1 << place % 64;
        }
    }
    return sum > 0;
}

/* Go up the distribution, whose weights sum to n_known, and clear it. */
static void read_quantiles(const job *j, size_t o, double n_known, bench *b, double *out)
{
    const ml__leaf_targets *k = j->kept;
    const double rounding = (double)(j->trees->n_trees + 4) * DBL_EPSILON * n_known;
    ml__sum F = {0};
    size_t next = 0;
    double y = NAN;

    for (size_t word = 0; word <= k->n / 64; word++)
        for (; b->any[word]; b->any[word] &= b->any[word] - 1) {
            const size_t place = 64 * word + (size_t)__builtin_ctzll(b->any[word]);

            y = k->t[o * k->n + k->sorted[o * k->n + place]];
            ml__sum_add(&F, b->weight[place]);
            b->weight[place] = 0;
            while (next < j->n_quantiles && j->q[next] < 1 && ml__sum_total(F) >= j->q[next] * n_known - rounding)
                out[j->column[next++]] = y;
        }
    while (next < j->n_quantiles)
        out[j->column[next++]] = y;
}

static ml_status find_quantiles(void *argument, size_t part, size_t first, size_t n, const float *x)
{
    const job *j = argument;
    const size_t n_outputs = j->kept->n_outputs, n_trees = j->trees->n_trees;
    bench *b = &j->benches[part];

    find_leaves(j->trees, n, x, b->leaf);
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < n_outputs; o++) {
            double n_known = 0;

            for (size_t t = 0; t < n_trees; t++)
                n_known += add_leaf(j->kept, o, b->leaf[i * n_trees + t], b);
            read_quantiles(j, o, n_known, b, j->out + ((first + i) * n_outputs + o) * j->n_quantiles);
        }
    return ML_OK;
}

/* ---- all rows ---- */

static ml_status sort_quantiles(const double *quantiles, ml__arena *scratch, job *j)
{
    double *q;
    size_t *column;
    ml_status st = ML_OK;

    ML__NEW(scratch, q, j->n_quantiles);
    ML__NEW(scratch, column, j->n_quantiles);
    for (size_t i = 0; i < j->n_quantiles; i++) {
        size_t at = i;

        ML__CHECK(quantiles[i] >= 0 && quantiles[i] <= 1, ML_E_ARGUMENT, "quantile %zu is %g, not in [0, 1]", i,
                  quantiles[i]);
        for (; at && q[at - 1] > quantiles[i]; at--) {
            q[at] = q[at - 1];
            column[at] = column[at - 1];
        }
        q[at] = quantiles[i];
        column[at] = i;
    }
    j->q = q;
    j->column = column;
done:
    return st;
}

static ml_status make_benches(const ml_model *model, size_t n_rows, ml__arena *scratch, job *j)
{
    const size_t n_threads = ml__n_threads(model->context), n_benches = n_threads < n_rows ? n_threads : n_rows;
    ml_status st = ML_OK;

    ML__NEW(scratch, j->benches, n_benches);
    for (size_t b = 0; b < n_benches; b++) {
        ML__NEW(scratch, j->benches[b].leaf, BLOCK_ROWS * j->trees->n_trees);
        ML__NEW(scratch, j->benches[b].weight, j->kept->n);
        ML__NEW(scratch, j->benches[b].any, j->kept->n / 64 + 1);
    }
done:
    return st;
}

ml_status ml_forest_quantiles(const ml_model *model, const ml_dataset *data, const double *quantiles,
                              size_t n_quantiles, double *out, size_t n)
{
    const ml__float_state host = ml__float_begin();
    job j = {.n_quantiles = n_quantiles, .out = out};
    ml__arena scratch;
    size_t n_rows, wanted = SIZE_MAX;
    ml_status st;

    ml__arena_init(&scratch, model ? model->context : NULL);
    ML__TRY(ml__find_trees(model, &j.trees));
    ML__CHECK(data && quantiles && out, ML_E_ARGUMENT, "%s is NULL", !data ? "data" : !quantiles ? "quantiles" : "out");
    ML__CHECK(n_quantiles, ML_E_ARGUMENT, "there are no quantiles");
    j.kept = j.trees->leaf_targets;
    ML__CHECK(j.kept, ML_E_STATE, "%s was fitted without parameter 'keep_leaf_targets'", model->kind->name);
    ML__TRY(ml__schema_match(&model->learned->schema, ml__dataset_schema(data)));
    n_rows = ml_dataset_n_rows(data);
    ML__CHECK(ml__size_mul(n_rows, j.kept->n_outputs, &wanted) && ml__size_mul(wanted, n_quantiles, &wanted) &&
                  wanted == n,
              ML_E_SHAPE, "out has %zu elements, %zu quantiles of %zu outputs of %zu rows are %zu", n, n_quantiles,
              j.kept->n_outputs, n_rows, wanted);
    ML__TRY(sort_quantiles(quantiles, &scratch, &j));
    ML__TRY(make_benches(model, n_rows, &scratch, &j));
    ML__TRY(ml__visit_rows(model, data, BLOCK_ROWS, &scratch, find_quantiles, &j));
done:
    ml__arena_free(&scratch);
    return ml__float_end(host, st);
}
