/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pipeline: every step but the last transforms the features for the next one.
 *
 * Predict     f(x) = f_S(... f_2(f_1(x))), f_1 .. f_{S-1} by their transform, f_S by whatever was asked for; when the
 *             last step is a transformer as well, so is the pipeline
 * Back        the inverses of the steps that transform, the last of them first; a final predictor is left out. What both predicts
 *             and transforms, as kmeans does, is a step like the others: its new features are those of the pipeline
 * Fit         step s on the training data as steps 1 .. s-1 transform it, the validation data alike. The stop reason is
 *             that of the last step, or ML_STOP_DEADLINE (ML_STOP_MONITOR) when any of them was cut short.
 * Missing     values are accepted when every step up to one whose output has none (an imputer), or may have none, accepts
 *             them; what then still reaches a step that does not is refused
 * Categories  as the first step; outputs and weights as the last. Every step sees its data with the checks of a fit of
 *             its own, so that what it cannot take is refused by its name.
 *
 * Symbols     S steps; x n rows between two steps, in one of two buffers of the widest step's width
 */
#include "compose/compose.h"

static const ml__param PARAMS[] = {ML__PARAMS_END};
static const ml__tensor_rule TENSORS[] = {{NULL, 0, NULL, 0}};
enum { MAX_STEPS = 1000 };

static const ml_model *last_step(const ml__members *steps)
{
    return steps->items[steps->n - 1].model;
}

/* ---- what it can do and take ---- */

static uint32_t tasks_of(const ml_model *model)
{
    const ml__members *steps = ml__model_members(model);
    return steps->n ? ml__model_tasks(last_step(steps)) : 0;
}

static uint32_t accepts_of(const ml_model *model)
{
    const ml__members *steps = ml__model_members(model);
    uint32_t missing = ML__MISSING, filled = 0, accepts;

    if (!steps->n)
        return 0;
    accepts = ml__model_accepts(last_step(steps)) & (ML__WEIGHTS | ML__MULTI_OUTPUT | ML__MISSING_LABELS);
    accepts |= ml__model_accepts(steps->items[0].model) & ML__CATEGORIES;
    for (size_t s = 0; s < steps->n; s++) {
        const uint32_t step = ml__model_accepts(steps->items[s].model);

        if (!filled)
            missing &= step;
        filled |= step & (ML__FILLS_MISSING | ML__MAY_FILL);
    }
    return accepts | missing | filled;
}

static ml_status check(const ml_model *model)
{
    const ml__members *steps = &model->members;
    ml_status st = ML_OK;

    for (size_t s = 0; s + 1 < steps->n; s++)
        ML__CHECK(ml__transforms(steps->items[s].model), ML_E_PARAMETER,
                  "step '%s' (%s) cannot transform, so it can only be the last one", steps->items[s].name,
                  steps->items[s].model->kind->name);
done:
    return st;
}

/* ---- fit ---- */

/* What is passed from step to step: the data so far, owned unless it is the caller's. */
typedef struct {
    const ml_dataset *data;
    ml_dataset *owned;
} passing;

static ml_status pass_on(const ml_model *step, const char *name, passing *p)
{
    ml_dataset *next;
    ml_status st = ML_OK;

    if (!p->data)
        return st;
    st = ml__transformed(step, p->data, &next);
    ml_dataset_free(p->owned);
    p->data = p->owned = next;
    return st == ML_OK || st == ML_E_MEMORY ? st : ml__blame(st, "after step '%s': ", name);
}

static ml_status fit(ml__fit *f)
{
    const ml__members *steps = &f->model->members;
    passing train = {f->data, NULL}, validation = {f->validation, NULL};
    ml_model *fitted;
    ml_status st = ML_OK;

    for (size_t s = 0; s < steps->n; s++) {
        const ml__member *step = &steps->items[s];

        ML__TRY(ml__fit_member_validated(f, step->model, step->name, ML__AS_IF_ALONE, train.data, validation.data,
                                         &fitted));
        ML__TRY(ml__fit_adopt(f, step->name, fitted, ML_AUTO_WEIGHT));
        if (s + 1 < steps->n) {
            ML__TRY(pass_on(fitted, step->name, &train));
            ML__TRY(pass_on(fitted, step->name, &validation));
        }
        if (!ml__was_cut(f->learned))
            f->learned->stop_reason = fitted->learned->stop_reason;
        ML__TRY(ml__fit_step(f, s + 1, steps->n, "", NAN));
    }
done:
    ml_dataset_free(train.owned);
    ml_dataset_free(validation.owned);
    return st;
}

/* ---- what fits together, after every fit and load ---- */

typedef struct {
    size_t widest;       /* of the features between two steps */
    bool *takes_missing; /* each step */
} state;

static ml_status prepare(const ml_model *model, ml__learned *learned)
{
    const ml__members *steps = &learned->members;
    size_t width = learned->schema.n_features;
    state *s;
    ml_status st = ML_OK;

    (void)model;
    ML__NEW(&learned->arena, s, 1);
    ML__CHECK(steps->n >= 1, ML_E_FORMAT, "pipeline: it has no steps");
    ML__NEW(&learned->arena, s->takes_missing, steps->n);
    for (size_t i = 0; i < steps->n; i++) {
        const ml_model *step = steps->items[i].model;

        ML__CHECK(step->learned, ML_E_FORMAT, "pipeline: step '%s' is not fitted", steps->items[i].name);
        ML__CHECK(step->learned->schema.n_features == width, ML_E_FORMAT,
                  "pipeline: step '%s' takes %zu features and gets %zu", steps->items[i].name,
                  step->learned->schema.n_features, width);
        s->takes_missing[i] = ml__model_accepts(step) & ML__MISSING;
        if (i + 1 == steps->n)
            break;
        width = ml_model_width(step, ML_TRANSFORM);
        ML__CHECK(width, ML_E_FORMAT, "pipeline: step '%s' cannot transform", steps->items[i].name);
        s->widest = width > s->widest ? width : s->widest;
    }
    ML__CHECK(last_step(steps)->learned->task == learned->task &&
                  ml__same_outputs(&last_step(steps)->learned->schema, &learned->schema),
              ML_E_FORMAT, "pipeline: its outputs are not those of its last step");
    learned->state = s;
done:
    return st;
}

/* ---- predict ---- */

/* Finite numbers can leave the range of doubles on the way, and no step expects that. */
static ml_status check_range(const ml__member *step, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (isinf(x[i]))
            return ml__fail(ML_E_NUMERIC, "step '%s' turns a feature into %g", step->name, x[i]);
    return ML_OK;
}

/* For a step that takes no missing values. */
static ml_status check_filled(const ml__member *step, const double *x, size_t n, size_t width)
{
    for (size_t i = 0; i < n * width; i++)
        if (isnan(x[i]))
            return ml__refuse_missing_in(step->name, step->model,
                                         step->model->learned->schema.features[i % width].name);
    return ML_OK;
}

static ml_status run(const ml_model *model, int32_t what, const ml__block *x, double *out, ml__scratch scratch)
{
    const ml__members *steps = &model->learned->members;
    const state *s = model->learned->state;
    const double *from = x->f64;
    double *buffers[2];
    size_t width;
    ml_status st = ML_E_MEMORY;

    buffers[0] = ml__scratch_take(&scratch, x->n * s->widest, sizeof(double));
    buffers[1] = ml__scratch_take(&scratch, x->n * s->widest, sizeof(double));
    if (!buffers[0] || !buffers[1])
        goto done;
    for (size_t i = 0; i + 1 < steps->n; i++) {
        double *to = buffers[i % 2];

        ML__TRY(ml__evaluate(steps->items[i].model, ML_TRANSFORM, from, x->n, to, scratch));
        width = ml_model_width(steps->items[i].model, ML_TRANSFORM);
        ML__TRY(check_range(&steps->items[i], to, x->n * width));
        if (!s->takes_missing[i + 1])
            ML__TRY(check_filled(&steps->items[i + 1], to, x->n, width));
        from = to;
    }
    ML__TRY(ml__evaluate(last_step(steps), what, from, x->n, out, scratch));
done:
    return st;
}

static ml_status proba(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return run(model, ML_PREDICT_PROBA, x, out, scratch);
}

static ml_status values(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return run(model, ML_PREDICT, x, out, scratch);
}

static ml_status decision(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return run(model, ML_DECISION, x, out, scratch);
}

static ml_status transform(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return run(model, ML_TRANSFORM, x, out, scratch);
}

static ml_status score_samples(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch)
{
    return run(model, ML_SCORE_SAMPLES, x, out, scratch);
}

/* ---- back from new features ---- */

/* Steps that transform: all, or all before a final predictor. */
static size_t n_transformers(const ml__members *steps)
{
    return steps->n - !ml_model_width(last_step(steps), ML_TRANSFORM);
}

static size_t inverse_width(const ml_model *model)
{
    const ml__members *steps = &model->learned->members;
    const size_t n = n_transformers(steps);

    for (size_t i = 0; i < n; i++)
        if (!ml__inverse_width(steps->items[i].model))
            return 0;
    return n ? ml_model_width(steps->items[n - 1].model, ML_TRANSFORM) : 0;
}

static ml_status inverse(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch)
{
    const ml__members *steps = &model->learned->members;
    const state *s = model->learned->state;
    double *buffers[2];
    ml_status st = ML_E_MEMORY;

    buffers[0] = ml__scratch_take(&scratch, n * s->widest, sizeof(double));
    buffers[1] = ml__scratch_take(&scratch, n * s->widest, sizeof(double));
    if (!buffers[0] || !buffers[1])
        goto done;
    for (size_t i = n_transformers(steps); i-- > 0;) {
        const ml__member *step = &steps->items[i];
        double *to = i ? buffers[i % 2] : out;

        ML__TRY(ml__evaluate_inverse(step->model, z, n, to, scratch));
        ML__TRY(check_range(step, to, n * step->model->learned->schema.n_features));
        z = to;
    }
done:
    return st;
}

/* ---- sizes and names ---- */

static size_t scratch_of(const ml_model *model, size_t n)
{
    const state *s = model->learned->state;

    return ml__members_scratch(&model->learned->members, n) + 2 * ml__scratch_bytes(n * s->widest, sizeof(double));
}

static size_t width(const ml_model *model, int32_t what)
{
    return ml_model_width(last_step(&model->learned->members), what);
}

static ml_status name_features(const ml_model *model, ml__arena *arena, ml__schema *features)
{
    return ml__name_new_features(last_step(&model->learned->members), arena, features);
}

const ml__kind ml__pipeline = {
    .name = "pipeline",
    .doc = "Steps one after the other: transformers, then a model of any kind",
    .real = ML_FLOAT64,
    .params = PARAMS,
    .tensors = TENSORS,
    .min_members = 1,
    .max_members = MAX_STEPS,
    .fit = fit,
    .check = check,
    .prepare = prepare,
    .proba = proba,
    .values = values,
    .decision = decision,
    .transform = transform,
    .score_samples = score_samples,
    .inverse = inverse,
    .inverse_width = inverse_width,
    .scratch = scratch_of,
    .width = width,
    .tasks_of = tasks_of,
    .accepts_of = accepts_of,
    .name_features = name_features,
};
