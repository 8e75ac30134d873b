/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predicting: rows are taken in blocks of a size that depends on the model only, converted to the kind's precision and
 * given to its predictor. Every row is computed on its own, so neither blocks nor threads show in the result. The row of
 * ml_model_predict_row() is marked `alone`; what composites ask of their members is not, so theirs is as in a batch.
 */
#include "model/model.h"

#include <float.h>
#include <stdalign.h>
#include <string.h>

enum {
    BLOCK_ROWS = 256,    /* at most, where the kind does not want more */
    BLOCK_VALUES = 128,  /* times the rows of a full block: features and outputs of 256 rows stay within 256 KiB */
    STACK_SCRATCH = 8192 /* smaller workspaces live on the stack */
};

/* ---- scratch ---- */

size_t ml__scratch_bytes(size_t count, size_t size)
{
    size_t n_bytes;

    if (!ml__size_mul(count, size, &n_bytes) || n_bytes > SIZE_MAX / 4)
        return SIZE_MAX / 4;
    return (n_bytes + 63) / 64 * 64 + 64;
}

void *ml__scratch_take(ml__scratch *scratch, size_t count, size_t size)
{
    const size_t to_boundary = (64 - (uintptr_t)scratch->next % 64) % 64;
    size_t n_bytes;
    void *piece;

    if (!ml__size_mul(count, size, &n_bytes) || n_bytes > SIZE_MAX - 127 || scratch->left < to_boundary ||
        scratch->left - to_boundary < (n_bytes = (n_bytes + 63) / 64 * 64)) {
        (void)ml__fail(ML_E_MEMORY, "the workspace of a prediction has %zu bytes left, too few for %zu times %zu",
                       scratch->left, count, size);
        return NULL;
    }
    piece = scratch->next + to_boundary;
    scratch->next += to_boundary + n_bytes;
    scratch->left -= to_boundary + n_bytes;
    return piece;
}

/* ---- what is offered ---- */

static const char *call_name(int32_t what)
{
    static const char *const NAMES[] = {"?", "predict", "predict_proba", "decision", "transform", "score_samples"};

    return what >= ML_PREDICT && what <= ML_SCORE_SAMPLES ? NAMES[what] : NAMES[0];
}

/* Or are classes chosen by their probabilities? Clusters may have none. */
static bool predicts_values(const ml_model *model)
{
    const int32_t task = model->learned->task;

    return task == ML__REGRESS || task == ML__MIXED ||
           (task == ML__UNSUPERVISED && !ml_model_width(model, ML_PREDICT_PROBA));
}

static ml__predictor predictor_of(const ml_model *model, int32_t what)
{
    const ml__kind *kind = model->kind;

    switch (what) {
    case ML_PREDICT:
        return predicts_values(model) ? kind->values : kind->proba;
    case ML_PREDICT_PROBA:
        return model->learned->task == ML__REGRESS ? NULL : kind->proba;
    case ML_DECISION:
        return model->learned->task == ML__REGRESS ? NULL : kind->decision;
    case ML_TRANSFORM:
        return kind->transform;
    case ML_SCORE_SAMPLES:
        return kind->score_samples;
    default:
        return NULL;
    }
}

/* Of a call that is offered. */
static size_t width_of(const ml_model *model, int32_t what)
{
    if (model->kind->width)
        return model->kind->width(model, what);
    switch (what) {
    case ML_PREDICT:
        return model->learned->schema.n_outputs;
    case ML_PREDICT_PROBA:
    case ML_DECISION:
        return ml__schema_width(&model->learned->schema);
    case ML_TRANSFORM:
        return model->learned->schema.n_features;
    default:
        return 1;
    }
}

size_t ml_model_width(const ml_model *model, int32_t what)
{
    return model && model->learned && predictor_of(model, what) ? width_of(model, what) : 0;
}

/* ---- one block ---- */

size_t ml__arg_max(const double *values, size_t K)
{
    size_t best = 0;

    for (size_t k = 1; k < K; k++)
        if (values[k] > values[best])
            best = k;
    return best;
}

/* Arg-max of each group of probabilities; ties to the lowest class. */
static void choose_classes(const ml_model *model, const double *proba, size_t n, double *out)
{
    const size_t width = ml_model_width(model, ML_PREDICT_PROBA), n_outputs = ml_model_width(model, ML_PREDICT);
    const ml__output *outputs = model->learned->schema.outputs;

    for (size_t i = 0; i < n; i++) {
        const double *p = proba + i * width;
        for (size_t o = 0; o < n_outputs; o++) {
            const size_t K = model->learned->task == ML__CLASSIFY ? outputs[o].n_classes : width;
            out[i * n_outputs + o] = (double)ml__arg_max(p, K);
            p += K;
        }
    }
}

ml_status ml__to_single(const ml_model *model, const double *x, size_t n, float *out)
{
    const size_t d = model->learned->schema.n_features;

    bool fits = true;

    for (size_t i = 0; i < n * d; i++) {
        fits &= !(fabs(x[i]) > FLT_MAX);
        out[i] = (float)x[i];
    }
    for (size_t i = 0; i < n * d && !fits; i++)
        if (fabs(x[i]) > FLT_MAX)
            return ml__fail(ML_E_DATA, "%s works in single precision, %g of feature '%s' is too large",
                            model->kind->name, x[i], model->learned->schema.features[i % d].name);
    return ML_OK;
}

static ml_status evaluate_block(const ml_model *model, int32_t what, const ml__block *x, double *out,
                                ml__scratch scratch)
{
    const ml__predictor predictor = predictor_of(model, what);
    const bool choose = what == ML_PREDICT && !predicts_values(model);
    double *values = out;
    ml_status st;

    if (choose) {
        values = ml__scratch_take(&scratch, x->n * ml_model_width(model, ML_PREDICT_PROBA), sizeof *values);
        if (!values)
            return ML_E_MEMORY;
    }
    st = predictor(model, x, values, scratch);
    if (st == ML_OK && choose)
        choose_classes(model, values, x->n, out);
    return st;
}

ml_status ml__evaluate_single(const ml_model *model, int32_t what, const float *x, size_t n, double *out,
                              ml__scratch scratch)
{
    const ml__block block = {.n = n, .d = model->learned->schema.n_features, .f32 = x};

    return evaluate_block(model, what, &block, out, scratch);
}

ml_status ml__evaluate(const ml_model *model, int32_t what, const double *x, size_t n, double *out, ml__scratch scratch)
{
    const ml__block block = {.n = n, .d = model->learned->schema.n_features, .f64 = x};
    float *single;
    ml_status st;

    if (!predictor_of(model, what))
        return ml__fail(ML_E_UNSUPPORTED, "%s does not offer %s", model->kind->name, call_name(what));
    if (model->kind->real != ML_FLOAT32)
        return evaluate_block(model, what, &block, out, scratch);
    single = ml__scratch_take(&scratch, n * block.d, sizeof *single);
    if (!single)
        return ML_E_MEMORY;
    st = ml__to_single(model, x, n, single);
    return st == ML_OK ? ml__evaluate_single(model, what, single, n, out, scratch) : st;
}

size_t ml__evaluate_scratch(const ml_model *model, size_t n)
{
    size_t n_bytes = ml__scratch_bytes(n * ml_model_width(model, ML_PREDICT_PROBA), sizeof(double));

    if (model->kind->real == ML_FLOAT32)
        n_bytes += ml__scratch_bytes(n * model->learned->schema.n_features, sizeof(float));
    if (model->kind->scratch)
        n_bytes += model->kind->scratch(model, n);
    return n_bytes;
}

size_t ml__members_scratch(const ml__members *members, size_t n)
{
    size_t most = 0;

    for (size_t i = 0; i < members->n; i++) {
        const size_t n_bytes = ml__evaluate_scratch(members->items[i].model, n);
        most = n_bytes > most ? n_bytes : most;
    }
    return most;
}

/* ---- all rows of a dataset ---- */

typedef struct application {
    const ml_model *model;
    const ml_dataset *data;
    const double *z; /* new features to go back from [n_rows x n_in], or NULL: features come from data */
    double *out;
    int32_t what;
    bool staged; /* after each stage: as many times n_rows x width */
    bool missing_allowed;
    size_t n_rows, n_in, width, rows_per_block, blocks_per_part;
    char *workspace; /* n_parts pieces: a block of rows, then scratch */
    size_t part_bytes;
} application;

static size_t block_rows(const application *a)
{
    const size_t values = a->n_in + a->width;
    const size_t most = a->model->kind->block_rows ? a->model->kind->block_rows : BLOCK_ROWS;
    const size_t rows = most * BLOCK_VALUES / values;

    return !rows ? 1 : rows < most ? rows : most;
}

/* Of a composite, the innermost member that takes no missing values; NULL: the model itself. */
static const ml__member *find_refusing(const ml_model *model)
{
    const ml__members *members = ml__model_members(model);

    for (size_t i = 0; i < members->n; i++)
        if (!(ml__model_accepts(members->items[i].model) & ML__MISSING)) {
            const ml__member *inner = find_refusing(members->items[i].model);
            return inner ? inner : &members->items[i];
        }
    return NULL;
}

ml_status ml__refuse_missing(const ml_model *model, size_t row, const char *feature_name)
{
    const ml__member *refusing = find_refusing(model);

    if (refusing)
        return ml__fail(ML_E_DATA,
                        "%s takes no missing values, row %zu of feature '%s' is missing (member '%s' (%s) refuses "
                        "them, a simple_imputer before it helps)",
                        model->kind->name, row, feature_name, refusing->name, refusing->model->kind->name);
    return ml__fail(ML_E_DATA,
                    "%s takes no missing values, row %zu of feature '%s' is missing (a simple_imputer before it helps)",
                    model->kind->name, row, feature_name);
}

static ml_status check_missing(const ml_model *model, const double *x, size_t n, size_t first_row)
{
    const size_t d = model->learned->schema.n_features;

    for (size_t i = 0; i < n * d; i++)
        if (isnan(x[i]))
            return ml__refuse_missing(model, first_row + i / d, model->learned->schema.features[i % d].name);
    return ML_OK;
}

ml_status ml__rows_accepted(const ml_model *model, const double *x, size_t n, size_t first_row)
{
    return ml__model_accepts(model) & ML__MISSING ? ML_OK : check_missing(model, x, n, first_row);
}

ml_status ml__rows_to_single(const ml_model *model, const double *x, size_t n, size_t first_row, float *out)
{
    const ml_status st = ml__rows_accepted(model, x, n, first_row);

    return st == ML_OK ? ml__to_single(model, x, n, out) : st;
}

/* Rows from `first` on into the block x, with what is refused in them. */
static ml_status take_rows(const application *a, size_t first, size_t n, double *x)
{
    if (!a->z) {
        const ml_status st = ml__dataset_read(a->data, first, n, ML_FLOAT64, x);
        return st != ML_OK || a->missing_allowed ? st : check_missing(a->model, x, n, first);
    }
    memcpy(x, a->z + first * a->n_in, n * a->n_in * sizeof *x);
    for (size_t i = 0; i < n * a->n_in; i++)
        if (isinf(x[i]))
            return ml__fail(ML_E_DATA, "row %zu, column %zu of the new features is infinite", first + i / a->n_in,
                            i % a->n_in);
    return ML_OK;
}

static ml_status evaluate_rows(const application *a, const double *x, size_t n, double *out, ml__scratch scratch)
{
    const ml__block block = {.n = n, .d = a->model->learned->schema.n_features, .f64 = x};

    if (a->z)
        return ml__evaluate_inverse(a->model, x, n, out, scratch);
    if (a->staged)
        return a->model->kind->staged(a->model, a->what, &block, out, a->n_rows * a->width, scratch);
    return ml__evaluate(a->model, a->what, x, n, out, scratch);
}

static ml_status apply_part(void *argument, size_t part)
{
    const application *a = argument;
    const size_t step = a->rows_per_block;
    const size_t begin = part * a->blocks_per_part * step;
    const size_t span = a->blocks_per_part * step, end = a->n_rows - begin < span ? a->n_rows : begin + span;
    ml__scratch scratch = {a->workspace + part * a->part_bytes, a->part_bytes};
    double *x = ml__scratch_take(&scratch, step * a->n_in, sizeof *x);
    ml_status st = x ? ML_OK : ML_E_MEMORY;

    for (size_t i = begin; i < end && st == ML_OK; i += step) {
        const size_t n = end - i < step ? end - i : step;

        st = take_rows(a, i, n, x);
        if (st == ML_OK)
            st = evaluate_rows(a, x, n, a->out + i * a->width, scratch);
    }
    return st;
}

/* What a row costs about, from what was measured: reading it, and a share of what was learned. */
static double row_nanoseconds(const ml_model *model)
{
    const ml__learned *learned = model->learned;
    double nanoseconds = 10 + 0.7 * (double)learned->schema.n_features;

    for (size_t t = 0; t < learned->n_tensors; t++) {
        double n_values = 1;
        for (uint32_t r = 0; r < learned->tensors[t].rank; r++)
            n_values *= (double)learned->tensors[t].shape[r];
        nanoseconds += 0.05 * n_values;
    }
    for (size_t m = 0; m < learned->members.n; m++)
        nanoseconds += row_nanoseconds(learned->members.items[m].model);
    return nanoseconds;
}

/* How many rows are taken at a time, and what that needs. */
static void choose_blocks(application *a)
{
    a->rows_per_block = block_rows(a);
    if (a->n_rows < a->rows_per_block)
        a->rows_per_block = a->n_rows;
    a->part_bytes = ml__scratch_bytes(a->rows_per_block * a->n_in, sizeof(double)) +
                    ml__evaluate_scratch(a->model, a->rows_per_block) + 64;
}

static ml_status apply_parts(application *a)
{
    const size_t n_threads = ml__n_threads(a->model->context);
    size_t n_blocks, n_parts, n_bytes;
    alignas(64) char small[STACK_SCRATCH];
    double part_ns;
    ml_status st;

    if (!a->n_rows)
        return ML_OK;
    choose_blocks(a);
    n_blocks = (a->n_rows + a->rows_per_block - 1) / a->rows_per_block;
    n_parts = n_threads < n_blocks ? n_threads : n_blocks;
    a->blocks_per_part = (n_blocks + n_parts - 1) / n_parts;
    n_parts = (n_blocks + a->blocks_per_part - 1) / a->blocks_per_part;
    if (!ml__size_mul(n_parts, a->part_bytes, &n_bytes))
        return ml__fail(ML_E_MEMORY, "workspace of %zu parts does not fit in memory", n_parts);
    a->workspace = n_bytes <= sizeof small ? small : ml__alloc(a->model->context, n_bytes);
    if (!a->workspace)
        return ML_E_MEMORY;
    part_ns = n_parts > 1 ? (double)a->n_rows / (double)n_parts * row_nanoseconds(a->model) : 0;
    st = ml__parallel_for_cost(a->model->context, n_parts, part_ns, apply_part, a);
    if (a->workspace != small)
        ml__free(a->workspace);
    return st;
}

static ml_status check_ready(const ml_model *model, int32_t what, size_t *width)
{
    const char *why;

    if (what < ML_PREDICT || what > ML_SCORE_SAMPLES)
        return ml__fail(ML_E_ARGUMENT, "what is %d, expected ML_PREDICT to ML_SCORE_SAMPLES", (int)what);
    if (!model->learned)
        return ml__fail(ML_E_STATE, "%s is not fitted", model->kind->name);
    *width = ml_model_width(model, what);
    if (*width)
        return ML_OK;
    why = model->kind->why_not ? model->kind->why_not(model, what) : NULL;
    return ml__fail(ML_E_UNSUPPORTED, "%s does not offer %s%s%s%s", model->kind->name, call_name(what),
                    model->learned->task == ML__REGRESS ? " as a regressor" : "", why ? ": " : "", why ? why : "");
}

static size_t stages_of(const ml_model *model)
{
    return model->kind->n_stages ? model->kind->n_stages(model) : 0;
}

static ml_status check_size(const application *a, size_t n)
{
    const size_t n_stages = a->staged ? stages_of(a->model) : 1;
    size_t wanted;
    ml_status st = ML_OK;

    ML__CHECK(n_stages, ML_E_UNSUPPORTED, "%s does not learn in stages", a->model->kind->name);
    ML__CHECK(ml__size_mul(a->n_rows, a->width, &wanted) && ml__size_mul(wanted, n_stages, &wanted) && wanted == n,
              ML_E_SHAPE, "out has %zu elements, %s of %zu rows gives %zu each%s", n, call_name(a->what), a->n_rows,
              a->width, a->staged ? " and stage" : "");
done:
    return st;
}

ml_status ml__model_can_apply(const ml_model *model, int32_t what, const ml_dataset *data, size_t *width)
{
    const ml_status st = check_ready(model, what, width);

    return st == ML_OK ? ml__schema_match(&model->learned->schema, ml__dataset_schema(data)) : st;
}

static ml_status apply(application *a, size_t n)
{
    const ml_model *model = a->model;
    const ml__float_state host = ml__float_begin();
    ml_status st = ML_OK;

    ML__CHECK(model && a->data && a->out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !a->data ? "data" : "out");
    ML__TRY(ml__model_can_apply(model, a->what, a->data, &a->width));
    a->n_rows = ml_dataset_n_rows(a->data);
    ML__TRY(check_size(a, n));
    a->n_in = model->learned->schema.n_features;
    a->missing_allowed = ml__model_accepts(model) & ML__MISSING;
    ML__TRY(ml__dataset_unchanged(a->data));
    ML__TRY(apply_parts(a));
    ML__TRY(ml__dataset_unchanged(a->data));
done:
    return ml__float_end(host, st);
}

ml_status ml__model_apply(const ml_model *model, int32_t what, const ml_dataset *data, double *out, size_t n)
{
    application a = {.model = model, .data = data, .out = out, .what = what};

    return apply(&a, n);
}

ml_status ml_model_staged_predict(const ml_model *model, const ml_dataset *data, int32_t what, double *out, size_t n)
{
    application a = {.model = model, .data = data, .out = out, .what = what, .staged = true};

    return apply(&a, n);
}

size_t ml_model_stage_count(const ml_model *model)
{
    return model && model->learned ? stages_of(model) : 0;
}

ml_status ml_model_predict(const ml_model *model, const ml_dataset *data, double *out, size_t n)
{
    return ml__model_apply(model, ML_PREDICT, data, out, n);
}

ml_status ml_model_predict_proba(const ml_model *model, const ml_dataset *data, double *out, size_t n)
{
    return ml__model_apply(model, ML_PREDICT_PROBA, data, out, n);
}

ml_status ml_model_decision(const ml_model *model, const ml_dataset *data, double *out, size_t n)
{
    return ml__model_apply(model, ML_DECISION, data, out, n);
}

ml_status ml_model_transform(const ml_model *model, const ml_dataset *data, double *out, size_t n)
{
    return ml__model_apply(model, ML_TRANSFORM, data, out, n);
}

ml_status ml_model_score_samples(const ml_model *model, const ml_dataset *data, double *out, size_t n)
{
    return ml__model_apply(model, ML_SCORE_SAMPLES, data, out, n);
}

/* ---- back from new features ---- */

size_t ml__inverse_width(const ml_model *model)
{
    if (!model->kind->inverse)
        return 0;
    return model->kind->inverse_width ? model->kind->inverse_width(model) : ml_model_width(model, ML_TRANSFORM);
}

/* Of a composite of steps the last one without a way back is named. */
static ml_status refuse_inverse(const ml_model *model)
{
    const ml__members *steps = &model->learned->members;

    for (size_t i = steps->n; i-- > 0 && model->kind->inverse;) {
        const ml_model *step = steps->items[i].model;
        if (ml_model_width(step, ML_TRANSFORM) && !ml__inverse_width(step))
            return ml__fail(
                ML_E_UNSUPPORTED,
                "%s has no inverse_transform: its step '%s' (%s) has no inverse_transform, and all steps that "
                "transform need one",
                model->kind->name, steps->items[i].name, step->kind->name);
    }
    return ml__fail(ML_E_UNSUPPORTED, "%s has no inverse_transform", model->kind->name);
}

ml_status ml__evaluate_inverse(const ml_model *model, const double *z, size_t n, double *out, ml__scratch scratch)
{
    if (!ml__inverse_width(model))
        return refuse_inverse(model);
    return model->kind->inverse(model, n, z, out, scratch);
}

static ml_status check_inverse(const application *a, size_t n)
{
    const ml_model *model = a->model;
    size_t wanted;
    ml_status st = ML_OK;

    ML__CHECK(model && a->z && a->out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !a->z ? "z" : "out");
    ML__CHECK(model->learned, ML_E_STATE, "%s is not fitted", model->kind->name);
    if (!ml__inverse_width(model))
        return refuse_inverse(model);
    ML__CHECK(a->n_in == ml__inverse_width(model), ML_E_SHAPE, "rows of %zu new features, %s has %zu", a->n_in,
              model->kind->name, ml__inverse_width(model));
    ML__CHECK(ml__size_mul(a->n_rows, a->width, &wanted) && wanted == n && ml__size_mul(a->n_rows, a->n_in, &wanted),
              ML_E_SHAPE, "out has %zu elements, %zu rows give %zu each", n, a->n_rows, a->width);
done:
    return st;
}

ml_status ml_model_inverse_transform(const ml_model *model, const double *z, size_t n_rows, size_t width, double *out,
                                     size_t n)
{
    const ml__float_state host = ml__float_begin();
    application a = {.model = model, .z = z, .out = out, .n_rows = n_rows, .n_in = width};
    ml_status st;

    a.width = ml_model_n_features(model);
    ML__TRY(check_inverse(&a, n));
    ML__TRY(apply_parts(&a));
done:
    return ml__float_end(host, st);
}

/* ---- one row ---- */

size_t ml_model_scratch_size(const ml_model *model)
{
    return ml_model_is_fitted(model) ? ml__evaluate_scratch(model, 1) + 64 : 0;
}

static ml_status check_length(const ml_model *model, size_t n_features)
{
    if (n_features != model->learned->schema.n_features)
        return ml__fail(ML_E_SHAPE, "the row has %zu features, the model %zu", n_features,
                        model->learned->schema.n_features);
    return ML_OK;
}

/* Compared with results as wide as the values, which the compiler then does several at a time; NaN is not within. */
static bool all_within(size_t n, const double *x, double largest)
{
    int64_t beyond = 0;

    for (size_t j = 0; j < n; j++)
        beyond |= fabs(x[j]) <= largest ? 0 : -1;
    return !beyond;
}

static ml_status check_values(const ml_model *model, const double *x)
{
    const ml__schema *schema = &model->learned->schema;

    if (all_within(schema->n_features, x, DBL_MAX))
        return ML_OK;
    for (size_t j = 0; j < schema->n_features; j++)
        if (isinf(x[j]))
            return ml__fail(ML_E_DATA, "feature '%s' is infinite", schema->features[j].name);
    return ml__model_accepts(model) & ML__MISSING ? ML_OK : check_missing(model, x, 1, 0);
}

ml_status ml__check_row(const ml_model *model, const double *x, size_t n_features)
{
    const ml_status st = check_length(model, n_features);

    return st == ML_OK ? check_values(model, x) : st;
}

/* The row x in single precision; what is refused is looked for only when there is something. */
static ml_status row_to_single(const ml_model *model, const double *x, float *out)
{
    const size_t d = model->learned->schema.n_features;
    ml_status st;

    for (size_t j = 0; j < d; j++)
        out[j] = (float)x[j];
    if (all_within(d, x, FLT_MAX))
        return ML_OK;
    st = check_values(model, x);
    return st == ML_OK ? ml__to_single(model, x, 1, out) : st;
}

static ml_status evaluate_row(const ml_model *model, int32_t what, const double *x, double *out, ml__scratch scratch)
{
    ml__block row = {.n = 1, .d = model->learned->schema.n_features, .alone = true};
    ml_status st;

    if (model->kind->real == ML_FLOAT32) {
        float *single = ml__scratch_take(&scratch, row.d, sizeof *single);

        row.f32 = single;
        st = single ? row_to_single(model, x, single) : ML_E_MEMORY;
    } else {
        row.f64 = x;
        st = check_values(model, x);
    }
    return st == ML_OK ? evaluate_block(model, what, &row, out, scratch) : st;
}

ml_status ml_model_predict_row(const ml_model *model, int32_t what, const double *x, size_t n_features, double *out,
                               size_t n_out, void *scratch, size_t scratch_nbytes)
{
    const ml__float_state host = ml__float_begin();
    alignas(64) char small[STACK_SCRATCH];
    ml__scratch s = {scratch, scratch_nbytes};
    size_t width, needed;
    ml_status st = ML_OK;

    ML__CHECK(model && x && out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !x ? "x" : "out");
    ML__TRY(check_ready(model, what, &width));
    ML__CHECK(n_out == width, ML_E_SHAPE, "out has %zu elements, %s gives %zu", n_out, call_name(what), width);
    ML__TRY(check_length(model, n_features));
    needed = ml__evaluate_scratch(model, 1) + 64;
    if (!scratch)
        s = (ml__scratch){small, sizeof small};
    ML__CHECK(s.left >= needed, ML_E_SHAPE, "scratch has %zu bytes, %zu are needed", scratch ? scratch_nbytes : s.left,
              needed);
    ML__TRY(evaluate_row(model, what, x, out, s));
done:
    return ml__float_end(host, st);
}
