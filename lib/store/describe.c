/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readable descriptions of models, in memory or in a file. A file is described from its outline: a model whose tensors
 * have no data, so nothing here looks at data or asks a kind.
 *
 *     pipeline: Steps one after the other
 *       parameters: none
 *       fitted to classify: 4 features (sepal_length, ...); species: 3 classes (setosa, ...); stopped: complete
 *       members
 *         net = mlp: Multi-layer perceptron
 *           parameters: hidden_layer_sizes = 64,32, alpha = 0.001; 18 at their defaults
 *           fitted to classify: 4 features; stopped: max_iter
 *           tensors: weights.0 float32 4 x 64, biases.0 float32 64, ...
 *     123 learned values, 984 bytes
 */
#include "store/model_file.h"

#include <string.h>

enum {
    MAX_NAMES = 8, /* of features and classes in one line */
    MAX_RUN = 5,   /* members of one kind in a row that are all told */
    RUN_SHOWN = 1, /* of a longer run */
    INDENT = 2
};

typedef struct totals {
    uint64_t n_values, n_bytes;
} totals;

static void indent(ml__text *out, size_t depth)
{
    for (size_t i = 0; i < depth * INDENT; i++)
        ml__text_add_bytes(out, " ", 1);
}

/* A name that may come from a file: control characters, C1 among them, must not reach a terminal. */
static void add_name(ml__text *out, const char *name)
{
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        if (*c < 0x20 || *c == 0x7F) {
            ml__text_add(out, "\\x%c%c", "0123456789ABCDEF"[*c >> 4], "0123456789ABCDEF"[*c & 15]);
        } else if (*c == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0) {
            ml__text_add(out, "\\u00%c%c", "0123456789ABCDEF"[c[1] >> 4], "0123456789ABCDEF"[c[1] & 15]);
            c++;
        } else {
            ml__text_add_bytes(out, (const char *)c, 1);
        }
    }
}

/* Between the names of a list; after the last, close it or say how many are left out. */
static void add_separator(ml__text *out, size_t i, size_t n)
{
    if (i + 1 < n && i + 1 < MAX_NAMES)
        ml__text_add(out, ", ");
    else if (i + 1 < n)
        ml__text_add(out, ", … and %zu more", n - i - 1);
}

static size_t shown(size_t n)
{
    return n < MAX_NAMES ? n : MAX_NAMES;
}

/* ---- parameters ---- */

/* One line: what differs from the defaults, and how many do not. */
static ml_status describe_params(const ml_model *model, size_t depth, ml__text *out)
{
    const ml__kind *kind = model->kind;
    void *defaults = ml__alloc_array(model->context, 1, kind->params_size ? kind->params_size : 1);
    size_t n_set = 0, n_default = 0;
    ml__text value, standard;
    ml_status st = defaults ? ML_OK : ML_E_MEMORY;

    ml__text_init(&value, model->context);
    ml__text_init(&standard, model->context);
    ML__TRY(st);
    ML__TRY(ml__params_defaults(kind->params, defaults));
    indent(out, depth);
    ml__text_add(out, "parameters:");
    for (const ml__param *p = kind->params; p->name; p++) {
        value.n_bytes = standard.n_bytes = 0;
        ml__text_add(&value, "%s", "");
        ml__text_add(&standard, "%s", "");
        ml__param_print(p, model->params, &value);
        ml__param_print(p, defaults, &standard);
        ML__TRY(value.status);
        ML__TRY(standard.status);
        if (value.n_bytes == standard.n_bytes && !memcmp(value.data, standard.data, value.n_bytes))
            n_default++;
        else
            ml__text_add(out, "%s %s = %s", n_set++ ? "," : "", p->name, value.data);
    }
    if (n_set && n_default)
        ml__text_add(out, ";");
    if (n_default)
        ml__text_add(out, " %zu at %s", n_default, n_default == 1 ? "its default" : "their defaults");
    ml__text_add(out, "%s\n", n_set || n_default ? "" : " none");
done:
    ml__text_free(&value);
    ml__text_free(&standard);
    ml__free(defaults);
    return st;
}

/* ---- what was learned ---- */

static void describe_output(const ml__output *output, ml__text *out)
{
    ml__text_add(out, "; ");
    add_name(out, output->name);
    if (output->n_classes == 0) {
        ml__text_add(out, ": real");
        return;
    }
    ml__text_add(out, ": %zu class%s (", output->n_classes, output->n_classes == 1 ? "" : "es");
    for (size_t k = 0; k < shown(output->n_classes); k++) {
        add_name(out, output->classes[k]);
        add_separator(out, k, output->n_classes);
    }
    ml__text_add(out, ")");
}

static void describe_features(const ml__schema *schema, ml__text *out)
{
    ml__text_add(out, " (");
    for (size_t j = 0; j < shown(schema->n_features); j++) {
        add_name(out, schema->features[j].name);
        if (schema->features[j].n_categories)
            ml__text_add(out, ": %zu categories", schema->features[j].n_categories);
        add_separator(out, j, schema->n_features);
    }
    ml__text_add(out, ")");
}

/* Names are told once, by the outermost model. */
static void describe_schema(const ml__learned *learned, size_t depth, bool names, ml__text *out)
{
    static const char *const VERBS[] = {[ML__CLASSIFY] = "classify",
                                        [ML__REGRESS] = "predict values",
                                        [ML__UNSUPERVISED] = "describe data",
                                        [ML__MIXED] = "classify and predict values"};
    const ml__schema *schema = &learned->schema;

    indent(out, depth);
    ml__text_add(out, "fitted to %s: %zu feature%s", VERBS[learned->task], schema->n_features,
                 schema->n_features == 1 ? "" : "s");
    if (names)
        describe_features(schema, out);
    for (size_t o = 0; names && learned->task != ML__UNSUPERVISED && o < shown(schema->n_outputs); o++)
        describe_output(&schema->outputs[o], out);
    if (names && learned->task != ML__UNSUPERVISED && schema->n_outputs > MAX_NAMES)
        ml__text_add(out, "; … and %zu more", schema->n_outputs - MAX_NAMES);
    ml__text_add(out, "; stopped: %s\n", ml__stop_name(learned->stop_reason));
}

static const char *type_name(ml_dtype dtype)
{
    static const char *const NAMES[] = {[ML_FLOAT32] = "float32",
                                        [ML_FLOAT64] = "float64",
                                        [ML_INT32] = "int32",
                                        [ML_INT64] = "int64",
                                        [ML_UINT8] = "uint8"};
    return NAMES[dtype];
}

static uint64_t count_values(const ml__named_tensor *t)
{
    uint64_t n = 1;

    for (uint32_t r = 0; r < t->rank; r++)
        n *= t->shape[r];
    return n;
}

static void describe_tensors(const ml__learned *learned, size_t depth, ml__text *out)
{
    if (!learned->n_tensors)
        return;
    indent(out, depth);
    ml__text_add(out, "tensors: ");
    for (size_t i = 0; i < learned->n_tensors; i++) {
        const ml__named_tensor *t = &learned->tensors[i];

        ml__text_add(out, "%s", i ? ", " : "");
        add_name(out, t->name);
        ml__text_add(out, " %s", type_name(t->dtype));
        for (uint32_t r = 0; r < t->rank; r++)
            ml__text_add(out, "%s%llu", r ? " x " : " ", (unsigned long long)t->shape[r]);
    }
    ml__text_add(out, "\n");
}

/* ---- models ---- */

static ml_status describe_model(const ml_model *model, size_t depth, ml__text *out);

/* Members from `first` on that are of one kind. */
static size_t run_length(const ml__members *members, size_t first)
{
    size_t end = first + 1;

    while (end < members->n && members->items[end].model->kind == members->items[first].model->kind)
        end++;
    return end - first;
}

static ml_status describe_member(const ml__member *member, size_t depth, ml__text *out)
{
    indent(out, depth);
    add_name(out, member->name);
    if (member->weight != ML_AUTO_WEIGHT)
        ml__text_add(out, " (weight %g)", member->weight);
    ml__text_add(out, " = ");
    return describe_model(member->model, depth, out);
}

static ml_status describe_members(const ml__members *members, size_t depth, ml__text *out)
{
    ml_status st = ML_OK;

    if (members->n > 0) {
        indent(out, depth);
        ml__text_add(out, "members\n");
    }
    for (size_t first = 0, n; first < members->n; first += n) {
        n = run_length(members, first);
        for (size_t i = 0; i < (n > MAX_RUN ? RUN_SHOWN : n); i++)
            ML__TRY(describe_member(&members->items[first + i], depth + 1, out));
        if (n > MAX_RUN) {
            indent(out, depth + 1);
            ml__text_add(out, "… and %zu more %s\n", n - RUN_SHOWN, members->items[first].model->kind->name);
        }
    }
done:
    return st;
}

/* Begins in the middle of a line, ends with a whole one. Members are as deep as models may be nested. */
static ml_status describe_model(const ml_model *model, size_t depth, ml__text *out)
{
    ml_status st;

    ml__text_add(out, "%s: %s\n", model->kind->name, model->kind->doc);
    ML__TRY(describe_params(model, depth + 1, out));
    if (model->learned) {
        describe_schema(model->learned, depth + 1, depth == 0, out);
        describe_tensors(model->learned, depth + 1, out);
    } else {
        indent(out, depth + 1);
        ml__text_add(out, "not fitted\n");
    }
    ML__TRY(describe_members(ml__model_members(model), depth + 1, out));
done:
    return st;
}

static void add_totals(const ml_model *model, totals *t)
{
    const ml__learned *learned = model->learned;

    for (size_t i = 0; i < learned->n_tensors; i++) {
        const uint64_t n = count_values(&learned->tensors[i]);
        t->n_values += n;
        t->n_bytes += n * ml__dtype_size(learned->tensors[i].dtype);
    }
    for (size_t i = 0; i < learned->members.n; i++)
        add_totals(learned->members.items[i].model, t);
}

static ml_status describe(const ml_model *model, ml__text *out)
{
    totals t = {0};
    ml_status st;

    ML__TRY(describe_model(model, 0, out));
    if (model->learned) {
        add_totals(model, &t);
        ml__text_add(out, "%llu learned values, %llu bytes\n", (unsigned long long)t.n_values,
                     (unsigned long long)t.n_bytes);
    }
done:
    return st;
}

ml_status ml_model_describe(const ml_model *model, char *buffer, size_t n_bytes, size_t *needed)
{
    ml__text text;
    ml_status st;

    if (!model)
        return ml__fail(ML_E_ARGUMENT, "model is NULL");
    ml__text_init(&text, model->context);
    ML__TRY(describe(model, &text));
    ML__TRY(ml__text_deliver(&text, buffer, n_bytes, needed));
done:
    ml__text_free(&text);
    return st;
}

ml_status ml_file_describe(const char *path, char *buffer, size_t n_bytes, size_t *needed)
{
    uint64_t file_bytes;
    ml_model *outline = NULL;
    ml__text text;
    ml_status st;

    if (!path)
        return ml__fail(ML_E_ARGUMENT, "path is NULL");
    ml__text_init(&text, NULL);
    ML__TRY(ml__file_outline(path, &outline, &file_bytes));
    ML__TRY(describe(outline, &text));
    ml__text_add(&text, "file of %llu bytes, format version %d\n", (unsigned long long)file_bytes, ML__FORMAT_VERSION);
    ML__TRY(ml__text_deliver(&text, buffer, n_bytes, needed));
done:
    ml__text_free(&text);
    ml_model_free(outline);
    return st;
}
