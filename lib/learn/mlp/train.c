/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training: rows in batches through the gradient and the optimiser, epoch after epoch, until nothing improves.
 *
 * Weights     W = Σ w_i over a batch; its objective is the mean with shares w_i / W, its L2 penalty
 *             alpha / (2 W) Σ ||W_l||² (scikit-learn's, where W is the number of rows). A batch without weight makes no
 *             step. The loss of an epoch is the mean over its batches, each weighted with W.
 * Stopping    scikit-learn's rules. An epoch stalls when its loss is not below the best so far by more than tol, or,
 *             with held-out rows, when its score is below the best so far plus tol; more than n_iter_no_change stalled
 *             epochs in a row end the training (or lower an adaptive learning rate). With held-out rows the weights of
 *             the best score are kept. The score is the weighted accuracy, or the mean R² over the outputs.
 * Held out    f->validation when given, whatever early_stopping says; else with early_stopping a share
 *             validation_fraction of the rows, stratified by class.
 * Memory      planned in full before the first step: the rows in float32; theta and the optimiser's vectors (for
 *             SGD also the gradient of one layer); for one batch the gathered rows and the outputs of all layers; two
 *             numbers per possible epoch.
 *
 * Symbols     as in mlp.c; B rows in a batch
 */
#include <string.h>

#include "learn/mlp/mlp.h"

/* scikit-learn's largest automatic batch. */
enum { AUTO_BATCH = 200 };

/* What random numbers are for: labels of the seeds derived from the fit's. */
enum { INITIAL_WEIGHTS = 1, ORDER_OF_ROWS = 2, HELD_OUT_ROWS = 3 };

typedef struct rows {
    size_t n;
    const float *X;       /* n x d */
    const int32_t *label; /* n, classification */
    const float *target;  /* n x n_out, regression */
    const double *w;      /* n */
} rows;

typedef struct trainer trainer;
struct trainer {
    ml__fit *f;
    const ml__mlp_params *p;
    ml__crew_f32 crew;
    const ml__mlp_loss *loss;
    ml_status (*score)(trainer *t, double *score); /* of the held-out rows */
    rows train, held;                              /* held.n == 0: none */
    size_t d, n_out, n_theta, B;

    ml__mlp_net net;
    float *theta; /* n_theta */
    ml__mlp_solver solver;

    size_t *order; /* train.n */
    ml__mlp_work work;
    struct {
        float *X, *target, *share;
        int32_t *label;
    } batch;
    double *residual, *total; /* n_out, for R² */

    double *loss_curve, *scores; /* max_iter; scores NULL without held-out rows */
    double best_loss, best_score;
    float *best_theta;
    size_t n_epochs;
    int64_t n_stalled;
};

/* ---- data ---- */

static ml_status read_targets(const ml__fit *part, rows *r, size_t n_out, ml__arena *arena)
{
    ml_status st = ML_OK;
    ml__fit copy = *part;
    const double *y = ml__fit_targets(&copy);
    float *target;

    if (!y)
        return ML_E_MEMORY;
    ML__NEW(arena, target, r->n * n_out);
    for (size_t i = 0; i < r->n * n_out; i++)
        target[i] = (float)y[i];
    r->target = target;
done:
    return st;
}

/* Read a dataset as the network wants it; it must live as long as the rows do. */
static ml_status read_rows(const ml__fit *f, const ml_dataset *data, const char *use, size_t n_out, rows *r)
{
    ml__fit part = *f;
    double W = 0;
    ml_status st = ML_OK;

    part.data = data;
    part.n = r->n = ml_dataset_n_rows(data);
    r->X = ml__fit_matrix_f32(&part);
    r->w = r->X ? ml__fit_weights(&part) : NULL;
    if (!r->w)
        return ML_E_MEMORY;
    for (size_t i = 0; i < r->n; i++)
        W += r->w[i];
    ML__CHECK(W > 0, ML_E_DATA, "mlp: none of the %zu rows for %s has a positive weight", r->n, use);
    if (f->task == ML__REGRESS)
        return read_targets(&part, r, n_out, f->scratch);
    r->label = ml__fit_labels(&part, 0);
    if (!r->label)
        st = ML_E_MEMORY;
done:
    return st;
}

/* The datasets to learn from and to hold out (NULL: none); views in `views` are the caller's to free. */
static ml_status divide(const ml__fit *f, const ml_dataset **train, const ml_dataset **held, ml_dataset *views[2])
{
    const ml__mlp_params *p = f->params;
    const uint32_t flags = f->task == ML__CLASSIFY ? ML_STRATIFY : 0;
    ml_status st;

    *train = f->data;
    *held = f->validation;
    if (f->validation) {
        ML__TRY(ml__dataset_labelled(f->validation, &views[1]));
        *held = views[1] ? views[1] : f->validation;
    } else if (p->early_stopping) {
        st = ml_dataset_split(f->data, p->validation_fraction, ml__seed_mix(f->seed, HELD_OUT_ROWS), flags, &views[0],
                              &views[1]);
        if (st != ML_OK)
            return ml__blame(st, "mlp: early_stopping: ");
        *train = views[0];
        *held = views[1];
    }
    st = ML_OK;
done:
    return st;
}

/* ---- preparation ---- */

static ml_status count_weights(const ml__mlp_shape *shape, size_t *n_theta)
{
    size_t n = 0;

    for (size_t l = 0; l < shape->L; l++) {
        size_t n_layer;
        if (!ml__size_mul(shape->n[l], shape->n[l + 1], &n_layer) ||
            !ml__size_add(n_layer, shape->n[l + 1], &n_layer) || !ml__size_add(n, n_layer, &n))
            return ml__fail(ML_E_MEMORY, "mlp: the weights of layer %zu (%zu x %zu) do not fit in memory", l,
                            shape->n[l], shape->n[l + 1]);
    }
    *n_theta = n;
    return ML_OK;
}

/* pointer = a * b elements, or leave through `done:` */
#define NEW_MATRIX(arena, pointer, a, b)                                                                          \
    do {                                                                                                          \
        size_t n_elements;                                                                                        \
        ML__CHECK(ml__size_mul((a), (b), &n_elements), ML_E_MEMORY, "mlp: %zu x %zu values do not fit in memory", \
                  (size_t)(a), (size_t)(b));                                                                      \
        ML__NEW(arena, pointer, n_elements);                                                                      \
    } while (0)

static ml_status plan_batch(trainer *t, const ml__mlp_shape *shape)
{
    ml__arena *arena = t->f->scratch;
    size_t widest = 0;
    ml_status st = ML_OK;

    for (size_t l = 0; l < shape->L; l++) {
        NEW_MATRIX(arena, t->work.H[l], t->B, shape->n[l + 1]);
        if (l + 1 < shape->L && shape->n[l + 1] > widest)
            widest = shape->n[l + 1];
    }
    for (size_t i = 0; i < 2; i++)
        NEW_MATRIX(arena, t->work.delta[i], t->B, widest);
    ML__NEW(arena, t->work.row, 2 * t->B);
    ML__NEW(arena, t->work.ones, t->B);
    for (size_t i = 0; i < t->B; i++)
        t->work.ones[i] = 1;
    NEW_MATRIX(arena, t->batch.X, t->B, t->d);
    ML__NEW(arena, t->batch.share, t->B);
    if (t->train.label)
        ML__NEW(arena, t->batch.label, t->B);
    else
        NEW_MATRIX(arena, t->batch.target, t->B, t->n_out);
done:
    return st;
}

static ml_status plan(trainer *t, const ml__mlp_shape *shape)
{
    ml__arena *arena = t->f->scratch;
    const size_t max_iter = (size_t)t->p->max_iter;
    ml_status st;

    ML__TRY(count_weights(shape, &t->n_theta));
    ML__NEW(arena, t->theta, t->n_theta);
    ML__TRY(ml__mlp_solver_init(&t->solver, t->p, &t->crew, shape, t->theta, arena));
    ML__TRY(plan_batch(t, shape));
    ML__NEW(arena, t->order, t->train.n);
    ML__NEW(arena, t->loss_curve, max_iter);
    if (t->held.n) {
        ML__NEW(arena, t->scores, max_iter);
        ML__NEW(arena, t->best_theta, t->n_theta);
        ML__NEW(arena, t->residual, t->n_out);
        ML__NEW(arena, t->total, t->n_out);
    }
done:
    return st;
}

static void build_net(trainer *t, const ml__mlp_shape *shape)
{
    for (size_t l = 0; l < shape->L; l++)
        t->net.f[l] = &ml__mlp_activations[l + 1 < shape->L ? (size_t)t->p->activation : ML__MLP_IDENTITY];
    t->net.shape = *shape;
    ml__mlp_net_bind(&t->net, t->theta);
}

/* Weights and biases uniform in +-sqrt(init / (n_in + n_out)); one stream for each layer. */
static void draw_weights(trainer *t)
{
    const double init = ml__mlp_activations[t->p->activation].init;
    const ml__mlp_shape *shape = &t->net.shape;

    for (size_t l = 0; l < shape->L; l++) {
        const size_t n_in = shape->n[l], n_out = shape->n[l + 1];
        const double bound = sqrt(init / ((double)n_in + (double)n_out));
        ml__rng rng = ml__rng_make(ml__seed_mix(t->f->seed, INITIAL_WEIGHTS), l);

        for (size_t i = 0; i < n_in * n_out; i++)
            t->net.W[l][i] = (float)((2 * ml__rng_uniform(&rng) - 1) * bound);
        for (size_t j = 0; j < n_out; j++)
            t->net.b[l][j] = (float)((2 * ml__rng_uniform(&rng) - 1) * bound);
    }
}

/* ---- one epoch ---- */

static double weight_of(const trainer *t, size_t first, size_t m)
{
    double W = 0;

    for (size_t i = 0; i < m; i++)
        W += t->train.w[t->order[first + i]];
    return W;
}

/* Rows order[first, first + m) with weight W > 0, side by side. */
static ml__mlp_batch gather(trainer *t, size_t first, size_t m, double W)
{
    const size_t *order = t->order + first, d = t->d, n_out = t->n_out;

    for (size_t i = 0; i < m; i++) {
        const size_t row = order[i];

        memcpy(t->batch.X + i * d, t->train.X + row * d, d * sizeof(float));
        t->batch.share[i] = (float)(t->train.w[row] / W);
        if (t->train.label)
            t->batch.label[i] = t->train.label[row];
        else
            memcpy(t->batch.target + i * n_out, t->train.target + row * n_out, n_out * sizeof(float));
    }
    return (ml__mlp_batch){m, t->batch.X, t->batch.label, t->batch.target, t->batch.share, t->p->alpha / W};
}

/* What the loss may not show: a weight at -infinity behind a ReLU, a moment of Adam that stops all steps. */
static bool all_finite(const trainer *t)
{
    bool finite = isfinite(t->crew.k->sum(t->n_theta, t->theta));

    for (size_t i = 0; i < t->solver.kind->n_vectors; i++)
        finite = finite && isfinite(t->crew.k->sum(t->n_theta, t->solver.vectors[i]));
    return finite;
}

/* One pass over the rows, or up to the batch in which the deadline passes. *loss is the mean of what was done. */
static ml_status run_epoch(trainer *t, size_t epoch, double *loss)
{
    const ml__mlp_params *p = t->p;
    double mean = 0, weight = 0;
    size_t n_batches = 0;
    ml_status st = ML_OK;

    if (p->shuffle) {
        ml__rng rng = ml__rng_make(ml__seed_mix(t->f->seed, ORDER_OF_ROWS), epoch);
        ml__rng_shuffle(&rng, t->order, t->train.n);
    }
    for (size_t first = 0; first < t->train.n; first += t->B) {
        const size_t m = t->train.n - first < t->B ? t->train.n - first : t->B;
        const double W = weight_of(t, first, m);
        ml__mlp_batch batch;
        double J = NAN;

        n_batches++;
        if (!(W > 0))
            continue;
        batch = gather(t, first, m, W);
        ML__TRY(ml__mlp_step(&t->solver, &t->net, t->loss, &batch, &t->work, &J));
        ML__CHECK(
            isfinite(J), ML_E_NUMERIC,
            "mlp: the loss is %g in epoch %zu, batch %zu; scaled features or a smaller learning_rate_init (now %g) "
            "may help",
            J, epoch + 1, n_batches, p->learning_rate_init);
        weight += W;
        mean += (J - mean) * (W / weight);
        if (ml__fit_late(t->f))
            break;
    }
    ML__CHECK(
        all_finite(t), ML_E_NUMERIC,
        "mlp: a weight or its step became NaN or infinite in epoch %zu, by batch %zu; scaled features or a smaller "
        "learning_rate_init (now %g) may help",
        epoch + 1, n_batches, p->learning_rate_init);
    *loss = mean;
done:
    return st;
}

/* ---- held-out score ---- */

/* Outputs of held-out rows [first, first + *m); batch by batch, so that the batch's workspace serves. */
static ml_status held_outputs(trainer *t, size_t first, size_t *m, const float **Z)
{
    *m = t->held.n - first < t->B ? t->held.n - first : t->B;
    *Z = t->work.H[t->net.shape.L - 1];
    return ml__mlp_forward(&t->crew, &t->net, *m, t->held.X + first * t->d, t->work.H);
}

static ml_status accuracy(trainer *t, double *score)
{
    double right = 0, W = 0;
    const float *Z;
    size_t m;
    ml_status st = ML_OK;

    for (size_t first = 0; first < t->held.n; first += m) {
        ML__TRY(held_outputs(t, first, &m, &Z));
        for (size_t i = 0; i < m; i++) {
            const float *z = Z + i * t->n_out;
            int32_t best = 0;

            for (size_t j = 1; j < t->n_out; j++)
                if (z[j] > z[best])
                    best = (int32_t)j;
            W += t->held.w[first + i];
            if (best == t->held.label[first + i])
                right += t->held.w[first + i];
        }
    }
    *score = right / W;
done:
    return st;
}

/* total_j = Σ_i w_i (t_ij - mean_j)², in two passes */
static void total_squares(trainer *t)
{
    const rows *r = &t->held;

    for (size_t j = 0; j < t->n_out; j++) {
        double mean = 0, W = 0, sum = 0;

        for (size_t i = 0; i < r->n; i++) {
            mean += r->w[i] * (double)r->target[i * t->n_out + j];
            W += r->w[i];
        }
        mean /= W;
        for (size_t i = 0; i < r->n; i++) {
            const double e = (double)r->target[i * t->n_out + j] - mean;
            sum += r->w[i] * e * e;
        }
        t->total[j] = sum;
    }
}

/* Mean over the outputs; one whose target is constant counts 1 when it is met exactly and 0 otherwise. */
static ml_status r_squared(trainer *t, double *score)
{
    double sum = 0;
    const float *Z;
    size_t m;
    ml_status st = ML_OK;

    memset(t->residual, 0, t->n_out * sizeof *t->residual);
    for (size_t first = 0; first < t->held.n; first += m) {
        ML__TRY(held_outputs(t, first, &m, &Z));
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < t->n_out; j++) {
                const double e = (double)t->held.target[(first + i) * t->n_out + j] - (double)Z[i * t->n_out + j];
                t->residual[j] += t->held.w[first + i] * e * e;
            }
    }
    for (size_t j = 0; j < t->n_out; j++)
        sum += t->total[j] > 0 ? 1 - t->residual[j] / t->total[j] : t->residual[j] == 0;
    *score = sum / (double)t->n_out;
done:
    return st;
}

/* ---- the loop ---- */

static ml_status note_score(trainer *t, size_t epoch)
{
    double score;
    ml_status st;

    ML__TRY(t->score(t, &score));
    t->scores[epoch] = score;
    t->n_stalled = score < t->best_score + t->p->tol ? t->n_stalled + 1 : 0;
    if (epoch == 0 || score > t->best_score) {
        t->best_score = score;
        memcpy(t->best_theta, t->theta, t->n_theta * sizeof *t->theta);
    }
done:
    return st;
}

static void note_loss(trainer *t, double loss)
{
    t->n_stalled = loss > t->best_loss - t->p->tol ? t->n_stalled + 1 : 0;
    t->best_loss = loss < t->best_loss ? loss : t->best_loss;
}

/* Whether the training is over after this epoch; sets the reason. */
static bool is_over(trainer *t)
{
    int32_t *reason = &t->f->learned->stop_reason;

    if (t->n_stalled > t->p->n_iter_no_change) {
        t->n_stalled = 0;
        if (t->solver.kind->stalled(&t->solver)) {
            *reason = t->held.n ? ML_STOP_EARLY : ML_STOP_CONVERGED;
            return true;
        }
    }
    if (ml__fit_late(t->f)) {
        *reason = ML_STOP_DEADLINE;
        return true;
    }
    return false;
}

static ml_status run(trainer *t)
{
    const size_t max_iter = (size_t)t->p->max_iter;
    ml_status st = ML_OK;
    bool over = false;

    t->best_loss = INFINITY;
    t->best_score = -INFINITY;
    for (size_t epoch = 0; epoch < max_iter && !over; epoch++) {
        double loss = NAN;

        ML__TRY(run_epoch(t, epoch, &loss));
        t->loss_curve[epoch] = loss;
        t->n_epochs = epoch + 1;
        if (t->held.n)
            ML__TRY(note_score(t, epoch));
        else
            note_loss(t, loss);
        t->solver.kind->epoch_ends(&t->solver, (double)t->n_epochs * (double)t->train.n);
        ML__TRY(ml__fit_step(t->f, t->n_epochs, max_iter, "loss", loss));
        over = is_over(t);
    }
    if (!over) {
        t->f->learned->stop_reason = ML_STOP_MAX_ITER;
        ml__log(t->f->context, ML_LOG_WARNING, "mlp: max_iter = %zu epochs were not enough to converge", max_iter);
    }
    if (t->held.n)
        memcpy(t->theta, t->best_theta, t->n_theta * sizeof *t->theta);
done:
    return st;
}

static size_t batch_rows(const ml__mlp_params *p, size_t n)
{
    const size_t wanted = p->batch_size.form == ML__SIZE_COUNT ? (size_t)p->batch_size.count : AUTO_BATCH;

    return wanted < n ? wanted : n;
}

ml_status ml__mlp_train(ml__fit *f, const ml__mlp_shape *shape, ml__mlp_trained *out)
{
    const bool classify = f->task == ML__CLASSIFY;
    trainer t = {
        .f = f,
        .p = f->params,
        .crew = {&ml__kernels_best()->f32, f->context},
        .loss = &ml__mlp_losses[classify ? ML__MLP_CROSS_ENTROPY : ML__MLP_SQUARED_ERROR],
        .score = classify ? accuracy : r_squared,
        .d = f->d,
        .n_out = shape->n[shape->L],
    };
    ml_dataset *views[2] = {NULL, NULL};
    const ml_dataset *train, *held;
    ml_status st;

    ML__TRY(divide(f, &train, &held, views));
    ML__TRY(read_rows(f, train, "training", t.n_out, &t.train));
    if (held)
        ML__TRY(read_rows(f, held, "validation", t.n_out, &t.held));
    t.B = batch_rows(t.p, t.train.n);
    ML__TRY(plan(&t, shape));
    build_net(&t, shape);
    draw_weights(&t);
    for (size_t i = 0; i < t.train.n; i++)
        t.order[i] = i;
    if (held && !classify)
        total_squares(&t);
    ML__TRY(run(&t));
    *out = (ml__mlp_trained){t.net, t.n_epochs, t.loss_curve, t.scores};
done:
    ml_dataset_free(views[0]);
    ml_dataset_free(views[1]);
    return st;
}
