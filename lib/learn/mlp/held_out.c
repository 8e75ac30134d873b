/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How well the net does on rows that are held out, batch by batch in the workspace of the training.
 *
 * Loss    mean over the rows, of all heads, without penalties and without dropout; each head's is a mean over those of these
 *         rows that have its output, and one that none has is left out
 * Score   of labels: mean over the outputs of the weighted accuracy; of reals: of R², where one whose target is constant
 *         counts 1 when it is met exactly and 0 otherwise; one that no held-out row has is left out. Of mixed outputs and of
 *         an autoencoder: minus the loss, since an R², which may be far below 0, and an accuracy have no common measure
 */
#include <string.h>

#include "learn/mlp/mlp.h"

/* Of one column: Σ w right and Σ w for labels (in the head's first column), Σ w e² and Σ w (t - mean)² for reals. */
typedef struct ml__mlp_tally {
    double good, all;
} tally;

/* Σ w_i (t_ij - mean_j)² over the rows that have it, in two passes. */
static double total_squares(const ml__mlp_rows *r, size_t j)
{
    double mean = 0, W = 0, sum = 0;

    for (size_t i = 0; i < r->n; i++) {
        const float t = r->target[i * r->n_targets + j];

        if (!isnan(t)) {
            mean += r->w[i] * (double)t;
            W += r->w[i];
        }
    }
    mean = W > 0 ? mean / W : 0;
    for (size_t i = 0; i < r->n; i++) {
        const float t = r->target[i * r->n_targets + j];

        if (!isnan(t))
            sum += r->w[i] * ((double)t - mean) * ((double)t - mean);
    }
    return W > 0 ? sum : -1;
}

ml_status ml__mlp_held_init(ml__mlp_held *held, const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *rows,
                            const ml__mlp_rows *training)
{
    const size_t n_out = plan->shape.n[plan->shape.L];
    size_t *order;
    ml_status st = ML_OK;

    *held = (ml__mlp_held){.rows = rows};
    held->scores_by_loss = plan->is_autoencoder || (rows->n_labels && rows->n_targets);
    ML__TRY(ml__mlp_make_objective(f, plan, rows, training, &held->objective));
    ML__NEW(f->scratch, order, rows->n);
    ML__NEW(f->scratch, held->tallies, n_out);
    ML__NEW(f->scratch, held->totals, rows->n_targets);
    for (size_t i = 0; i < rows->n; i++)
        order[i] = i;
    held->order = order;
    for (size_t j = 0; j < rows->n_targets && !held->scores_by_loss; j++)
        held->totals[j] = total_squares(rows, j);
done:
    return st;
}

static void tally_labels(const ml__mlp_held *held, const ml__mlp_head *h, const float *Z, size_t n_out, size_t first,
                         size_t m)
{
    const ml__mlp_rows *r = held->rows;
    tally *t = held->tallies + h->first;

    for (size_t i = 0; i < m; i++) {
        const float *z = Z + i * n_out + h->first;
        const int32_t y = r->label[(first + i) * r->n_labels + h->column];
        int32_t best = h->is_logistic && z[0] > 0;

        if (y < 0)
            continue;
        for (size_t j = 1; j < h->n; j++)
            if (z[j] > z[best])
                best = (int32_t)j;
        t->all += r->w[first + i];
        if (best == y)
            t->good += r->w[first + i];
    }
}

static void tally_reals(const ml__mlp_held *held, const ml__mlp_head *h, const float *Z, size_t n_out, size_t first,
                        size_t m)
{
    const ml__mlp_rows *r = held->rows;

    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < h->n; j++) {
            const float z = Z[i * n_out + h->first + j], t = r->target[(first + i) * r->n_targets + h->column + j];
            const double p = h->is_logistic ? ml__mlp_logistic((double)z) : (double)z;

            if (!isnan(t))
                held->tallies[h->first + j].good += r->w[first + i] * ((double)t - p) * ((double)t - p);
        }
}

static double score_of(const ml__mlp_held *held)
{
    double sum = 0, n = 0;

    for (size_t o = 0; o < held->objective.n_heads; o++) {
        const ml__mlp_head *h = held->objective.heads + o;

        if (h->is_label) {
            if (held->tallies[h->first].all > 0) {
                sum += held->tallies[h->first].good / held->tallies[h->first].all;
                n++;
            }
            continue;
        }
        for (size_t j = 0; j < h->n; j++) {
            const double residual = held->tallies[h->first + j].good, total = held->totals[h->column + j];

            if (total >= 0) {
                sum += total > 0 ? 1 - residual / total : residual == 0;
                n++;
            }
        }
    }
    return n > 0 ? sum / n : 0;
}

ml_status ml__mlp_held_out(const ml__mlp_held *held, const ml__crew_f32 *crew, const ml__mlp_net *net,
                           const ml__mlp_work *work, const ml__mlp_room *room, double *loss, double *score)
{
    const size_t L = net->shape.L, n_out = net->shape.n[L];
    const ml__mlp_rows *r = held->rows;
    size_t m;
    ml_status st = ML_OK;

    *loss = 0;
    memset(held->tallies, 0, n_out * sizeof *held->tallies);
    for (size_t first = 0; first < r->n; first += m) {
        ml__mlp_batch batch;

        m = r->n - first < room->B ? r->n - first : room->B;
        batch = ml__mlp_gather(room, r, held->order + first, m, r->W);
        ML__TRY(ml__mlp_forward(crew, net, m, batch.X, work));
        for (size_t o = 0; o < held->objective.n_heads && !held->scores_by_loss; o++) {
            const ml__mlp_head *h = held->objective.heads + o;

            (h->is_label ? tally_labels : tally_reals)(held, h, work->H[L - 1], n_out, first, m);
        }
        *loss += ml__mlp_loss(crew->k, &held->objective, &batch, n_out, work->H[L - 1], work->row);
    }
    *score = held->scores_by_loss ? -*loss : score_of(held);
done:
    return st;
}
