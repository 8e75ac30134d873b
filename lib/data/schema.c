/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas: what the columns of a dataset mean. Copying, and matching data against what a model has learned.
 *
 * Data without names of its own (from a matrix, or from a CSV file without header) has features x0, x1, …, possibly
 * with gaps where columns were left out. Such names say nothing and match any other.
 */
#include <string.h>

#include "base/number.h"
#include "data/table.h"

static ml_status copy_texts(ml__arena *arena, char *const *from, size_t n, char ***to)
{
    ml_status st = ML_OK;
    char **texts;

    ML__NEW(arena, texts, n);
    for (size_t i = 0; i < n; i++) {
        texts[i] = ml__arena_text(arena, from[i]);
        if (!texts[i])
            return ML_E_MEMORY;
    }
    *to = texts;
done:
    return st;
}

ml_status ml__schema_copy(ml__arena *arena, const ml__schema *from, ml__schema *to)
{
    ml_status st = ML_OK;
    ml__schema copy = *from;

    ML__NEW(arena, copy.features, from->n_features);
    for (size_t j = 0; j < from->n_features; j++) {
        const ml__feature *source = &from->features[j];
        ml__feature *f = &copy.features[j];
        ML__TRY((f->name = ml__arena_text(arena, source->name)) ? ML_OK : ML_E_MEMORY);
        f->n_categories = source->n_categories;
        if (source->n_categories)
            ML__TRY(copy_texts(arena, source->categories, source->n_categories, &f->categories));
    }
    ML__NEW(arena, copy.outputs, from->n_outputs);
    for (size_t o = 0; o < from->n_outputs; o++) {
        const ml__output *source = &from->outputs[o];
        ml__output *output = &copy.outputs[o];
        ML__TRY((output->name = ml__arena_text(arena, source->name)) ? ML_OK : ML_E_MEMORY);
        output->n_classes = source->n_classes;
        if (source->n_classes)
            ML__TRY(copy_texts(arena, source->classes, source->n_classes, &output->classes));
    }
    *to = copy;
done:
    return st;
}

ml_status ml__schema_select(ml__arena *arena, const ml__schema *from, const int64_t *columns, size_t n, ml__schema *to)
{
    ml_status st = ML_OK;

    *to = (ml__schema){.n_features = n};
    ML__NEW(arena, to->features, n);
    for (size_t c = 0; c < n; c++)
        to->features[c] = from->features[columns[c]];
done:
    return st;
}

size_t ml__schema_width(const ml__schema *schema)
{
    size_t width = 0;

    for (size_t o = 0; o < schema->n_outputs; o++)
        width += schema->outputs[o].n_classes;
    return width;
}

bool ml__schema_is_mixed(const ml__schema *schema)
{
    for (size_t o = 1; o < schema->n_outputs; o++)
        if (!schema->outputs[o].n_classes != !schema->outputs[0].n_classes)
            return true;
    return false;
}

ml_status ml__schema_default_features(ml__arena *arena, size_t n_features, ml__schema *schema)
{
    ml_status st = ML_OK;
    char name[ML__NUMBER_BYTES + 1];

    ML__NEW(arena, schema->features, n_features);
    schema->n_features = n_features;
    for (size_t j = 0; j < n_features; j++) {
        const size_t length = ml__format(name, sizeof name, "x%zu", j);
        ML__TRY((schema->features[j].name = ml__arena_text_n(arena, name, length)) ? ML_OK : ML_E_MEMORY);
    }
done:
    return st;
}

/* ---- matching ---- */

/* The number k of a name "x<k>" as we write it, else -1. */
static int64_t default_number(const char *name)
{
    const char *digits = name + 1;
    const size_t n = strlen(name);
    int64_t k;

    if (name[0] != 'x' || n < 2 || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && n > 2))
        return -1;
    return ml__parse_int(digits, n - 1, &k) == ML__NUMBER_OK ? k : -1;
}

bool ml__schema_is_unnamed(const ml__schema *schema)
{
    int64_t last = -1;

    for (size_t j = 0; j < schema->n_features; j++) {
        const int64_t k = default_number(schema->features[j].name);
        if (k <= last)
            return false;
        last = k;
    }
    return true;
}

ml_status ml__schema_match_names(const ml__schema *expected, const ml__schema *data)
{
    ml_status st = ML_OK;

    ML__CHECK(expected->n_features == data->n_features, ML_E_SHAPE, "the data has %zu features, expected %zu",
              data->n_features, expected->n_features);
    if (ml__schema_is_unnamed(expected) || ml__schema_is_unnamed(data))
        return ML_OK;
    for (size_t j = 0; j < expected->n_features; j++)
        ML__CHECK(!strcmp(expected->features[j].name, data->features[j].name), ML_E_DATA,
                  "feature %zu is '%s', expected '%s'", j, data->features[j].name, expected->features[j].name);
done:
    return st;
}

static ml_status match_categories(size_t j, const ml__feature *expected, const ml__feature *data)
{
    ml_status st = ML_OK;

    ML__CHECK(expected->n_categories == data->n_categories, ML_E_DATA,
              "feature %zu ('%s') has %zu categories, expected %zu", j, data->name, data->n_categories,
              expected->n_categories);
    for (size_t k = 0; k < expected->n_categories; k++)
        ML__CHECK(!strcmp(expected->categories[k], data->categories[k]), ML_E_DATA,
                  "category %zu of feature %zu ('%s') is '%s', expected '%s'", k, j, data->name, data->categories[k],
                  expected->categories[k]);
done:
    return st;
}

ml_status ml__schema_match(const ml__schema *expected, const ml__schema *data)
{
    ml_status st;
    bool unnamed;

    ML__TRY(ml__schema_match_names(expected, data));
    unnamed = ml__schema_is_unnamed(data);
    for (size_t j = 0; j < expected->n_features; j++) {
        /* a plain matrix may bring the codes of categories without their names */
        if (unnamed && !data->features[j].n_categories)
            continue;
        ML__TRY(match_categories(j, &expected->features[j], &data->features[j]));
    }
done:
    return st;
}

ml_status ml__schema_match_outputs(const ml__schema *expected, const ml__schema *data)
{
    ml_status st = ML_OK;

    ML__CHECK(expected->n_outputs == data->n_outputs, ML_E_SHAPE, "%zu outputs, expected %zu", data->n_outputs,
              expected->n_outputs);
    for (size_t o = 0; o < expected->n_outputs; o++) {
        const ml__output *a = &expected->outputs[o], *b = &data->outputs[o];

        ML__CHECK(a->n_classes == b->n_classes, ML_E_SHAPE, "output '%s' has %zu classes, expected %zu", b->name,
                  b->n_classes, a->n_classes);
        for (size_t k = 0; k < a->n_classes; k++)
            ML__CHECK(!strcmp(a->classes[k], b->classes[k]), ML_E_DATA, "output '%s': class %zu is '%s', expected '%s'",
                      b->name, k, b->classes[k], a->classes[k]);
    }
done:
    return st;
}
