/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a model to the plan of its file (docs/model-file.md): the tensors under their dotted names, and the manifest, the
 * JSON tree of kinds, parameters, members and schemas. The same model always gives the same bytes.
 */
#include "store/model_file.h"

#include <string.h>

#include "base/number.h"

typedef struct writer {
    ml__arena *arena;
    ml__json_writer json;
    ml__tensor_path path;
    ml__stored_tensor *tensors;
    size_t n_tensors;
} writer;

static void write_params(writer *w, const ml_model *model)
{
    ml__text value;

    ml__json_open(&w->json, '{');
    for (const ml__param *p = model->kind->params; p->name; p++) {
        ml__text_init(&value, model->context);
        ml__param_print(p, model->params, &value);
        ml__json_key(&w->json, p->name);
        ml__json_text(&w->json, value.data ? value.data : "");
        if (w->json.out->status == ML_OK)
            w->json.out->status = value.status;
        ml__text_free(&value);
    }
    ml__json_close(&w->json, '}');
}

static void write_weight(writer *w, double weight)
{
    char text[ML__NUMBER_BYTES + 1];

    ml__json_key(&w->json, "weight");
    if (weight == ML_AUTO_WEIGHT) {
        ml__json_text(&w->json, "auto");
    } else {
        text[ml__print_real(weight, text)] = 0;
        ml__json_text(&w->json, text);
    }
}

static bool same_names(char *const *a, char *const *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_features(const ml__schema *a, const ml__schema *b)
{
    if (a->n_features != b->n_features)
        return false;
    for (size_t j = 0; j < a->n_features; j++) {
        const ml__feature *f = &a->features[j], *g = &b->features[j];

        if (strcmp(f->name, g->name) != 0 || f->n_categories != g->n_categories ||
            !same_names(f->categories, g->categories, f->n_categories))
            return false;
    }
    return true;
}

static bool same_outputs(const ml__schema *a, const ml__schema *b)
{
    if (a->n_outputs != b->n_outputs)
        return false;
    for (size_t o = 0; o < a->n_outputs; o++) {
        const ml__output *p = &a->outputs[o], *q = &b->outputs[o];

        if (strcmp(p->name, q->name) != 0 || p->n_classes != q->n_classes ||
            !same_names(p->classes, q->classes, p->n_classes))
            return false;
    }
    return true;
}

/* A name alone, or with its table of texts. */
static void write_named_table(writer *w, const char *name, const char *key, char *const *texts, size_t n)
{
    if (n == 0) {
        ml__json_text(&w->json, name);
        return;
    }
    ml__json_open(&w->json, '{');
    ml__json_key(&w->json, "name");
    ml__json_text(&w->json, name);
    ml__json_key(&w->json, key);
    ml__json_open(&w->json, '[');
    for (size_t i = 0; i < n; i++)
        ml__json_text(&w->json, texts[i]);
    ml__json_close(&w->json, ']');
    ml__json_close(&w->json, '}');
}

/* What a member has in common with its parent is left out: an ensemble of a thousand trees names its features once. */
static void write_schema(writer *w, const ml__schema *schema, const ml__schema *parent)
{
    if (!parent || !same_features(schema, parent)) {
        ml__json_key(&w->json, "features");
        ml__json_open(&w->json, '[');
        for (size_t j = 0; j < schema->n_features; j++)
            write_named_table(w, schema->features[j].name, "categories", schema->features[j].categories,
                              schema->features[j].n_categories);
        ml__json_close(&w->json, ']');
    }
    if (!parent || !same_outputs(schema, parent)) {
        ml__json_key(&w->json, "outputs");
        ml__json_open(&w->json, '[');
        for (size_t o = 0; o < schema->n_outputs; o++)
            write_named_table(w, schema->outputs[o].name, "classes", schema->outputs[o].classes,
                              schema->outputs[o].n_classes);
        ml__json_close(&w->json, ']');
    }
}

static ml_status write_tensors(writer *w, const ml__learned *learned)
{
    const size_t start = w->path.n;
    ml_status st = ML_OK;

    ml__json_key(&w->json, "tensors");
    ml__json_open(&w->json, '[');
    for (size_t i = 0; i < learned->n_tensors; i++) {
        const ml__named_tensor *t = &learned->tensors[i];
        ml__stored_tensor *stored = &w->tensors[w->n_tensors++];

        ml__json_text(&w->json, t->name);
        *stored = (ml__stored_tensor){.dtype = t->dtype, .rank = t->rank, .data = t->data};
        memcpy(stored->shape, t->shape, t->rank * sizeof *t->shape);
        ML__TRY(ml__path_add(&w->path, t->name));
        stored->name = ml__arena_text(w->arena, w->path.text);
        ml__path_restore(&w->path, start);
        if (!stored->name)
            return ML_E_MEMORY;
    }
    ml__json_close(&w->json, ']');
done:
    return st;
}

static ml_status write_model(writer *w, const ml_model *model, bool fitted, const ml__schema *parent);

/* Templates, or fitted members with their tensors. */
static ml_status write_members(writer *w, const ml__members *members, bool fitted, const ml__schema *parent)
{
    const size_t start = w->path.n;
    ml_status st = ML_OK;

    ml__json_key(&w->json, "members");
    ml__json_open(&w->json, '[');
    for (size_t i = 0; i < members->n; i++) {
        const ml__member *m = &members->items[i];

        ml__json_open(&w->json, '{');
        ml__json_key(&w->json, "name");
        ml__json_text(&w->json, m->name);
        write_weight(w, m->weight);
        ml__json_key(&w->json, "model");
        ML__TRY(ml__path_add_member(&w->path, i));
        ML__TRY(write_model(w, m->model, fitted, parent));
        ml__path_restore(&w->path, start);
        ml__json_close(&w->json, '}');
    }
    ml__json_close(&w->json, ']');
done:
    return st;
}

static ml_status write_learned(writer *w, const ml__learned *learned, const ml__schema *parent)
{
    ml_status st;

    ml__json_open(&w->json, '{');
    ml__json_key(&w->json, "task");
    ml__json_text(&w->json, ml__task_name(learned->task));
    ml__json_key(&w->json, "stop_reason");
    ml__json_text(&w->json, ml__stop_name(learned->stop_reason));
    write_schema(w, &learned->schema, parent);
    ML__TRY(write_tensors(w, learned));
    ML__TRY(write_members(w, &learned->members, true, &learned->schema));
    ml__json_close(&w->json, '}');
done:
    return st;
}

static ml_status write_model(writer *w, const ml_model *model, bool fitted, const ml__schema *parent)
{
    ml_status st;

    ml__json_open(&w->json, '{');
    ml__json_key(&w->json, "kind");
    ml__json_text(&w->json, model->kind->name);
    ml__json_key(&w->json, "params");
    write_params(w, model);
    ML__TRY(write_members(w, &model->members, false, NULL));
    if (fitted) {
        ml__json_key(&w->json, "learned");
        ML__TRY(write_learned(w, model->learned, parent));
    }
    ml__json_close(&w->json, '}');
done:
    return st;
}

static size_t count_tensors(const ml_model *model)
{
    size_t n = model->learned->n_tensors;

    for (size_t i = 0; i < model->learned->members.n; i++)
        n += count_tensors(model->learned->members.items[i].model);
    return n;
}

ml_status ml__model_plan(ml__arena *arena, const ml_model *model, ml__safetensors *plan)
{
    char version[ML__NUMBER_BYTES + 1];
    const char *const metadata[][2] = {{"format", ML__FORMAT_NAME},
                                       {"format_version", version},
                                       {"kind", model->kind->name},
                                       {"library_version", ml_version_string()}};
    ml__text manifest;
    writer w = {.arena = arena, .json = {.out = &manifest}};
    char *bytes;
    ml_status st;

    version[ml__print_int(ML__FORMAT_VERSION, version)] = 0;
    ml__text_init(&manifest, model->context);
    ML__NEW(arena, w.tensors, count_tensors(model) + 1);
    ML__TRY(write_model(&w, model, true, NULL));
    ML__TRY(manifest.status);
    bytes = ml__arena_text_n(arena, manifest.data, manifest.n_bytes);
    if (!bytes) {
        st = ML_E_MEMORY;
        goto done;
    }
    w.tensors[w.n_tensors++] = (ml__stored_tensor){
        .name = ML__MANIFEST, .dtype = ML_UINT8, .rank = 1, .shape = {manifest.n_bytes}, .data = bytes};
    ML__TRY(ml__safetensors_plan(arena, w.tensors, w.n_tensors, metadata, sizeof metadata / sizeof *metadata, plan));
done:
    ml__text_free(&manifest);
    return st;
}
