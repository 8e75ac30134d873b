/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models and files: the public functions, and what writing and reading share.
 *
 * A file is planned in memory without copying tensors, the plan is read back through the loader, and only then written:
 * nothing is saved that could not be loaded.
 */
#include "store/model_file.h"

#include <string.h>

static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)4 << 30;

/* ---- names of values ---- */

static const struct {
    int32_t task;
    const char *name;
} TASKS[] = {
    {ML__CLASSIFY, "classify"}, {ML__REGRESS, "regress"}, {ML__UNSUPERVISED, "unsupervised"}, {ML__MIXED, "mixed"}};
enum { N_TASKS = sizeof TASKS / sizeof *TASKS };

static const char *const STOPS[] = {NULL,    "complete", "converged", "max_iter",
                                    "early", "deadline", "memory",    "monitor"};
enum { N_STOPS = sizeof STOPS / sizeof *STOPS };

const char *ml__task_name(int32_t task)
{
    for (size_t i = 0; i < N_TASKS; i++)
        if (TASKS[i].task == task)
            return TASKS[i].name;
    return NULL;
}

const char *ml__stop_name(int32_t stop_reason)
{
    return stop_reason > 0 && stop_reason < N_STOPS ? STOPS[stop_reason] : NULL;
}

int32_t ml__task_from_name(const char *name)
{
    for (size_t i = 0; i < N_TASKS; i++)
        if (!strcmp(TASKS[i].name, name))
            return TASKS[i].task;
    return 0;
}

int32_t ml__stop_from_name(const char *name)
{
    for (int32_t i = 1; i < N_STOPS; i++)
        if (!strcmp(STOPS[i], name))
            return i;
    return ML_STOP_NONE;
}

/* ---- names of tensors ---- */

ml_status ml__path_add(ml__tensor_path *path, const char *text)
{
    const size_t room = sizeof path->text - path->n;
    const size_t n = ml__format(path->text + path->n, room, "%s", text);

    if (n >= room) {
        path->text[path->n] = 0;
        return ml__fail(ML_E_LIMIT, "tensor '%s%s': name of more than %d bytes", path->text, text,
                        ML__TENSOR_NAME_BYTES);
    }
    path->n += n;
    return ML_OK;
}

ml_status ml__path_add_member(ml__tensor_path *path, size_t i)
{
    char text[40];

    ml__format(text, sizeof text, "members.%zu.", i);
    return ml__path_add(path, text);
}

void ml__path_restore(ml__tensor_path *path, size_t n)
{
    path->n = n;
    path->text[n] = 0;
}

/* ---- loading ---- */

static ml_status read_options(const ml_load_options *options, ml_load_options *out)
{
    ml_status st = ML_OK;

    *out = (ml_load_options){.struct_size = sizeof *out};
    if (options)
        ML__TRY(ml__read_options(out, sizeof *out, options, "ml_load_options"));
    if (out->max_bytes == 0)
        out->max_bytes = DEFAULT_MAX_BYTES;
    if (out->max_header_bytes == 0)
        out->max_header_bytes = ML__HEADER_DEFAULT_BYTES;
    ML__CHECK(out->max_header_bytes <= ML__HEADER_MAX_BYTES, ML_E_ARGUMENT,
              "max_header_bytes is %llu, more than 100000000", (unsigned long long)out->max_header_bytes);
done:
    return st;
}

ml_status ml_model_load(ml_context *context, const char *path, const ml_load_options *options, ml_model **out)
{
    ml_load_options o;
    ml__source file;
    ml_status st;

    if (out)
        *out = NULL;
    if (!path || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", path ? "out" : "path");
    ML__TRY(read_options(options, &o));
    ML__TRY(ml__source_open(path, o.max_bytes, &file));
    st = ml__model_read(context, &file, o.max_header_bytes, false, out);
    ml__source_close(&file);
    if (st != ML_OK)
        st = ml__blame(st, "'%.*s': ", 200, path);
done:
    return st;
}

ml_status ml_model_load_memory(ml_context *context, const void *bytes, size_t n_bytes, const ml_load_options *options,
                               ml_model **out)
{
    const ml__source source = ml__source_memory(bytes, n_bytes);
    ml_load_options o;
    ml_status st;

    if (out)
        *out = NULL;
    if (!bytes || !out)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", bytes ? "out" : "bytes");
    ML__TRY(read_options(options, &o));
    ML__CHECK(n_bytes <= o.max_bytes, ML_E_LIMIT, "%zu bytes, more than max_bytes = %llu", n_bytes,
              (unsigned long long)o.max_bytes);
    ML__TRY(ml__model_read(context, &source, o.max_header_bytes, false, out));
done:
    return st;
}

ml_status ml__file_outline(const char *path, ml_model **out, uint64_t *n_bytes)
{
    ml__source file;
    ml_status st;

    ML__TRY(ml__source_open(path, UINT64_MAX, &file));
    *n_bytes = file.n_bytes;
    st = ml__model_read(NULL, &file, ML__HEADER_MAX_BYTES, true, out);
    ml__source_close(&file);
    if (st != ML_OK)
        st = ml__blame(st, "'%.*s': ", 200, path);
done:
    return st;
}

/* ---- saving ---- */

/* Read the plan: what a loader would refuse is not written. */
static ml_status verify(const ml_model *model, const ml__safetensors *plan)
{
    ml_model *copy = NULL;
    const ml_status st = ml__model_read(model->context, &plan->source, ML__HEADER_DEFAULT_BYTES, false, &copy);

    ml_model_free(copy);
    return st == ML_OK ? ML_OK : ml__blame(st, "the model cannot be saved: ");
}

static ml_status check_fitted(const ml_model *model)
{
    return model->learned ? ML_OK : ml__fail(ML_E_STATE, "%s is not fitted", model->kind->name);
}

ml_status ml_model_save(const ml_model *model, const char *path)
{
    ml__safetensors plan;
    ml__arena arena;
    ml_status st;

    if (!model || !path)
        return ml__fail(ML_E_ARGUMENT, "%s is NULL", model ? "path" : "model");
    ml__arena_init(&arena, model->context);
    ML__TRY(check_fitted(model));
    ML__TRY(ml__model_plan(&arena, model, &plan));
    ML__TRY(verify(model, &plan));
    ML__TRY(ml__file_replace(model->context, path, &plan.source));
done:
    ml__arena_free(&arena);
    return st;
}

ml_status ml_model_save_memory(const ml_model *model, void *buffer, size_t n_bytes, size_t *needed)
{
    ml__safetensors plan;
    ml__arena arena;
    ml_status st;

    if (!model || (!buffer && !needed))
        return ml__fail(ML_E_ARGUMENT, "%s", model ? "buffer and needed are both NULL" : "model is NULL");
    ml__arena_init(&arena, model->context);
    ML__TRY(check_fitted(model));
    ML__TRY(ml__model_plan(&arena, model, &plan));
    ML__CHECK(plan.source.n_bytes <= SIZE_MAX, ML_E_LIMIT, "the model does not fit in memory");
    if (needed)
        *needed = (size_t)plan.source.n_bytes;
    if (!buffer)
        goto done;
    ML__CHECK(plan.source.n_bytes <= n_bytes, ML_E_SHAPE, "buffer has %zu bytes, the model needs %llu", n_bytes,
              (unsigned long long)plan.source.n_bytes);
    ML__TRY(verify(model, &plan));
    ML__TRY(plan.source.read(&plan.source, 0, buffer, (size_t)plan.source.n_bytes));
done:
    ml__arena_free(&arena);
    return st;
}
