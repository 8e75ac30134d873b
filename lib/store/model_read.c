/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the bytes of a file to a model (docs/model-file.md). Nothing in the file is trusted. In this order: container,
 * marker and version, grammar of the manifest, kinds, parameters, members, schema, tensors, the kind's rules for them and
 * its cross-checks (`prepare`), and that every tensor was used exactly once. A model leaves only after two rows were
 * predicted with it.
 *
 * Counts are never trusted on their own: each is the number of items that lie in the file. Recursion is as deep as models
 * are nested, which is limited.
 */
#include "store/model_file.h"

#include <string.h>

#include "base/number.h"
#include "kinds.h"
#include "store/order.h"

enum {
    MAX_LEVELS = 5,           /* a learner in four composites */
    MAX_MODELS = 1000000,     /* in one file */
    MAX_MODEL_TENSORS = 4096, /* of one model; they are found by linear search */
    MAX_MANIFEST = 1 << 30,   /* bytes */
    MODEL_RANK = 4,
    /* per level: learned, members, member, model; then features, feature, categories */
    MANIFEST_DEPTH = 4 * MAX_LEVELS + 4
};

typedef struct loader {
    ml_context *context;
    const ml__source *file;
    ml__safetensors layout;
    ml__json_source source; /* of the manifest */
    bool outline;           /* leave out the data of tensors, and every check that needs it */
    bool *used;             /* tensors that found their place */
    size_t n_used, n_models, level;
    ml__tensor_path path;
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

/* ---- the schema ---- */

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

/* ---- tensors ---- */

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

    ML__TRY(ml__path_add(&l->path, name));
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
    ml__path_restore(&l->path, start);
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
        return ml__json_refuse(&l->source, node, ML_E_LIMIT, "more than 4096 tensors in one model");
    if (l->outline)
        ML__NEW(&learned->arena, learned->tensors, node->n);
    for (uint32_t i = 0; i < node->n; i++, item = ml__json_next(item)) {
        ML__TRY(ml__json_expect(&l->source, item, ML__JSON_STRING));
        ML__TRY(read_tensor(l, item->value.text, learned));
    }
done:
    return st;
}

/* ---- models ---- */

static ml_status read_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent,
                            ml_model **out);

/* One template of `owner`, or, when `learned` is given, one of its fitted members. */
static ml_status read_member(loader *l, const ml__json_node *node, ml_model *owner, ml__learned *learned)
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
    st = learned ? ml__members_add(l->context, &learned->members, values[0]->value.text, member, weight)
                 : ml__model_attach(owner, values[0]->value.text, member, weight);
    ML__TRY(file_fault(st, l, node));
    member->parent = owner;
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
    for (uint32_t i = 0; i < node->n; i++, item = ml__json_next(item)) {
        ML__TRY(ml__path_add_member(&l->path, i));
        ML__TRY(read_member(l, item, owner, learned));
        ml__path_restore(&l->path, start);
    }
done:
    return st;
}

static ml_status read_task(const loader *l, const ml__json_node *node, int32_t *task)
{
    *task = ml__task_from_name(node->value.text);
    if (*task)
        return ML_OK;
    return refuse(l, node, "a task is 'classify', 'regress', 'unsupervised' or 'mixed'");
}

static ml_status read_stop(const loader *l, const ml__json_node *node, int32_t *stop_reason)
{
    *stop_reason = ml__stop_from_name(node->value.text);
    if (*stop_reason)
        return ML_OK;
    return refuse(l, node,
                  "a stop reason is 'complete', 'converged', 'max_iter', 'early', 'deadline', 'memory' or 'monitor'");
}

static ml_status read_learned(loader *l, const ml__json_node *node, ml_model *model, const ml__schema *parent)
{
    static const ml__json_field FIELDS[] = {{"task", ML__JSON_STRING, false},   {"stop_reason", ML__JSON_STRING, false},
                                            {"features", ML__JSON_ARRAY, true}, {"outputs", ML__JSON_ARRAY, true},
                                            {"tensors", ML__JSON_ARRAY, false}, {"members", ML__JSON_ARRAY, false}};
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
static ml_status fill_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent, ml_model **out)
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

static ml_status read_model(loader *l, const ml__json_node *node, bool fitted, const ml__schema *parent, ml_model **out)
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

/* ---- the file ---- */

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

    ML__CHECK(format && !strcmp(format->value.text, ML__FORMAT_NAME), ML_E_FORMAT,
              "a safetensors file, but not a model file: __metadata__ has no format 'invar'");
    version = find_key(layout->metadata, "format_version");
    ML__CHECK(version && ml__parse_int(version->value.text, version->n, &number) == ML__NUMBER_OK && number >= 1,
              ML_E_FORMAT, "__metadata__ has no valid format_version");
    ML__CHECK(number <= ML__FORMAT_VERSION, ML_E_VERSION,
              "the file has format version %lld, this library reads versions up to %d", (long long)number,
              ML__FORMAT_VERSION);
    ML__TRY(ml__json_fields(&layout->header_source, layout->metadata, FIELDS, 4, values));
    *kind = values[2]->value.text;
done:
    return st;
}

static ml_status read_manifest(loader *l, ml__arena *arena, const ml__json_node **root)
{
    const size_t i = ml__safetensors_find(&l->layout, ML__MANIFEST);
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
    l->source = (ml__json_source){.name = ML__MANIFEST,
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

/* ---- the probe ---- */

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

ml_status ml__model_read(ml_context *context, const ml__source *file, uint64_t max_header_bytes, bool outline,
                         ml_model **out)
{
    loader l = {.context = context, .file = file, .outline = outline};
    const ml__json_node *root;
    const char *kind = NULL;
    ml_model *model = NULL;
    ml__arena arena; /* header and manifest */
    ml_status st;

    ml__arena_init(&arena, context);
    ML__TRY(ml__safetensors_read(&arena, file, max_header_bytes, &l.layout));
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
