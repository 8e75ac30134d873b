/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models to and from safetensors files. docs/model-file.md has the format.
 *
 * Writing and reading are the same walk: kind, parameters, member templates, and, for what was fitted, schema, tensors
 * and fitted members. Tensors of fitted member i have the prefix "members.<i>."; the tree itself is the JSON in the
 * tensor "manifest".
 *
 * Reading trusts nothing: container, grammar, kind, parameters, structure, tensor rules and cross-checks (the kind's
 * `prepare`) come in this order, and a model leaves only after two rows were predicted with it. Writing reads its own
 * result back through the same code before a byte reaches the disk.
 */
#include "store/model_file.h"

#include <string.h>

#include "base/number.h"
#include "kinds.h"
#include "store/safetensors.h"

enum {
    MAX_LEVELS = 5,             /* a learner in four composites */
    MAX_MODELS = 1000000,       /* in one file */
    MAX_TEMPLATES = 10000,      /* members of one model before fitting; their names are compared pairwise */
    MAX_MODEL_TENSORS = 8192,   /* of one model; they are found by linear search */
    MAX_MANIFEST = 1 << 30,     /* bytes */
    MANIFEST_DEPTH = 4 * MAX_LEVELS + 4, /* learned, members, member, model; then features, feature, categories */
    MODEL_RANK = 4
};
static const uint64_t DEFAULT_MAX_BYTES = (uint64_t)4 << 30;
static const char FORMAT_NAME[] = "invar", FORMAT_VERSION[] = "1", MANIFEST[] = "manifest";
enum { FORMAT_VERSION_NUMBER = 1 };

/* ---- names of values ---- */

static const struct {
    int32_t task;
    const char *name;
} TASKS[] = {{ML__CLASSIFY, "classify"}, {ML__REGRESS, "regress"}, {ML__UNSUPERVISED, "unsupervised"}};
enum { N_TASKS = sizeof TASKS / sizeof *TASKS };

static const char *const STOPS[] = {NULL, "complete", "converged", "max_iter", "early", "deadline"};
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

/* ---- names of tensors ---- */

typedef struct tensor_path {
    char text[ML__TENSOR_NAME_BYTES + 1]; /* "members.0.members.3." */
    size_t n;
} tensor_path;

/* Append to the path of a model; ML_E_LIMIT when the name becomes too long. The caller restores `n`. */
static ml_status path_add(tensor_path *path, const char *text)
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

static ml_status path_add_member(tensor_path *path, size_t i)
{
    char text[ML__NUMBER_BYTES + 16];

    ml__format(text, sizeof text, "members.%zu.", i);
    return path_add(path, text);
}

static void path_restore(tensor_path *path, size_t n)
{
    path->n = n;
    path->text[n] = 0;
}

/* ---- writing: the manifest and the list of tensors ---- */

typedef struct writer {
    ml__arena *arena;
    ml__json_writer json;
    tensor_path path;
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
        ML__TRY(path_add(&w->path, t->name));
        stored->name = ml__arena_text(w->arena, w->path.text);
        path_restore(&w->path, start);
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
        ML__TRY(path_add_member(&w->path, i));
        ML__TRY(write_model(w, m->model, fitted, parent));
        path_restore(&w->path, start);
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

/* Everything of the file but the writing: `plan` refers to the model's tensors and to `arena`. */
static ml_status plan_file(ml__arena *arena, const ml_model *model, ml__safetensors *plan)
{
    const char *const metadata[][2] = {{"format", FORMAT_NAME},
                                       {"format_version", FORMAT_VERSION},
                                       {"kind", model->kind->name},
                                       {"library_version", ml_version_string()}};
    ml__text manifest;
    writer w = {.arena = arena, .json = {.out = &manifest}};
    char *bytes;
    ml_status st;

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
        .name = MANIFEST, .dtype = ML_UINT8, .rank = 1, .shape = {manifest.n_bytes}, .data = bytes};
    ML__TRY(ml__safetensors_plan(arena, w.tensors, w.n_tensors, metadata, sizeof metadata / sizeof *metadata, plan));
done:
    ml__text_free(&manifest);
    return st;
}

/* ---- reading ---- */

typedef struct loader {
    ml_context *context;
    const ml__source *file;
    ml__safetensors layout;
    ml__json_source source; /* of the manifest */
    bool outline;           /* leave out the data of tensors, and every check that needs it */
    bool *used;             /* tensors that found their place */
    size_t n_used, n_models, level;
    tensor_path path;
} loader;

static ml_status refuse(const loader *l, const ml__json_node *node, const char *what)
{
    return ml__json_refuse(&l->source, node, ML_E_FORMAT, what);
}

/* What other layers refuse in a file is a fault of the file, but for what the file cannot help. */
static ml_status file_fault(ml_status st, const loader *l, const ml__json_node *node)
{
    const bool kept = st == ML_E_MEMORY || st == ML_E_LIMIT;

    if (st == ML_OK)
        return ML_OK;
    return ml__blame(kept ? st : ML_E_FORMAT, "%s, byte %llu: ", l->source.name,
                     (unsigned long long)(l->source.offset + node->offset));
}

static ml_status read_params(const loader *l, const ml__json_node *node, ml_model *model)
{
    const ml__json_node *key = ml__json_first(node), *value;
    ml_status st = ML_OK;

    for (uint32_t i = 0; i < node->n; i++, key = ml__json_next(value)) {
        value = ml__json_next(key);
        ML__TRY(ml__json_expect(&l->source, value, ML__JSON_STRING));
        ML__TRY(file_fault(ml__params_set_text(model->kind->name, model->kind->params, model->params, key->value.text,
                                               value->value.text),
                           l, key));
    }
done:
    return st;
}

static ml_status read_weight(const loader *l, const ml__json_node *node, double *weight)
{
    if (!strcmp(node->value.text, "auto")) {
        *weight = ML_AUTO_WEIGHT;
        return ML_OK;
    }
    if (ml__parse_real(node->value.text, node->n, weight) != ML__NUMBER_OK)
        return refuse(l, node, "a weight is a number or 'auto'");
    return ML_OK;
}

/* ---- reading: the schema ---- */

static ml_status copy_text(ml__arena *arena, const ml__json_node *node, char **out)
{
    *out = ml__arena_text_n(arena, node->value.text, node->n);
    return *out ? ML_OK : ML_E_MEMORY;
}

static int by_text(const void *items, uint32_t a, uint32_t b)
{
    char *const *texts = items;
    return strcmp(texts[a], texts[b]);
}

static ml_status check_distinct(const loader *l, const ml__json_node *node, char **texts, size_t n)
{
    uint32_t *order = ml__alloc_array(l->context, n, sizeof *order);
    ml_status st = order ? ML_OK : ML_E_MEMORY;

    for (uint32_t i = 0; st == ML_OK && i < n; i++)
        order[i] = i;
    if (st == ML_OK)
        ml__sort_indices(order, n, by_text, texts);
    for (size_t i = 1; st == ML_OK && i < n; i++)
        if (!strcmp(texts[order[i - 1]], texts[order[i]]))
            st = refuse(l, node, "a class or category occurs twice");
    ml__free(order);
    return st;
}

/* "name", or {"name": "name", key: ["text", ...]} with at least one text. */
static ml_status read_named_table(const loader *l, ml__arena *arena, const ml__json_node *node, const char *key,
                                  char **name, char ***texts, size_t *n)
{
    const ml__json_field fields[] = {{"name", ML__JSON_STRING, false}, {key, ML__JSON_ARRAY, false}};
    const ml__json_node *values[2], *item;
    ml_status st;

    if (node->type == ML__JSON_STRING)
        return copy_text(arena, node, name);
    ML__TRY(ml__json_fields(&l->source, node, fields, 2, values));
    ML__TRY(copy_text(arena, values[0], name));
    if (values[1]->n == 0)
        return refuse(l, values[1], "a table without entries");
    *n = values[1]->n;
    ML__NEW(arena, *texts, *n);
    item = ml__json_first(values[1]);
    for (size_t i = 0; i < *n; i++, item = ml__json_next(item)) {
        ML__TRY(ml__json_expect(&l->source, item, ML__JSON_STRING));
        ML__TRY(copy_text(arena, item, &(*texts)[i]));
    }
    ML__TRY(check_distinct(l, values[1], *texts, *n));
done:
    return st;
}

static ml_status read_features(const loader *l, ml__arena *arena, const ml__json_node *node, ml__schema *schema)
{
    const ml__json_node *item = ml__json_first(node);
    ml_status st = ML_OK;

    if (node->n > ML_MAX_FEATURES)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 2^24 features");
    schema->n_features = node->n;
    ML__NEW(arena, schema->features, node->n);
    for (uint32_t j = 0; j < node->n; j++, item = ml__json_next(item)) {
        ml__feature *f = &schema->features[j];
        ML__TRY(read_named_table(l, arena, item, "categories", &f->name, &f->categories, &f->n_categories));
    }
done:
    return st;
}

static ml_status read_outputs(const loader *l, ml__arena *arena, const ml__json_node *node, ml__schema *schema)
{
    const ml__json_node *item = ml__json_first(node);
    ml_status st = ML_OK;

    if (node->n > ML_MAX_OUTPUTS)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 4096 outputs");
    schema->n_outputs = node->n;
    ML__NEW(arena, schema->outputs, node->n);
    for (uint32_t o = 0; o < node->n; o++, item = ml__json_next(item)) {
        ml__output *p = &schema->outputs[o];

        ML__TRY(read_named_table(l, arena, item, "classes", &p->name, &p->classes, &p->n_classes));
        if (p->n_classes > ML_MAX_CLASSES)
            return ml__json_refuse(&l->source, item, ML_E_LIMIT, "more than 65536 classes");
        if (!p->n_classes != !schema->outputs[0].n_classes)
            return refuse(l, item, "outputs of labels and outputs of reals in one model");
    }
done:
    return st;
}

/* What a member does not say is its parent's, whose arena outlives it. */
static ml_status read_schema(const loader *l, ml__arena *arena, const ml__json_node *node,
                             const ml__json_node *features, const ml__json_node *outputs, const ml__schema *parent,
                             ml__schema *schema)
{
    ml_status st = ML_OK;

    if (!parent && (!features || !outputs))
        return refuse(l, node, "keys 'features' and 'outputs' are missing");
    if (parent)
        *schema = *parent;
    if (features)
        ML__TRY(read_features(l, arena, features, schema));
    if (outputs)
        ML__TRY(read_outputs(l, arena, outputs, schema));
done:
    return st;
}

/* ---- reading: tensors ---- */

/* A tensor of the outline: name, type and shape. */
static ml_status outline_tensor(ml__learned *learned, const char *name, const ml__stored_tensor *stored)
{
    ml__named_tensor *t = &learned->tensors[learned->n_tensors];

    *t = (ml__named_tensor){.dtype = stored->dtype, .rank = stored->rank};
    memcpy(t->shape, stored->shape, sizeof t->shape);
    t->name = ml__arena_text(&learned->arena, name);
    if (!t->name)
        return ML_E_MEMORY;
    learned->n_tensors++;
    return ML_OK;
}

static ml_status read_tensor(loader *l, const char *name, ml__learned *learned)
{
    const size_t start = l->path.n;
    const ml__stored_tensor *stored;
    void *data;
    size_t i;
    ml_status st;

    ML__TRY(path_add(&l->path, name));
    i = ml__safetensors_find(&l->layout, l->path.text);
    ML__CHECK(i < l->layout.n_tensors, ML_E_FORMAT, "tensor '%s' is missing", l->path.text);
    ML__CHECK(!l->used[i], ML_E_FORMAT, "tensor '%s' is named twice", l->path.text);
    stored = &l->layout.tensors[i];
    ML__CHECK(stored->dtype, ML_E_FORMAT, "tensor '%s': no model has elements of type %s", l->path.text,
              stored->type_name);
    ML__CHECK(stored->rank <= MODEL_RANK, ML_E_FORMAT, "tensor '%s': %u dimensions, more than %d", l->path.text,
              (unsigned)stored->rank, MODEL_RANK);
    l->used[i] = true;
    l->n_used++;
    path_restore(&l->path, start);
    if (l->outline)
        return outline_tensor(learned, name, stored);
    data = ml__learned_add(learned, name, stored->dtype, stored->rank, stored->shape);
    if (!data)
        return ML_E_MEMORY;
    ML__TRY(ml__safetensors_load(&l->layout, l->file, stored, data));
done:
    return st;
}

static ml_status read_tensors(loader *l, const ml__json_node *node, ml__learned *learned)
{
    const ml__json_node *item = ml__json_first(node);
    ml_status st = ML_OK;

    if (node->n > MAX_MODEL_TENSORS)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 8192 tensors in one model");
    if (l->outline)
        ML__NEW(&learned->arena, learned->tensors, node->n);
    for (uint32_t i = 0; i < node->n; i++, item = ml__json_next(item)) {
        ML__TRY(ml__json_expect(&l->source, item, ML__JSON_STRING));
        ML__TRY(read_tensor(l, item->value.text, learned));
    }
done:
    return st;
}

/* ---- reading: models ---- */

static ml_status read_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent,
                            ml_model **out);

/* Receives one member that was read; takes it over on success. */
typedef ml_status (*member_sink)(loader *l, ml_model *owner, ml__learned *learned, const char *name, ml_model *member,
                                 double weight);

static ml_status attach_template(loader *l, ml_model *owner, ml__learned *learned, const char *name, ml_model *member,
                                 double weight)
{
    (void)l;
    (void)learned;
    return ml__model_attach(owner, name, member, weight);
}

static ml_status adopt_fitted(loader *l, ml_model *owner, ml__learned *learned, const char *name, ml_model *member,
                              double weight)
{
    ml_status st = ml__members_add(l->context, &learned->members, name, member, weight);

    if (st == ML_OK)
        member->parent = owner;
    return st;
}

static ml_status read_member(loader *l, const ml__json_node *node, member_sink sink, ml_model *owner,
                             ml__learned *learned)
{
    static const ml__json_field FIELDS[] = {
        {"name", ML__JSON_STRING, false}, {"weight", ML__JSON_STRING, false}, {"model", ML__JSON_OBJECT, false}};
    const ml__json_node *values[3];
    ml_model *member = NULL;
    double weight;
    ml_status st;

    ML__TRY(ml__json_fields(&l->source, node, FIELDS, 3, values));
    ML__TRY(read_weight(l, values[1], &weight));
    st = read_model(l, values[2], learned != NULL, learned ? &learned->schema : NULL, &member);
    if (st != ML_OK)
        return ml__blame(st, "member '%.*s': ", 64, values[0]->value.text);
    ML__TRY(file_fault(sink(l, owner, learned, values[0]->value.text, member, weight), l, node));
    member = NULL;
done:
    ml_model_free(member);
    return st;
}

/* Templates of `owner`, or, when `learned` is given, its fitted members. */
static ml_status read_members(loader *l, const ml__json_node *node, ml_model *owner, ml__learned *learned)
{
    const ml__json_node *item = ml__json_first(node);
    const size_t start = l->path.n;
    ml_status st = ML_OK;

    if (node->n > 0 && !owner->kind->max_members)
        return refuse(l, node, "members in a model of a kind that takes none");
    if (!learned && node->n > MAX_TEMPLATES)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 10000 members");
    for (uint32_t i = 0; i < node->n; i++, item = ml__json_next(item)) {
        ML__TRY(path_add_member(&l->path, i));
        ML__TRY(read_member(l, item, learned ? adopt_fitted : attach_template, owner, learned));
        path_restore(&l->path, start);
    }
done:
    return st;
}

static ml_status read_task(const loader *l, const ml__json_node *node, int32_t *task)
{
    for (size_t i = 0; i < N_TASKS; i++)
        if (!strcmp(node->value.text, TASKS[i].name)) {
            *task = TASKS[i].task;
            return ML_OK;
        }
    return refuse(l, node, "a task is 'classify', 'regress' or 'unsupervised'");
}

static ml_status read_stop(const loader *l, const ml__json_node *node, int32_t *stop_reason)
{
    for (int32_t i = 1; i < N_STOPS; i++)
        if (!strcmp(node->value.text, STOPS[i])) {
            *stop_reason = i;
            return ML_OK;
        }
    return refuse(l, node, "a stop reason is 'complete', 'converged', 'max_iter', 'early' or 'deadline'");
}

static ml_status read_learned(loader *l, const ml__json_node *node, ml_model *model, const ml__schema *parent)
{
    static const ml__json_field FIELDS[] = {
        {"task", ML__JSON_STRING, false},   {"stop_reason", ML__JSON_STRING, false}, {"features", ML__JSON_ARRAY, true},
        {"outputs", ML__JSON_ARRAY, true},  {"tensors", ML__JSON_ARRAY, false},      {"members", ML__JSON_ARRAY, false}};
    const ml__json_node *values[6];
    ml__learned *learned = NULL;
    ml_status st;

    ML__TRY(ml__json_fields(&l->source, node, FIELDS, 6, values));
    ML__TRY(ml__learned_create(l->context, &learned));
    ML__TRY(read_task(l, values[0], &learned->task));
    ML__TRY(read_stop(l, values[1], &learned->stop_reason));
    ML__TRY(read_schema(l, &learned->arena, node, values[2], values[3], parent, &learned->schema));
    ML__TRY(read_tensors(l, values[4], learned));
    ML__TRY(read_members(l, values[5], model, learned));
    if (!l->outline)
        ML__TRY(ml__learned_validate(model, learned, false));
    model->learned = learned;
    learned = NULL;
done:
    ml__learned_free(learned);
    return st;
}

/* A model of the named kind, with parameters, templates and, when `fitted`, what it learned. */
static ml_status fill_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent,
                            ml_model **out)
{
    static const ml__json_field FIELDS[] = {{"kind", ML__JSON_STRING, false},
                                            {"params", ML__JSON_OBJECT, false},
                                            {"members", ML__JSON_ARRAY, false},
                                            {"learned", ML__JSON_OBJECT, true}};
    const ml__json_node *values[4];
    const ml__kind *kind;
    ml_status st;

    ML__TRY(ml__json_fields(&l->source, node, FIELDS, 4, values));
    if (!fitted && values[3])
        return refuse(l, values[3], "key 'learned' in a member that is not fitted");
    if (fitted && !values[3])
        return refuse(l, node, "key 'learned' is missing");
    kind = ml__kind_find(values[0]->value.text);
    ML__CHECK(kind, ML_E_UNSUPPORTED, "this build has no kind '%.*s'", 64, values[0]->value.text);
    ML__TRY(ml__model_new(l->context, kind, out));
    ML__TRY(read_params(l, values[1], *out));
    ML__TRY(read_members(l, values[2], *out, NULL));
    ML__CHECK((*out)->members.n >= kind->min_members, ML_E_FORMAT, "%s has %zu members, it needs %zu", kind->name,
              (*out)->members.n, kind->min_members);
    if (fitted)
        ML__TRY(read_learned(l, values[3], *out, parent));
done:
    return st;
}

static ml_status read_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent,
                            ml_model **out)
{
    ml_status st;

    *out = NULL;
    if (l->level == MAX_LEVELS)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "models nested deeper than 4");
    if (l->n_models++ == MAX_MODELS)
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 1000000 models");
    l->level++;
    st = fill_model(l, node, fitted, parent, out);
    l->level--;
    if (st != ML_OK) {
        ml_model_free(*out);
        *out = NULL;
    }
    return st;
}

/* ---- reading: the file ---- */

static const ml__json_node *find_key(const ml__json_node *object, const char *wanted)
{
    const ml__json_node *key = ml__json_first(object);

    for (uint32_t i = 0; i < object->n; i++, key = ml__json_next(ml__json_next(key)))
        if (!strcmp(key->value.text, wanted))
            return ml__json_next(key);
    return NULL;
}

/* The marker first, then the version, and only then what this version of the format says. */
static ml_status check_metadata(const ml__safetensors *layout, const char **kind)
{
    static const ml__json_field FIELDS[] = {{"format", ML__JSON_STRING, false},
                                            {"format_version", ML__JSON_STRING, false},
                                            {"kind", ML__JSON_STRING, false},
                                            {"library_version", ML__JSON_STRING, false}};
    const ml__json_node *values[4], *version;
    const ml__json_node *format = layout->metadata ? find_key(layout->metadata, "format") : NULL;
    int64_t number;
    ml_status st;

    ML__CHECK(format && !strcmp(format->value.text, FORMAT_NAME), ML_E_FORMAT,
              "a safetensors file, but not a model file: __metadata__ has no format 'invar'");
    version = find_key(layout->metadata, "format_version");
    ML__CHECK(version && ml__parse_int(version->value.text, version->n, &number) == ML__NUMBER_OK && number >= 1,
              ML_E_FORMAT, "__metadata__ has no valid format_version");
    ML__CHECK(number <= FORMAT_VERSION_NUMBER, ML_E_VERSION,
              "the file has format version %lld, this library reads versions up to %d", (long long)number,
              FORMAT_VERSION_NUMBER);
    ML__TRY(ml__json_fields(&layout->header_source, layout->metadata, FIELDS, 4, values));
    *kind = values[2]->value.text;
done:
    return st;
}

static ml_status read_manifest(loader *l, ml__arena *arena, const ml__json_node **root)
{
    const size_t i = ml__safetensors_find(&l->layout, MANIFEST);
    const ml__stored_tensor *t = &l->layout.tensors[i];
    char *text;
    size_t n;
    ml_status st = ML_OK;

    ML__CHECK(i < l->layout.n_tensors, ML_E_FORMAT, "tensor 'manifest' is missing");
    ML__CHECK(t->dtype == ML_UINT8 && t->rank == 1, ML_E_FORMAT, "tensor 'manifest' is not a row of U8");
    ML__CHECK(t->shape[0] <= MAX_MANIFEST, ML_E_LIMIT, "tensor 'manifest' has %llu bytes, more than %d",
              (unsigned long long)t->shape[0], MAX_MANIFEST);
    n = (size_t)t->shape[0];
    ML__NEW(arena, text, n);
    ML__TRY(ml__safetensors_load(&l->layout, l->file, t, text));
    l->source = (ml__json_source){.name = MANIFEST,
                                  .offset = l->layout.data_offset + t->begin,
                                  .max_depth = MANIFEST_DEPTH,
                                  .max_nodes = UINT32_MAX};
    ML__TRY(ml__json_read(arena, &l->source, text, n, root));
    ML__NEW(arena, l->used, l->layout.n_tensors);
    l->used[i] = true;
    l->n_used = 1;
done:
    return st;
}

static ml_status check_all_used(const loader *l)
{
    for (size_t i = 0; i < l->layout.n_tensors; i++)
        if (!l->used[i])
            return ml__fail(ML_E_FORMAT, "tensor '%s' belongs to no model", l->layout.tensors[i].name);
    return ML_OK;
}

/* ---- reading: the probe ---- */

/* Predict one row, every feature `value`, or the nearest code where a feature has categories. */
static ml_status probe_row(const ml_model *model, int32_t what, double value, double *x, double *out, void *scratch)
{
    const ml__schema *schema = &model->learned->schema;
    const size_t width = ml_model_width(model, what);
    ml_status st;

    for (size_t j = 0; j < schema->n_features; j++)
        x[j] = schema->features[j].n_categories == 1 ? 0 : value;
    st = ml_model_predict_row(model, what, x, schema->n_features, out, width, scratch, ml_model_scratch_size(model));
    if (st == ML_E_DATA) /* the model refuses such a row, which is an answer */
        return ML_OK;
    for (size_t i = 0; st == ML_OK && i < width; i++)
        if (!isfinite(out[i]))
            st = ml__fail(ML_E_FORMAT, "%s: prediction %zu for a row of %g is not finite", model->kind->name, i, value);
    return st;
}

/* A last look before the handle leaves: a row of zeros and a row of ones must give finite predictions. */
static ml_status probe(const ml_model *model)
{
    static const int32_t CALLS[] = {ML_PREDICT_PROBA, ML_PREDICT, ML_TRANSFORM, ML_SCORE_SAMPLES, ML_DECISION};
    const size_t n_calls = sizeof CALLS / sizeof *CALLS;
    size_t call = 0;
    ml__arena arena;
    double *x, *out;
    char *scratch;
    ml_status st = ML_OK;

    ml__arena_init(&arena, model->context);
    while (call < n_calls && ml_model_width(model, CALLS[call]) == 0)
        call++;
    ML__CHECK(call < n_calls, ML_E_FORMAT, "%s: it can compute nothing", model->kind->name);
    ML__NEW(&arena, x, model->learned->schema.n_features);
    ML__NEW(&arena, out, ml_model_width(model, CALLS[call]));
    ML__NEW(&arena, scratch, ml_model_scratch_size(model));
    ML__TRY(probe_row(model, CALLS[call], 0, x, out, scratch));
    ML__TRY(probe_row(model, CALLS[call], 1, x, out, scratch));
done:
    ml__arena_free(&arena);
    return st;
}

static ml_status load_source(ml_context *context, const ml__source *file, const ml_load_options *options, bool outline,
                             ml_model **out)
{
    loader l = {.context = context, .file = file, .outline = outline};
    const ml__json_node *root;
    const char *kind;
    ml_model *model = NULL;
    ml__arena arena; /* header and manifest */
    ml_status st;

    ml__arena_init(&arena, context);
    ML__TRY(ml__safetensors_read(&arena, file, options->max_header_bytes, &l.layout));
    ML__TRY(check_metadata(&l.layout, &kind));
    ML__TRY(read_manifest(&l, &arena, &root));
    ML__TRY(read_model(&l, root, true, NULL, &model));
    ML__TRY(check_all_used(&l));
    ML__CHECK(!strcmp(model->kind->name, kind), ML_E_FORMAT, "__metadata__ says kind '%.*s', the manifest '%s'", 64,
              kind, model->kind->name);
    if (!outline)
        ML__TRY(probe(model));
    ML__TRY(ml__source_unchanged(file));
    *out = model;
    model = NULL;
done:
    ml_model_free(model);
    ml__arena_free(&arena);
    return st;
}

static const ml_load_options DEFAULTS = {
    .struct_size = sizeof DEFAULTS, .max_bytes = DEFAULT_MAX_BYTES, .max_header_bytes = ML__HEADER_DEFAULT_BYTES};

static ml_status read_options(const ml_load_options *options, ml_load_options *out)
{
    ml_status st = ML_OK;

    *out = (ml_load_options){.struct_size = sizeof *out};
    if (options)
        ML__TRY(ml__read_options(out, sizeof *out, options, "ml_load_options"));
    if (out->max_bytes == 0)
        out->max_bytes = DEFAULTS.max_bytes;
    if (out->max_header_bytes == 0)
        out->max_header_bytes = DEFAULTS.max_header_bytes;
    ML__CHECK(out->max_header_bytes <= ML__HEADER_MAX_BYTES, ML_E_ARGUMENT,
              "max_header_bytes is %llu, more than 100000000", (unsigned long long)out->max_header_bytes);
done:
    return st;
}

/* ---- the public functions ---- */

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
    st = load_source(context, &file, &o, false, out);
    ml__source_close(&file);
    if (st != ML_OK)
        st = ml__blame(st, "'%s': ", path);
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
    ML__TRY(load_source(context, &source, &o, false, out));
done:
    return st;
}

ml_status ml__file_outline(const char *path, ml_model **out, uint64_t *n_bytes)
{
    ml__source file;
    ml_status st;

    ML__TRY(ml__source_open(path, UINT64_MAX, &file));
    *n_bytes = file.n_bytes;
    st = load_source(NULL, &file, &DEFAULTS, true, out);
    ml__source_close(&file);
    if (st != ML_OK)
        st = ml__blame(st, "'%s': ", path);
done:
    return st;
}

/* Plan the file and read the plan: what a loader would refuse is not written. */
static ml_status plan_verified(ml__arena *arena, const ml_model *model, ml__safetensors *plan)
{
    ml_model *copy = NULL;
    ml_status st;

    ML__TRY(plan_file(arena, model, plan));
    st = load_source(model->context, &plan->source, &DEFAULTS, false, &copy);
    ml_model_free(copy);
    if (st != ML_OK)
        st = ml__blame(st, "the model cannot be saved: ");
done:
    return st;
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
    ML__TRY(plan_verified(&arena, model, &plan));
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
    ML__TRY(plan_file(&arena, model, &plan));
    ML__CHECK(plan.source.n_bytes <= SIZE_MAX, ML_E_LIMIT, "the model does not fit in memory");
    if (needed)
        *needed = (size_t)plan.source.n_bytes;
    if (!buffer)
        goto done;
    ML__CHECK(plan.source.n_bytes <= n_bytes, ML_E_SHAPE, "buffer has %zu bytes, the model needs %llu", n_bytes,
              (unsigned long long)plan.source.n_bytes);
    ML__TRY(plan_verified(&arena, model, &plan));
    ML__TRY(plan.source.read(&plan.source, 0, buffer, (size_t)plan.source.n_bytes));
done:
    ml__arena_free(&arena);
    return st;
}
