/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ensemble: a weighted average of its members' predictions.
 *
 * Predict     f(x) = sum_m w_m f_m(x),  w >= 0, sum_m w_m = 1;  f_m are class probabilities, or values
 * Weights     fixed            as given with the members
 *             uniform          1 / M
 *             cross_validated  argmin over the simplex of the loss of the average on out-of-fold predictions p_im (row
 *                              i by member m, fitted without i's fold): stacking with convex weights (Wolpert 1992,
 *                              Breiman 1996). The problem is convex and solved to its optimum (simplex.c).
 *                              classes: -sum_i omega_i log sum_m w_m p_im(y_i), with p raised to at least MIN_PROBA
 *                              reals:    sum_i omega_i (sum_m w_m p_im - y_i)^2
 *                              Several outputs count as several observations. All members see the same folds,
 *                              stratified by the first output's labels.
 *             auto             fixed when every member came with a weight, cross_validated when none did
 * Fit         weights, then every member anew on all rows, as if alone
 *
 * Symbols     M members, n rows, o outputs, N observations (i, o) with a known output; omega row weights; P [N x M] the
 *             probability of the true class, or the error, of each member; q [n x width] one member's out-of-fold
 *             output
 * Degenerate  members with the same predictions share evenly; one member gets 1
 * Cost        (n_folds + 1) fits of every member; n (width + M) doubles
 */
#include <invar/ensemble.h>
#include <string.h>

#include "compose/compose.h"
#include "compose/simplex.h"

enum { MAX_MEMBERS = 1000 };
static const double MIN_PROBA = 1e-15; /* one row that nobody foresaw must not decide everything */

enum { AUTO, FIXED, UNIFORM, CROSS_VALIDATED };

typedef struct {
    int64_t weights, n_folds, random_state;
} params;

static const ml__param PARAMS[] = {
    ML__CHOICE(
        params, weights, "auto", "auto|fixed|uniform|cross_validated",
        "where the weights come from; auto: fixed if every member was added with a weight, else cross_validated"),
    ML__INT(params, n_folds, "5", ML__RANGE(2, 1e6), "folds of the cross-validation of weights"),
    ML__RANDOM_STATE(params),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"weights", ML_FLOAT64, "m", ML__FINITE | ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* ---- what it can do and take: what all members can ---- */

static uint32_t tasks_of(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    uint32_t tasks = ML__CLASSIFY | ML__REGRESS;

    for (size_t m = 0; m < members->n; m++)
        tasks &= ml__model_tasks(members->items[m].model);
    return tasks;
}

static uint32_t accepts_of(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);
    uint32_t accepts = ~(uint32_t)ML__FILLS_MISSING;

    for (size_t m = 0; m < members->n; m++)
        accepts &= ml__model_accepts(members->items[m].model);
    return accepts;
}

/* ---- the parameters together ---- */

/* The strategy that `auto` stands for. */
static int64_t strategy_of(const ml_model *model)
{
    const params *p = model->params;

    if (p->weights != AUTO)
        return p->weights;
    return model->members.items[0].weight >= 0 ? FIXED : CROSS_VALIDATED;
}

static ml_status check_weights(const ml_model *model)
{
    const params *p = model->params;
    const ml__members *members = &model->members;
    size_t n_given = 0, without = 0;
    double most = 0;

    for (size_t m = 0; m < members->n; m++) {
        const double weight = members->items[m].weight;

        if (weight >= 0)
            n_given++;
        else
            without = m;
        most = fmax(most, weight);
    }
    if (n_given < members->n && (p->weights == FIXED || (p->weights == AUTO && n_given)))
        return ml__fail(ML_E_PARAMETER,
                        "member '%s' has no weight, %zu of %zu members have one: give all of them or none",
                        members->items[without].name, n_given, members->n);
    if (strategy_of(model) == FIXED && !(most > 0))
        return ml__fail(ML_E_PARAMETER, "the weights of all %zu members are 0", members->n);
    return ML_OK;
}

static ml_status check(const ml_model *model)
{
    const ml__members *members = &model->members;
    uint32_t tasks = ML__CLASSIFY | ML__REGRESS;

    for (size_t m = 0; m < members->n; m++) {
        const ml_model *member = members->items[m].model;

        if (!(ml__model_tasks(member) & (ML__CLASSIFY | ML__REGRESS)))
            return ml__fail(ML_E_PARAMETER, "member '%s' (%s) predicts neither classes nor values",
                            members->items[m].name, member->kind->name);
        tasks &= ml__model_tasks(member);
        if (!tasks)
            return ml__fail(ML_E_PARAMETER,
                            "member '%s' (%s) cannot be averaged with those before it: one predicts classes, the other "
                            "values",
                            members->items[m].name, member->kind->name);
    }
    return check_weights(model);
}

/* ---- weights ---- */

static void fixed_weights(const ml__members *members, double *w)
{
    double most = 0, sum = 0;

    for (size_t m = 0; m < members->n; m++)
        most = fmax(most, members->items[m].weight);
    for (size_t m = 0; m < members->n; m++)
        sum += w[m] = members->items[m].weight / most; /* so that the sum cannot overflow */
    for (size_t m = 0; m < members->n; m++)
        w[m] /= sum;
}

/* Observations: the known outputs of rows of positive weight. */
typedef struct {
    size_t n, M, width; /* width of q */
    size_t N;
    double *P, *omega;   /* [N x M], [N] */
    size_t *row, *place; /* [N] element of q that is compared: row * width + place */
    double *y;           /* [N] value of reals */
    double *q;
} observations;

static void add_labels(observations *b, const int32_t *labels, const double *omega, size_t offset)
{
    for (size_t i = 0; i < b->n; i++)
        if (labels[i] >= 0 && omega[i] > 0) {
            b->row[b->N] = i;
            b->place[b->N] = offset + (size_t)labels[i];
            b->omega[b->N++] = omega[i];
        }
}

static void add_values(observations *b, const double *targets, size_t n_outputs, const double *omega, size_t o)
{
    for (size_t i = 0; i < b->n; i++)
        if (!isnan(targets[i * n_outputs + o]) && omega[i] > 0) {
            b->row[b->N] = i;
            b->place[b->N] = o;
            b->y[b->N] = targets[i * n_outputs + o];
            b->omega[b->N++] = omega[i];
        }
}

static ml_status gather_observations(ml__fit *f, observations *b)
{
    const double *omega = ml__fit_weights(f), *targets = f->task == ML__REGRESS ? ml__fit_targets(f) : NULL;
    size_t offset = 0;
    ml_status st = ML_OK;

    if (!omega || (f->task == ML__REGRESS && !targets))
        return ML_E_MEMORY;
    for (size_t o = 0; o < f->n_outputs; o++) {
        if (f->task == ML__REGRESS) {
            add_values(b, targets, f->n_outputs, omega, o);
            continue;
        }
        const int32_t *labels = ml__fit_labels(f, o);
        if (!labels)
            return ML_E_MEMORY;
        add_labels(b, labels, omega, offset);
        offset += f->schema->outputs[o].n_classes;
    }
    ML__CHECK(b->N, ML_E_DATA, "no row has an output and a positive weight");
done:
    return st;
}

static ml_status create_observations(ml__fit *f, observations *b)
{
    const bool real = f->task == ML__REGRESS;
    size_t most, n_values;
    ml_status st = ML_OK;

    *b = (observations){.n = f->n, .M = f->model->members.n};
    b->width = real ? f->n_outputs : ml__schema_width(f->schema);
    ML__CHECK(ml__size_mul(f->n, f->n_outputs, &most) && ml__size_mul(most, b->M, &n_values) &&
                  ml__size_mul(f->n, b->width, &n_values),
              ML_E_MEMORY, "predictions of %zu members for %zu rows do not fit in memory", b->M, f->n);
    ML__NEW(f->scratch, b->P, most * b->M);
    ML__NEW(f->scratch, b->omega, most);
    ML__NEW(f->scratch, b->row, most);
    ML__NEW(f->scratch, b->place, most);
    ML__NEW(f->scratch, b->y, real ? most : 0);
    ML__NEW(f->scratch, b->q, f->n * b->width);
    ML__TRY(gather_observations(f, b));
done:
    return st;
}

/* Column m of P from the out-of-fold output q of member m. */
static void fill_column(observations *b, size_t m, int32_t task)
{
    for (size_t r = 0; r < b->N; r++) {
        const double q = b->q[b->row[r] * b->width + b->place[r]];
        b->P[r * b->M + m] = task == ML__REGRESS ? q - b->y[r] : fmin(fmax(q, MIN_PROBA), 1);
    }
}

static ml_status predict_out_of_fold(ml__fit *f, const ml__folds *folds, size_t m, double *q)
{
    const ml__member *member = &f->model->members.items[m];
    const size_t length = ml__run_enter(f->run, member->name);
    ml_status st = ml__out_of_fold(f->run, member->model, f->data, folds, ml__seed_mix(f->seed, m),
                                   f->task == ML__REGRESS ? ML_PREDICT : ML_PREDICT_PROBA, q);

    ml__run_leave(f->run, length);
    return st == ML_OK || st == ML_E_CANCELLED || st == ML_E_MEMORY ? st : ml__blame(st, "%s: ", member->name);
}

/* Errors in units of the largest, so that their squares neither overflow nor vanish. */
static void scale_errors(observations *b)
{
    double largest = 0;

    for (size_t r = 0; r < b->N * b->M; r++)
        largest = fmax(largest, fabs(b->P[r]));
    for (size_t r = 0; r < b->N * b->M && largest > 0; r++)
        b->P[r] /= largest;
}

static ml_status cross_validated_weights(ml__fit *f, uint64_t n_steps, double *w)
{
    const params *p = f->params;
    const ml__folds folds = {
        .n_folds = (size_t)p->n_folds, .seed = f->seed, .flags = f->task == ML__CLASSIFY ? ML_STRATIFY : 0};
    observations b;
    double gap;
    ml_status st = ML_OK;

    ML__CHECK(f->n >= folds.n_folds, ML_E_DATA, "%zu rows cannot make %zu folds", f->n, folds.n_folds);
    ML__TRY(create_observations(f, &b));
    for (size_t m = 0; m < b.M; m++) {
        ML__TRY(predict_out_of_fold(f, &folds, m, b.q));
        fill_column(&b, m, f->task);
        ML__TRY(ml__fit_step(f, m + 1, n_steps, "", NAN));
    }
    if (f->task == ML__REGRESS) {
        scale_errors(&b);
        ML__TRY(ml__simplex_squares(f->scratch, b.N, b.M, b.P, b.omega, w, &gap));
    } else {
        ML__TRY(ml__simplex_log_loss(f->scratch, b.N, b.M, b.P, b.omega, w, &gap));
    }
done:
    return st;
}

/* ---- fit ---- */

static ml_status fit_members(ml__fit *f, const double *w, uint64_t n_steps)
{
    const ml__members *members = &f->model->members;
    ml_model *fitted;
    ml_status st = ML_OK;

    for (size_t m = 0; m < members->n; m++) {
        const ml__member *member = &members->items[m];

        ML__TRY(
            ml__fit_member_validated(f, member->model, member->name, ML__AS_IF_ALONE, f->data, f->validation, &fitted));
        ML__TRY(ml__fit_adopt(f, member->name, fitted, w[m]));
        ML__TRY(ml__fit_step(f, n_steps - members->n + m + 1, n_steps, "", NAN));
    }
    if (ml__fit_late(f))
        f->learned->stop_reason = ML_STOP_DEADLINE;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const size_t M = f->model->members.n;
    const int64_t strategy = strategy_of(f->model);
    const uint64_t n_steps = strategy == CROSS_VALIDATED && M > 1 ? 2 * M : M;
    double *w;
    ml_status st = ML_OK;

    ML__PUBLISH(f, w, "weights", ML_FLOAT64, M);
    if (strategy == FIXED)
        fixed_weights(&f->model->members, w);
    else if (strategy == CROSS_VALIDATED && M > 1)
        ML__TRY(cross_validated_weights(f, n_steps, w));
    else
        for (size_t m = 0; m < M; m++)
            w[m] = 1 / (double)M;
    ML__TRY(fit_members(f, w, n_steps));
done:
    return st;
}

/* ---- what fits together, after every fit and load ---- */

static ml_status check_member(const ml__learned *learned, const ml__member *member)
{
    const ml__learned *theirs = member->model->learned;
    const bool real = learned->task == ML__REGRESS;
    const int32_t what = real ? ML_PREDICT : ML_PREDICT_PROBA;
    const size_t width = real ? learned->schema.n_outputs : ml__schema_width(&learned->schema);
    ml_status st = ML_OK;

    ML__CHECK(theirs, ML_E_FORMAT, "weighted_average: member '%s' is not fitted", member->name);
    ML__CHECK(theirs->schema.n_features == learned->schema.n_features, ML_E_FORMAT,
              "weighted_average: member '%s' takes %zu features, the ensemble %zu", member->name,
              theirs->schema.n_features, learned->schema.n_features);
    ML__CHECK(theirs->task == learned->task && ml__same_outputs(&theirs->schema, &learned->schema) &&
                  ml_model_width(member->model, what) == width,
              ML_E_FORMAT, "weighted_average: the outputs of member '%s' are not those of the ensemble", member->name);
done:
    return st;
}

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__named_tensor *t = ml__learned_find(learned, "weights");
    const double *w = t->data;
    double sum = 0;
    ml_status st = ML_OK;

    (void)model;
    ML__CHECK(learned->members.n >= 1 && t->shape[0] == learned->members.n, ML_E_FORMAT,
              "weighted_average: %llu weights for %zu members", (unsigned long long)t->shape[0], learned->members.n);
    for (size_t m = 0; m < learned->members.n; m++) {
        ML__TRY(check_member(learned, &learned->members.items[m]));
        sum += w[m];
    }
    ML__CHECK(fabs(sum - 1) <= 1e-9, ML_E_FORMAT, "weighted_average: the weights sum to %g, not 1", sum);
    learned->state = t->data;
done:
    return st;
}

/* ---- predict ---- */

static ml_status average(const ml_model *model, int32_t what, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__members *members = &model->learned->members;
    const double *w = model->learned->state;
    const size_t count = x->n * ml_model_width(model, what);
    double *one = ml__scratch_take(&scratch, count, sizeof *one);
    ml_status st = ML_OK;

    if (!one)
        return ML_E_MEMORY;
    memset(out, 0, count * sizeof *out);
    for (size_t m = 0; m < members->n; m++) {
        if (w[m] == 0)
            continue;
        ML__TRY(ml__evaluate(members->items[m].model, what, x->f64, x->n, one, scratch));
        for (size_t i = 0; i < count; i++)
            out[i] += w[m] * one[i];
    }
done:
    return st;
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return average(model, ML_PREDICT_PROBA, x, out, scratch);
}

static ml_status values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return average(model, ML_PREDICT, x, out, scratch);
}

static size_t scratch_of(const ml_model *model, size_t n)
{
    const ml__schema *schema = &model->learned->schema;
    const size_t width = model->learned->task == ML__REGRESS ? schema->n_outputs : ml__schema_width(schema);

    return ml__members_scratch(&model->learned->members, n) + ml__scratch_bytes(n * width, sizeof(double));
}

const ml__kind ml__weighted_average = {
    .name = "weighted_average",
    .doc = "Weighted average of the predictions of its members, with given or cross-validated weights",
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .min_members = 1,
    .max_members = MAX_MEMBERS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .proba = proba,
    .values = values,
    .scratch = scratch_of,
    .tasks_of = tasks_of,
    .accepts_of = accepts_of,
};

/* ---- the same object under its public name ---- */

static ml_model *model_of(ml_ensemble *ensemble)
{
    return (ml_model *)ensemble;
}

ml_status ml_ensemble_create(ml_context *context, ml_ensemble **out)
{
    ml_model *model = NULL;
    ml_status st;

    if (!out)
        return ml__fail(ML_E_ARGUMENT, "out is NULL");
    st = ml__model_new(context, &ml__weighted_average, &model);
    *out = (ml_ensemble *)model;
    return st;
}

void ml_ensemble_free(ml_ensemble *ensemble)
{
    ml_model_free(model_of(ensemble));
}

ml_status ml_ensemble_add(ml_ensemble *ensemble, const char *name, ml_model *member, double weight)
{
    if (!ensemble)
        return ml__fail(ML_E_ARGUMENT, "ensemble is NULL");
    if (weight != ML_AUTO_WEIGHT && !(weight >= 0 && isfinite(weight)))
        return ml__fail(ML_E_ARGUMENT, "weight is %g, expected a finite number >= 0 or ML_AUTO_WEIGHT", weight);
    return ml__model_attach(model_of(ensemble), name, member, weight);
}

ml_model *ml_ensemble_model(ml_ensemble *ensemble)
{
    return model_of(ensemble);
}

ml_ensemble *ml_model_ensemble(ml_model *model)
{
    return model && model->kind == &ml__weighted_average ? (ml_ensemble *)model : NULL;
}

ml_status ml_ensemble_weights(const ml_ensemble *ensemble, double *out, size_t n)
{
    const ml_model *model = (const ml_model *)ensemble;
    ml_status st = ML_OK;

    ML__CHECK(model && out, ML_E_ARGUMENT, "%s is NULL", model ? "out" : "ensemble");
    ML__CHECK(model->learned, ML_E_STATE, "the ensemble is not fitted");
    ML__CHECK(n == model->learned->members.n, ML_E_SHAPE, "out has %zu elements, the ensemble %zu members", n,
              model->learned->members.n);
    memcpy(out, model->learned->state, n * sizeof *out);
done:
    return st;
}
