/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training: rows in batches through the gradient and the optimiser, epoch after epoch, until nothing improves.
 *
 * Weights     rows of weight 0 are left out before anything else, as if absent. With w the mean weight of all rows that are
 *             left, a batch of m rows has shares w_i / (m w), so that a row counts w_i / w of an average one in a batch of any
 *             size, and penalties alpha / (2 m w) Σ ||W_l||² (scikit-learn's, where w is 1) and l1 / (m w) Σ |w|. A common
 *             factor of the weights changes nothing but what the penalties count, as with lbfgs: twice the weight is twice
 *             the evidence. The loss of an epoch is the mean over its batches, each weighted with its number of rows.
 * Stopping    scikit-learn's rules. An epoch stalls when its loss is not below the best so far by more than tol, or,
 *             with held-out rows, when its score is below the best so far plus tol; more than n_iter_no_change stalled
 *             epochs in a row end the training (or lower an adaptive learning rate). With held-out rows the weights of
 *             the best score (held_out.c) are kept, also when a deadline or the monitor ends the fit; those that a fit goes on
 *             from are scored first, so that it never ends with a worse score than it began with.
 * Held out    f->validation when given, whatever early_stopping says; else with early_stopping a share
 *             validation_fraction of the rows, stratified by class where there is one output of labels. lbfgs looks at
 *             no held-out rows and holds none out.
 * Going on    with warm_start a new optimiser goes on from the weights; ml_model_partial_fit() makes one epoch and keeps the
 *             optimiser's state for the next; curves are continued, with NaN in those of the held-out rows for epochs that
 *             had none. Each call has W, W_o, w and balanced class weights of its own rows. It holds nothing out by itself,
 *             never lowers an adaptive rate, and begins anew with another solver; lbfgs, which needs all rows, is refused.
 * Memory      planned in full before the first step: the rows in float32; theta and the optimiser's vectors (where a
 *             gradient is stored also that); for one batch the gathered rows and the outputs of all layers; three
 *             numbers per possible epoch.
 *
 * Symbols     as in mlp.c; B rows in a batch
 */
#include <string.h>

#include "learn/mlp/layered.h"

/* scikit-learn's largest automatic batch. */
enum { AUTO_BATCH = 200 };

/* What random numbers are for: labels of the seeds derived from the fit's. */
enum { ORDER_OF_ROWS = 2, HELD_OUT_ROWS = 3, FIRST_OF_FITS = 16 };

/* A loss beyond this may have broken the weights in its own step: there they are looked at. */
static const double SUSPICIOUS = 1e12;

typedef struct trainer {
    ml__fit *f;
    const ml__mlp_params *p;
    const ml__mlp_plan *plan;
    ml__crew_f32 crew;
    ml__mlp_rows rows, held_rows; /* held_rows.n == 0: none */
    double mean_weight;           /* of rows */
    ml__mlp_objective objective;
    ml__mlp_held held;

    ml__mlp_net net;
    float *theta; /* n_theta */
    size_t n_theta, n_transferred;
    ml__mlp_solver solver;

    size_t *order;            /* rows.n */
    ml__mlp_work work, quiet; /* quiet: the same without dropout */
    float *masks[ML__MLP_MAX_LAYERS];
    double rates[ML__MLP_MAX_LAYERS]; /* of dropout */
    ml__mlp_room room;
    uint64_t seed; /* of dropout and noise */

    size_t max_iter, n_before;                     /* epochs of this fit at most, and before it */
    double *loss_curve, *validation_loss, *scores; /* n_before + max_iter; the latter may be NULL */
    double best_loss, best_score;
    float *best_theta;
    size_t n_epochs; /* with those before */
    int64_t n_stalled;
} trainer;

/* ---- data ---- */

/* A view without the rows of weight 0; none is made when there are no such rows, or no others. */
static ml_status view_with_weight(const ml__fit *f, ml_dataset **view)
{
    const size_t n = ml_dataset_n_rows(f->data);
    ml__arena arena;
    size_t *rows, n_rows = 0;
    double *w;
    ml_status st = ML_OK;

    ml__arena_init(&arena, f->context);
    ML__NEW(&arena, w, n);
    ML__NEW(&arena, rows, n);
    ml__dataset_read_weights(f->data, w);
    for (size_t i = 0; i < n; i++)
        if (w[i] > 0)
            rows[n_rows++] = i;
    if (n_rows && n_rows < n)
        ML__TRY(ml_dataset_subset(f->data, rows, n_rows, view));
done:
    ml__arena_free(&arena);
    return st;
}

enum { N_VIEWS = 4 };

/* The datasets to learn from and to hold out (NULL: none); views are the caller's to free. */
static ml_status divide(const ml__fit *f, const ml__mlp_plan *plan, const ml_dataset **train, const ml_dataset **held,
                        ml_dataset *views[N_VIEWS])
{
    const ml__mlp_params *p = f->params;
    const bool stratify = f->task == ML__CLASSIFY && f->n_outputs == 1;
    const bool splits = p->early_stopping && !plan->is_partial && p->solver != ML__MLP_LBFGS;
    ml_status st;

    *held = f->validation;
    st = view_with_weight(f, &views[3]);
    if (st != ML_OK)
        return st;
    *train = views[3] ? views[3] : f->data;
    if (!plan->is_autoencoder) {
        st = ml__dataset_with_some_output(*train, &views[2]);
        if (st != ML_OK)
            return ml__blame(st, "%s: ", f->model->kind->name);
        *train = views[2] ? views[2] : *train;
    }
    if (f->validation && !plan->is_autoencoder) {
        st = ml__dataset_with_some_output(f->validation, &views[1]);
        if (st != ML_OK)
            return ml__blame(st, "%s: validation data: ", f->model->kind->name);
        *held = views[1] ? views[1] : f->validation;
    } else if (splits && !f->validation) {
        st = ml_dataset_split(*train, p->validation_fraction, ml__seed_mix(f->seed, HELD_OUT_ROWS),
                              stratify ? ML_STRATIFY : 0, &views[0], &views[1]);
        if (st != ML_OK)
            return ml__blame(st, "%s: early_stopping: ", f->model->kind->name);
        *train = views[0];
        *held = views[1];
    }
    return ML_OK;
}

static ml_status read_data(trainer *t, const ml_dataset *train, const ml_dataset *held)
{
    ml_status st;

    if (!t->plan->is_autoencoder) {
        ML__TRY(ml__mlp_check_loss(t->f, t->f->data, "training"));
        if (t->f->validation)
            ML__TRY(ml__mlp_check_loss(t->f, t->f->validation, "validation"));
    }
    ML__TRY(ml__mlp_read_rows(t->f, t->plan, train, "training", &t->rows));
    if (held)
        ML__TRY(ml__mlp_read_rows(t->f, t->plan, held, "validation", &t->held_rows));
    t->mean_weight = t->rows.W / (double)t->rows.n;
    ML__TRY(ml__mlp_make_objective(t->f, t->plan, &t->rows, &t->rows, &t->objective));
done:
    return st;
}

/* ---- preparation ---- */

static ml_status plan_net(trainer *t)
{
    const ml__mlp_shape *shape = &t->plan->shape;
    ml_status st;

    ML__TRY(ml__mlp_theta_length(shape, &t->n_theta));
    ML__NEW(t->f->scratch, t->theta, t->n_theta);
    t->net.shape = *shape;
    for (size_t l = 0; l < shape->L; l++)
        t->net.f[l] = t->plan->f[l];
    ml__mlp_net_bind(&t->net, t->theta);
    ML__TRY(ml__mlp_start(t->f, t->plan, &t->net, &t->n_transferred));
    t->objective.first_trained = (size_t)t->p->freeze_layers;
    ML__CHECK(t->objective.first_trained < shape->L, ML_E_PARAMETER,
              "%s: parameter 'freeze_layers' is %zu, at most %zu of the %zu layers can be frozen",
              t->f->model->kind->name, t->objective.first_trained, shape->L - 1, shape->L);
    if (t->p->solver == ML__MLP_LBFGS)
        return ML_OK;
    ML__TRY(ml__mlp_solver_init(&t->solver, t->p, &t->crew, &t->net, t->n_theta, t->theta, t->f->scratch));
    for (size_t l = 0; l < t->n_transferred; l++)
        t->solver.layer_rates[l] = t->p->transfer_rate;
done:
    return st;
}

static ml_status plan_dropout(trainer *t)
{
    const ml__reals *dropout = &t->p->dropout;
    const size_t n_hidden = t->net.shape.L - 1;
    ml_status st = ML_OK;

    ML__CHECK(dropout->n <= 1 || dropout->n == n_hidden, ML_E_PARAMETER,
              "%s: parameter 'dropout' has %zu rates, expected one or one for each of the %zu hidden layers",
              t->f->model->kind->name, dropout->n, n_hidden);
    t->quiet = t->work;
    for (size_t l = 0; l < n_hidden && dropout->n; l++) {
        t->rates[l] = dropout->values[dropout->n == 1 ? 0 : l];
        if (t->rates[l] == 0)
            continue;
        ML__NEW_MATRIX(t->f->scratch, t->masks[l], t->room.B, t->net.shape.n[l + 1]);
        ML__NEW_MATRIX(t->f->scratch, t->work.kept[l], t->room.B, t->net.shape.n[l + 1]);
        t->work.mask[l] = t->masks[l];
    }
done:
    return st;
}

static ml_status plan_curves(trainer *t)
{
    const bool looks = t->held_rows.n > 0;
    size_t n;
    ml_status st;

    t->n_before = t->n_epochs = ml__mlp_epochs_before(t->f, t->plan);
    n = t->n_before + t->max_iter;
    ML__TRY(ml__mlp_plan_curve(t->f, t->plan, "loss_curve", n, true, &t->loss_curve));
    ML__TRY(ml__mlp_plan_curve(t->f, t->plan, "validation_loss", n, looks, &t->validation_loss));
    ML__TRY(ml__mlp_plan_curve(t->f, t->plan, "validation_scores", n, looks, &t->scores));
    if (looks)
        ML__NEW(t->f->scratch, t->best_theta, t->n_theta);
done:
    return st;
}

/* The optimiser as ml_model_partial_fit() left it: all of its state, or none. */
static void resume(trainer *t)
{
    const ml__named_tensor *progress = ml__mlp_earlier(t->f, t->plan, "optimiser.progress"),
                           *vectors[ML__MLP_MAX_VECTORS];
    char name[40];

    if (!t->plan->is_partial || !progress || ((const double *)progress->data)[2] != (double)t->p->solver)
        return;
    for (size_t i = 0; i < t->solver.kind->n_vectors; i++) {
        ml__format(name, sizeof name, "optimiser.vectors.%zu", i);
        vectors[i] = ml__mlp_earlier(t->f, t->plan, name);
        if (!vectors[i] || vectors[i]->shape[0] != t->n_theta)
            return;
    }
    for (size_t i = 0; i < t->solver.kind->n_vectors; i++)
        memcpy(t->solver.vectors[i], vectors[i]->data, t->n_theta * sizeof(float));
    t->solver.t = (uint64_t)((const double *)progress->data)[0];
    t->solver.n_seen = ((const double *)progress->data)[1];
    t->solver.epochs = ((const double *)progress->data)[3];
    ml__mlp_epoch_ends(&t->solver, 0); /* the rate that follows from them */
}

/* Steps are counted from 0 by each new optimiser: what they draw differs by the epochs before it. */
static uint64_t seed_of_steps(const trainer *t)
{
    const double n = fmax(0, (double)t->n_before - floor(t->solver.epochs));

    return n > 0 ? ml__seed_mix(t->f->seed, (uint64_t)n + FIRST_OF_FITS) : t->f->seed;
}

static void warn_of_rest(const trainer *t)
{
    if (t->plan->is_partial && t->p->learning_rate == ML__MLP_COSINE && t->solver.epochs >= (double)t->p->max_iter)
        ml__log(t->f->context, ML_LOG_WARNING,
                "%s: the rate of learning_rate=cosine is 0 after max_iter = %lld epochs, this call learns nothing",
                t->f->model->kind->name, (long long)t->p->max_iter);
}

static size_t batch_rows(const ml__mlp_params *p, size_t n)
{
    const size_t wanted = p->batch_size.form == ML__SIZE_COUNT ? (size_t)p->batch_size.count : AUTO_BATCH;

    return wanted < n ? wanted : n;
}

static ml_status plan_steps(trainer *t)
{
    ml__arena *arena = t->f->scratch;
    const size_t B = batch_rows(t->p, t->rows.n);
    ml_status st;

    ML__TRY(ml__mlp_work_init(&t->net, B, arena, &t->work));
    ML__TRY(ml__mlp_room_init(&t->rows, t->p->noise > 0, B, arena, &t->room));
    ML__TRY(plan_dropout(t));
    ML__NEW(arena, t->order, t->rows.n);
    for (size_t i = 0; i < t->rows.n; i++)
        t->order[i] = i;
    t->solver.steps_per_epoch = (double)((t->rows.n + B - 1) / B);
    t->max_iter = t->plan->is_partial ? 1 : (size_t)t->p->max_iter;
    ML__TRY(plan_curves(t));
    resume(t);
    t->seed = seed_of_steps(t);
    warn_of_rest(t);
    if (t->held_rows.n)
        ML__TRY(ml__mlp_held_init(&t->held, t->f, t->plan, &t->held_rows, &t->rows));
done:
    return st;
}

/* ---- one epoch ---- */

/* What the loss may not show: a weight at -infinity behind a ReLU, a moment of Adam that stops all steps. */
static bool all_finite(const trainer *t)
{
    bool finite = isfinite(t->crew.k->sum(t->n_theta, t->theta));

    for (size_t i = 0; i < t->solver.kind->n_vectors; i++)
        finite = finite && isfinite(t->crew.k->sum(t->n_theta, t->solver.vectors[i]));
    return finite;
}

static void disturb(const trainer *t, size_t n_values)
{
    const double noise = t->p->noise;

    if (noise > 0 && t->p->noise_kind == ML__MLP_MASKING)
        ml__mlp_blank(t->seed, t->solver.t, noise, n_values, t->room.X);
    else if (noise > 0)
        ml__mlp_add_noise(t->crew.k, t->seed, t->solver.t, noise, n_values, t->room.X);
}

/* One step on rows order[first, first + m). */
static ml_status train_batch(trainer *t, size_t first, size_t m, double *J)
{
    const double W = (double)m * t->mean_weight;
    ml__mlp_batch batch = ml__mlp_gather(&t->room, &t->rows, t->order + first, m, W);

    batch.penalty = t->p->alpha / W;
    batch.penalty_1 = t->p->l1 / W;
    disturb(t, m * t->rows.d);
    for (size_t l = 0; l + 1 < t->net.shape.L; l++)
        if (t->masks[l])
            ml__mlp_draw_mask(t->seed, t->solver.t, l, t->rates[l], m * t->net.shape.n[l + 1], t->masks[l]);
    return ml__mlp_step(&t->solver, &t->objective, &batch, &t->work, J);
}

static ml_status check_weights(const trainer *t, size_t epoch, size_t batch)
{
    ml_status st = ML_OK;

    ML__CHECK(
        all_finite(t), ML_E_NUMERIC,
        "%s: a weight or its step became NaN or infinite in epoch %zu, by batch %zu; scaled features or a smaller "
        "learning_rate_init (now %g) may help",
        t->f->model->kind->name, epoch + 1, batch, t->p->learning_rate_init);
done:
    return st;
}

/* One pass over the rows, or up to the batch in which the deadline passes. *loss is the mean of what was done. */
static ml_status run_epoch(trainer *t, size_t epoch, double *loss)
{
    const char *kind = t->f->model->kind->name;
    size_t n_batches = 0, n_seen = 0;
    double mean = 0;
    ml_status st = ML_OK;

    if (t->p->shuffle) {
        ml__rng rng = ml__rng_make(ml__seed_mix(t->f->seed, ORDER_OF_ROWS), epoch);
        ml__rng_shuffle(&rng, t->order, t->rows.n);
    }
    for (size_t first = 0; first < t->rows.n; first += t->room.B) {
        const size_t m = t->rows.n - first < t->room.B ? t->rows.n - first : t->room.B;
        double J = NAN;

        ML__TRY(train_batch(t, first, m, &J));
        t->solver.part = (double)++n_batches / t->solver.steps_per_epoch;
        ML__CHECK(
            isfinite(J), ML_E_NUMERIC,
            "%s: the loss is %g in epoch %zu, batch %zu; scaled features or a smaller learning_rate_init (now %g) "
            "may help",
            kind, J, epoch + 1, n_batches, t->p->learning_rate_init);
        if (J > SUSPICIOUS)
            ML__TRY(check_weights(t, epoch, n_batches));
        n_seen += m;
        mean += (J - mean) * ((double)m / (double)n_seen);
        ML__TRY(ml__fit_poll(t->f, epoch - t->n_before, t->max_iter));
        if (ml__fit_late(t->f))
            break;
    }
    ML__TRY(check_weights(t, epoch, n_batches));
    ml__mlp_epoch_ends(&t->solver, n_seen);
    *loss = mean;
done:
    return st;
}

/* ---- the loop ---- */

static void keep_best(trainer *t, double score)
{
    t->best_score = score;
    memcpy(t->best_theta, t->theta, t->n_theta * sizeof *t->theta);
}

static ml_status note_score(trainer *t, size_t epoch)
{
    double score;
    ml_status st;

    ML__TRY(ml__mlp_held_out(&t->held, &t->crew, &t->net, &t->quiet, &t->room, &t->validation_loss[epoch], &score));
    ML__CHECK(isfinite(score) && isfinite(t->validation_loss[epoch]), ML_E_NUMERIC,
              "%s: the loss of the held-out rows is %g, their score %g, in epoch %zu; scaled features may help",
              t->f->model->kind->name, t->validation_loss[epoch], score, epoch + 1);
    t->scores[epoch] = score;
    t->n_stalled = score < t->best_score + t->p->tol ? t->n_stalled + 1 : 0;
    if (score > t->best_score)
        keep_best(t, score);
done:
    return st;
}

/* Of the weights that the fit goes on from. */
static ml_status note_start(trainer *t)
{
    double loss, score;
    ml_status st;

    ML__TRY(ml__mlp_held_out(&t->held, &t->crew, &t->net, &t->quiet, &t->room, &loss, &score));
    if (isfinite(score) && isfinite(loss))
        keep_best(t, score);
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
        if (ml__mlp_stalled(&t->solver)) {
            *reason = t->held_rows.n ? ML_STOP_EARLY : ML_STOP_CONVERGED;
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
    ml_status st = ML_OK;
    bool over = false;

    t->best_loss = INFINITY;
    t->best_score = -INFINITY;
    if (t->held_rows.n && t->plan->continues)
        ML__TRY(note_start(t));
    for (size_t epoch = t->n_before; epoch < t->n_before + t->max_iter && !over; epoch++) {
        double loss = NAN;

        ML__TRY(run_epoch(t, epoch, &loss));
        t->loss_curve[epoch] = loss;
        t->n_epochs = epoch + 1;
        if (t->held_rows.n)
            ML__TRY(note_score(t, epoch));
        else
            note_loss(t, loss);
        ML__TRY(ml__fit_step(t->f, t->n_epochs - t->n_before, t->max_iter, "loss", loss));
        over = is_over(t);
    }
    if (!over && !t->plan->is_partial) {
        t->f->learned->stop_reason = ML_STOP_MAX_ITER;
        ml__log(t->f->context, ML_LOG_WARNING, "%s: max_iter = %zu epochs were not enough to converge",
                t->f->model->kind->name, t->max_iter);
    }
    if (t->held_rows.n)
        memcpy(t->theta, t->best_theta, t->n_theta * sizeof *t->theta);
done:
    return st;
}

static ml_status train_by_steps(trainer *t, ml__mlp_trained *out)
{
    ml__mlp_solver *solver;
    ml_status st;

    ML__TRY(plan_steps(t));
    ML__TRY(run(t));
    ML__NEW(t->f->scratch, solver, 1);
    *solver = t->solver;
    *out = (ml__mlp_trained){t->net, t->n_epochs, t->loss_curve, t->validation_loss, t->scores, solver, 0};
done:
    return st;
}

ml_status ml__mlp_train(ml__fit *f, const ml__mlp_plan *plan, ml__mlp_trained *out)
{
    trainer t = {.f = f, .p = f->params, .plan = plan, .crew = {&ml__kernels_best()->f32, f->context}};
    ml_dataset *views[N_VIEWS] = {NULL};
    const ml_dataset *train, *held;
    ml_status st;

    ML__TRY(divide(f, plan, &train, &held, views));
    ML__TRY(read_data(&t, train, held));
    ML__TRY(plan_net(&t));
    if (t.p->solver == ML__MLP_LBFGS) {
        out->net = t.net;
        ML__TRY(ml__mlp_search(f, plan, &t.rows, &t.objective, out));
        ML__TRY(ml__mlp_plan_curve(f, plan, "validation_loss", out->n_epochs, false, &out->validation_loss));
        ML__TRY(ml__mlp_plan_curve(f, plan, "validation_scores", out->n_epochs, false, &out->validation_scores));
    } else {
        st = train_by_steps(&t, out);
    }
    out->n_transferred = t.n_transferred;
done:
    for (size_t i = 0; i < N_VIEWS; i++)
        ml_dataset_free(views[i]);
    return st;
}
