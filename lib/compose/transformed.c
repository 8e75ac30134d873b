/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fitted transformer makes of a dataset: rows in memory are transformed once; rows that are read from a file are
 * transformed whenever they are read, so that what follows needs no more memory than it did for the file itself.
 */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/parallel.h"
#include "compose/compose.h"
#include "data/source.h"

/* ---- in memory ---- */

static ml_status transform_all(const ml_model *step, const ml_dataset *data, const ml__schema *features,
                               ml_dataset **out)
{
    const size_t n = ml_dataset_n_rows(data), width = features->n_features;
    double *x = ml__alloc_array(step->context, n, width * sizeof *x);
    ml_status st = x ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__TRY(ml__model_apply(step, ML_TRANSFORM, data, x, n * width));
    ML__TRY(ml__dataset_with_features(data, x, features, out));
done:
    ml__free(x);
    return st;
}

/* ---- when they are read ---- */

enum { BLOCK_ROWS = 256, CHECKED_ROWS = 4096 };

typedef struct transformed {
    ml__source source;
    ml_context *context;
    const ml_model *step;
    ml_model *own;    /* `step`, if it goes when this goes; else NULL */
    ml_dataset *rows; /* what goes in, a dataset of its own */
    size_t d_in, d_out;
    size_t n_rows;
    atomic_bool any_missing; /* in the rows that were checked */
} transformed;

static ml_status check_range(const transformed *t, size_t first, size_t n, const double *z)
{
    for (size_t v = 0; v < n * t->d_out; v++)
        if (isinf(z[v]))
            return ml__fail(ML_E_DATA, "the value in row %zu, column %zu is infinite", first + v / t->d_out,
                            v % t->d_out);
    return ML_OK;
}

/* At most BLOCK_ROWS rows; `x` and `scratch` have room for them. */
static ml_status transform_block(const transformed *t, size_t first, size_t n, double *x, double *z,
                                 ml__scratch scratch)
{
    ml_status st;

    ML__TRY(ml__dataset_read(t->rows, first, n, ML_FLOAT64, x));
    ML__TRY(ml__rows_accepted(t->step, x, n, first));
    ML__TRY(ml__evaluate(t->step, ML_TRANSFORM, x, n, z, scratch));
    ML__TRY(check_range(t, first, n, z));
done:
    return st;
}

static ml_status read_rows(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const transformed *t = (const transformed *)source;
    const size_t block = n < BLOCK_ROWS ? n : BLOCK_ROWS, n_scratch = ml__evaluate_scratch(t->step, block) + 64;
    double *x, *narrow;
    void *workspace;
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, t->context);
    ML__NEW(&arena, x, block * t->d_in);
    ML__NEW(&arena, narrow, dtype == ML_FLOAT32 ? block * t->d_out : 0);
    workspace = ml__arena_take(&arena, n_scratch, 1);
    ML__TRY(workspace ? ML_OK : ML_E_MEMORY);
    for (size_t i = 0; i < n; i += block) {
        const size_t n_block = n - i < block ? n - i : block;
        double *z = dtype == ML_FLOAT32 ? narrow : (double *)out + i * t->d_out;

        ML__TRY(transform_block(t, first + i, n_block, x, z, (ml__scratch){workspace, n_scratch}));
        for (size_t v = 0; dtype == ML_FLOAT32 && v < n_block * t->d_out; v++)
            ((float *)out)[i * t->d_out + v] = ml__to_float(z[v]);
    }
done:
    ml__arena_free(&arena);
    return st;
}

static ml_status check_unchanged(ml__source *source)
{
    return ml__dataset_unchanged(((const transformed *)source)->rows);
}

static void close_rows(ml__source *source)
{
    transformed *t = (transformed *)source;
    ml_dataset *rows = t->rows;
    ml_model *own = t->own;

    ml__free(t); /* before the last that may keep its context */
    ml_dataset_free(rows);
    ml_model_free(own);
}

static ml_status check_part(void *argument, size_t part)
{
    transformed *t = argument;
    const size_t first = part * CHECKED_ROWS;
    const size_t end = t->n_rows - first < CHECKED_ROWS ? t->n_rows : first + CHECKED_ROWS;
    double *z = ml__alloc_array(t->context, BLOCK_ROWS, t->d_out * sizeof *z);
    ml_status st = z ? ML_OK : ML_E_MEMORY;
    bool any_missing = false;

    for (size_t i = first; i < end && st == ML_OK; i += BLOCK_ROWS) {
        const size_t n = end - i < BLOCK_ROWS ? end - i : BLOCK_ROWS;

        st = read_rows(&t->source, i, n, ML_FLOAT64, z);
        for (size_t v = 0; st == ML_OK && v < n * t->d_out; v++)
            any_missing |= isnan(z[v]);
    }
    if (any_missing)
        atomic_store(&t->any_missing, true);
    ml__free(z);
    return st;
}

/* With `own`, by a copy of the step. */
static ml_status transform_on_reading(const ml_model *step, bool own, const ml_dataset *data,
                                      const ml__schema *features, ml_dataset **out)
{
    transformed *t = ml__alloc_array(step->context, 1, sizeof *t);
    ml_status st = t ? ML_OK : ML_E_MEMORY;

    if (!t)
        return st;
    t->source = (ml__source){read_rows, close_rows, check_unchanged};
    t->context = step->context;
    t->step = step;
    t->own = NULL;
    t->rows = NULL;
    if (own) {
        ML__TRY(ml_model_clone(step, &t->own));
        t->step = t->own;
    }
    t->d_in = ml_dataset_n_features(data);
    t->d_out = features->n_features;
    t->n_rows = ml_dataset_n_rows(data);
    atomic_init(&t->any_missing, false);
    ML__TRY(ml__dataset_share(data, &t->rows));
    ML__TRY(ml__parallel_for(t->context, (t->n_rows + CHECKED_ROWS - 1) / CHECKED_ROWS, check_part, t));
    return ml__dataset_with_source(data, &t->source, ML_FLOAT64, atomic_load(&t->any_missing), features, out);
done:
    close_rows(&t->source);
    return st;
}

static ml_status transformed_by(const ml_model *step, bool own, const ml_dataset *data, ml_dataset **out)
{
    ml__schema features = {0};
    ml__arena names;
    ml_status st;

    *out = NULL;
    ml__arena_init(&names, step->context);
    ML__TRY(ml__name_new_features(step, &names, &features));
    if (ml__dataset_is_streamed(data))
        ML__TRY(transform_on_reading(step, own, data, &features, out));
    else
        ML__TRY(transform_all(step, data, &features, out));
done:
    ml__arena_free(&names);
    return st;
}

ml_status ml__transformed(const ml_model *step, const ml_dataset *data, ml_dataset **out)
{
    return transformed_by(step, false, data, out);
}

ml_status ml_model_transform_dataset(const ml_model *model, const ml_dataset *data, ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    size_t width;
    ml_status st = ML_OK;

    if (out)
        *out = NULL;
    ML__CHECK(model && data && out, ML_E_ARGUMENT, "%s is NULL", !model ? "model" : !data ? "data" : "out");
    ML__TRY(ml__model_can_apply(model, ML_TRANSFORM, data, &width));
    ML__TRY(transformed_by(model, true, data, out));
done:
    return ml__float_end(host, st);
}
