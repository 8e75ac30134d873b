/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitted AdaBoost: validation and prediction, after all rounds or after each.
 *
 * Votes       a_t / sum_t a_t, rounded to multiples of 2^-52, at least one; of SAMME.R the h_tk, rounded to multiples of a power of two
 *             that their sum allows. In these units they are whole numbers and sums of them exact: a row's votes depend
 *             neither on the order in which they are counted nor on the rows around it, and stumps may be counted feature
 *             by feature (steps.c)
 */
#include "learn/boost/boost.h"

#include <float.h>
#include <string.h>

#include "learn/tree/tree.h"
#include "learn/weighted.h"

enum { VOTE_BITS = 52 };

typedef struct {
    size_t T, K;
    const double *alpha; /* [T] */
    bool by_probability; /* SAMME.R */
    double *vote;        /* [T] of SAMME: alpha as whole numbers */
    double scale;        /* of SAMME.R: from h to whole numbers */
    double *vote_sum;    /* [T] what all votes up to a round are divided by */
    bool are_trees;      /* the members */
    ml__steps *steps;    /* of stumps for labels, else NULL */
} state;

static ml_status check_member(const ml__learned *learned, const ml__member *member, size_t t)
{
    const ml__learned *theirs = member->model->learned;
    ml_status st = ML_OK;

    ML__CHECK(theirs, ML_E_FORMAT, "adaboost: member %zu is not fitted", t);
    ML__CHECK(theirs->task == learned->task, ML_E_FORMAT, "adaboost: member %zu has learned another task", t);
    ML__CHECK(theirs->schema.n_features == learned->schema.n_features, ML_E_FORMAT,
              "adaboost: member %zu has %zu features, expected %zu", t, theirs->schema.n_features,
              learned->schema.n_features);
    ML__CHECK(theirs->schema.n_outputs == 1 &&
                  theirs->schema.outputs[0].n_classes == learned->schema.outputs[0].n_classes,
              ML_E_FORMAT, "adaboost: member %zu has other classes", t);
    ML__CHECK(ml_model_width(member->model, ML_PREDICT) == 1, ML_E_FORMAT, "adaboost: member %zu does not predict", t);
done:
    return st;
}

/* SAMME.R: votes += h, as whole numbers */
static void add_logarithms(const state *s, const double *p, double *votes)
{
    const double K = (double)s->K;
    double sum = 0;

    for (size_t k = 0; k < s->K; k++)
        sum += log(fmax(p[k], DBL_EPSILON));
    for (size_t k = 0; k < s->K; k++)
        votes[k] += rint((K - 1) * (log(fmax(p[k], DBL_EPSILON)) - sum / K) * s->scale);
}

/* ml__leaf_votes */
static void votes_of_leaf(const void *argument, size_t t, const double *share, double *votes)
{
    const state *s = argument;

    if (s->by_probability)
        add_logarithms(s, share, votes);
    else
        votes[ml__arg_max(share, s->K)] += s->vote[t];
}

static ml_status count_votes(ml__learned *learned, state *s)
{
    const double largest = -log(DBL_EPSILON) * (double)s->K; /* of |h| */
    double sum = 0;
    int exponent;
    ml_status st = ML_OK;

    for (size_t t = 0; t < s->T; t++)
        sum += s->alpha[t];
    ML__CHECK(isfinite(sum), ML_E_FORMAT, "tensor 'estimator_weights': the sum is not finite");
    (void)frexp(largest * (double)s->T, &exponent);
    s->scale = ldexp(1, VOTE_BITS - exponent);
    ML__NEW(&learned->arena, s->vote, s->T);
    ML__NEW(&learned->arena, s->vote_sum, s->T);
    for (size_t t = 0; t < s->T; t++) {
        s->vote[t] = fmax(1, rint(ldexp(s->alpha[t] / sum, VOTE_BITS)));
        s->vote_sum[t] = (t ? s->vote_sum[t - 1] : 0) + (s->by_probability ? s->alpha[t] * s->scale : s->vote[t]);
    }
    if (learned->task == ML__CLASSIFY)
        ML__TRY(ml__steps_make(&learned->arena, &learned->members, learned->schema.n_features, s->K, votes_of_leaf, s,
                               &s->steps));
done:
    return st;
}

ml_status ml__boost_prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *weights = ml__learned_find(learned, "estimator_weights");
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__CHECK(learned->schema.n_outputs == 1, ML_E_FORMAT, "adaboost: %zu outputs, expected 1",
              learned->schema.n_outputs);
    ML__NEW(&learned->arena, s, 1);
    s->T = (size_t)weights->shape[0];
    s->K = learned->schema.outputs[0].n_classes;
    s->alpha = weights->data;
    ML__CHECK(s->T >= 1 && s->T == learned->members.n, ML_E_FORMAT,
              "tensor 'estimator_weights' has %zu elements for %zu members", s->T, learned->members.n);
    s->by_probability = ml__learned_find(learned, "votes_by_probability");
    ML__CHECK(!s->by_probability || learned->task == ML__CLASSIFY, ML_E_FORMAT,
              "tensor 'votes_by_probability' is for labels");
    s->are_trees = true;
    for (size_t t = 0; t < s->T; t++) {
        ML__TRY(check_member(learned, &learned->members.items[t], t));
        s->are_trees = s->are_trees && learned->members.items[t].model->kind == &ml__decision_tree;
    }
    ML__TRY(count_votes(learned, s));
    learned->state = s;
done:
    return st;
}

/* ---- labels ---- */

/* What the members see: trees share the values in single precision, which others find for themselves. */
static ml_status take_members_view(const ml_model *model, const ml__block *x, ml__block *view, ml__scratch *scratch)
{
    const state *s = model->learned->state;
    float *single;

    *view = *x;
    if (!s->are_trees)
        return ML_OK;
    single = ml__scratch_take(scratch, x->n * x->d, sizeof *single);
    if (!single)
        return ML_E_MEMORY;
    view->f32 = single;
    return ml__to_single(model->learned->members.items[0].model, x->f64, x->n, single);
}

/* What member t says about the rows. */
static ml_status ask_member(const ml_model *model, size_t t, int32_t what, const ml__block *view, double *out,
                            ml__scratch scratch)
{
    const ml_model *member = model->learned->members.items[t].model;

    if (view->f32)
        return ml__evaluate_single(member, what, view->f32, view->n, out, scratch);
    return ml__evaluate(member, what, view->f64, view->n, out, scratch);
}

static ml_status add_classes(const ml_model *model, size_t t, const ml__block *view, double *votes, ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *h = ml__scratch_take(&scratch, view->n, sizeof *h);
    ml_status st = h ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__TRY(ask_member(model, t, ML_PREDICT, view, h, scratch));
    for (size_t i = 0; i < view->n; i++)
        votes[i * s->K + (size_t)h[i]] += s->vote[t];
done:
    return st;
}

/* SAMME.R: h_t */
static ml_status add_probabilities(const ml_model *model, size_t t, const ml__block *view, double *votes,
                                   ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *p = ml__scratch_take(&scratch, view->n * s->K, sizeof *p);
    ml_status st = p ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__TRY(ask_member(model, t, ML_PREDICT_PROBA, view, p, scratch));
    for (size_t i = 0; i < view->n; i++)
        add_logarithms(s, p + i * s->K, votes + i * s->K);
done:
    return st;
}

static ml_status add_votes(const ml_model *model, size_t t, const ml__block *view, double *votes, ml__scratch scratch)
{
    const state *s = model->learned->state;

    return (s->by_probability ? add_probabilities : add_classes)(model, t, view, votes, scratch);
}

ml_status ml__boost_decision(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    ml__block view;
    ml_status st;

    ML__TRY(take_members_view(model, x, &view, &scratch));
    if (s->steps) {
        ml__steps_votes(s->steps, view.f32, x->n, out);
    } else {
        memset(out, 0, x->n * s->K * sizeof *out);
        for (size_t t = 0; t < s->T; t++)
            ML__TRY(add_votes(model, t, &view, out, scratch));
    }
    for (size_t at = 0; at < x->n * s->K; at++)
        out[at] /= s->vote_sum[s->T - 1];
done:
    return st;
}

/* Votes to shares, in place. The winner of the votes stays the first of the largest even where exp rounds two to one. */
static void votes_to_shares(double *p, size_t K)
{
    const size_t winner = ml__arg_max(p, K);
    const double most = p[winner], scale = K > 1 ? 1 / (double)(K - 1) : 1;
    double sum = 0;

    for (size_t k = 0; k < K; k++)
        sum += p[k] = exp((p[k] - most) * scale);
    for (size_t k = 0; k < K; k++)
        p[k] /= sum;
    if (ml__arg_max(p, K) != winner)
        p[winner] = nextafter(p[winner], INFINITY);
}

ml_status ml__boost_proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const size_t K = ((const state *)model->learned->state)->K;
    ml_status st;

    ML__TRY(ml__boost_decision(model, x, out, scratch));
    for (size_t i = 0; i < x->n; i++)
        votes_to_shares(out + i * K, K);
done:
    return st;
}

/* ---- reals ---- */

/* The smallest value at which the weights reach half of their sum. */
static double weighted_median(ml__weighted *items, size_t n)
{
    double sum = 0, running = 0;

    ml__weighted_sort(items, n);
    for (size_t t = 0; t < n; t++)
        sum += items[t].weight;
    for (size_t t = 0; t < n; t++)
        if ((running += items[t].weight) >= 0.5 * sum)
            return items[t].value;
    return items[n - 1].value;
}

/* h [T x n], what the members say, in the scratch, with room for T items. */
static ml_status ask_all(const ml_model *model, const ml__block *x, ml__scratch scratch, double **h,
                         ml__weighted **items)
{
    const state *s = model->learned->state;
    ml__block view;
    ml_status st;

    *h = ml__scratch_take(&scratch, x->n * s->T, sizeof **h);
    *items = ml__scratch_take(&scratch, s->T, sizeof **items);
    ML__TRY(*h && *items ? ML_OK : ML_E_MEMORY);
    ML__TRY(take_members_view(model, x, &view, &scratch));
    for (size_t t = 0; t < s->T; t++)
        ML__TRY(ask_member(model, t, ML_PREDICT, &view, *h + t * x->n, scratch));
done:
    return st;
}

/* What the first T members say about n rows: h [T x n]. */
static void take_medians(const state *s, size_t T, const double *h, size_t n, ml__weighted *items, double *out)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t t = 0; t < T; t++)
            items[t] = (ml__weighted){h[t * n + i], s->alpha[t]};
        out[i] = weighted_median(items, T);
    }
}

ml_status ml__boost_values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    const state *s = model->learned->state;
    ml__weighted *items;
    double *h;
    ml_status st;

    ML__TRY(ask_all(model, x, scratch, &h, &items));
    take_medians(s, s->T, h, x->n, items, out);
done:
    return st;
}

/* ---- after each round ---- */

size_t ml__boost_n_stages(const ml_model *model)
{
    return ((const state *)model->learned->state)->T;
}

/* Votes so far to what is asked for. */
static void finish_stage(const state *s, int32_t what, const double *votes, double sum, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++, votes += s->K) {
        if (what == ML_PREDICT) {
            out[i] = (double)ml__arg_max(votes, s->K);
            continue;
        }
        for (size_t k = 0; k < s->K; k++)
            out[i * s->K + k] = votes[k] / sum;
        if (what == ML_PREDICT_PROBA)
            votes_to_shares(out + i * s->K, s->K);
    }
}

static ml_status staged_labels(const ml_model *model, int32_t what, const ml__block *x, double *out, size_t stride,
                               ml__scratch scratch)
{
    const state *s = model->learned->state;
    double *votes = ml__scratch_take(&scratch, x->n * s->K, sizeof *votes);
    ml__block view;
    ml_status st = votes ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__TRY(take_members_view(model, x, &view, &scratch));
    memset(votes, 0, x->n * s->K * sizeof *votes);
    for (size_t t = 0; t < s->T; t++) {
        ML__TRY(add_votes(model, t, &view, votes, scratch));
        finish_stage(s, what, votes, s->vote_sum[t], x->n, out + t * stride);
    }
done:
    return st;
}

static ml_status staged_reals(const ml_model *model, const ml__block *x, double *out, size_t stride,
                              ml__scratch scratch)
{
    const state *s = model->learned->state;
    ml__weighted *items;
    double *h;
    ml_status st;

    ML__TRY(ask_all(model, x, scratch, &h, &items));
    for (size_t t = 0; t < s->T; t++)
        take_medians(s, t + 1, h, x->n, items, out + t * stride);
done:
    return st;
}

ml_status ml__boost_staged(const ml_model *model, int32_t what, const ml__block *x, double *out, size_t stride,
                           ml__scratch scratch)
{
    return model->learned->task == ML__CLASSIFY ? staged_labels(model, what, x, out, stride, scratch)
                                                : staged_reals(model, x, out, stride, scratch);
}

size_t ml__boost_scratch(const ml_model *model, size_t n)
{
    const ml__members *members = &model->learned->members;
    const state *s = model->learned->state;
    const size_t per_row = !s->K ? s->T : s->by_probability ? 2 * s->K : s->K + 1;

    return ml__members_scratch(members, n) + ml__scratch_bytes(n * per_row, sizeof(double)) +
           ml__scratch_bytes(s->K ? 1 : s->T, sizeof(ml__weighted)) + /* or the end of a second piece */
           (s->are_trees ? ml__scratch_bytes(n * model->learned->schema.n_features, sizeof(float)) : 0);
}
