/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets from CSV. The text becomes cells (csv_parse.c), the first record tells what the columns are (csv_columns.c), the
 * others what is in them (csv_values.c). Either all of it is in memory, or rows stay in their file and are read again
 * whenever they are wanted (csv_file.c, csv_source.c).
 */
#include <string.h>

#include "base/processor.h"
#include "data/csv_import.h"

static void begin(ml__csv_importer *im, ml_context *context)
{
    im->context = context;
    ml__arena_init(&im->arena, context);
    ml__arena_init(&im->scratch, context);
}

static ml_status assemble(ml__csv_importer *im, ml_dataset **out)
{
    double *x = im->x;
    ml_status st;

    im->x = NULL;
    ML__TRY(ml__dataset_own(im->context, x, im->n_rows, &im->features, out));
    ML__TRY(ml__csv_add_outputs(im, *out));
done:
    return st;
}

static ml_status import(ml__csv_importer *im, ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    ml_status st;

    ML__TRY(ml__csv_parse(&im->csv, im->context));
    ML__TRY(ml__csv_read_columns(im, &im->csv));
    ML__TRY(ml__csv_read_values(im));
    ML__TRY(assemble(im, out));
done:
    return ml__float_end(host, st);
}

/* The last step of both functions below, whatever came before. */
static ml_status finish(ml__csv_importer *im, ml_status st, ml_dataset **out)
{
    ml__arena_free(&im->arena);
    ml__arena_free(&im->scratch);
    ml__free(im->csv.cells);
    ml__free(im->csv.text);
    ml__free(im->x);
    if (st != ML_OK && out) {
        ml_dataset_free(*out);
        *out = NULL;
    }
    return st;
}

ml_status ml_dataset_from_csv(ml_context *context, const char *path, const ml_csv_options *options, ml_dataset **out)
{
    ml__csv_importer im = {0};
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(path, ML_E_ARGUMENT, "path is NULL");
    begin(&im, context);
    im.csv.name = ml__csv_shown_name(path);
    ML__TRY(ml__csv_read_options(&im, options));
    ML__TRY(ml__read_file(context, path, im.options.max_bytes, &im.csv.text, &im.csv.n_bytes));
    ML__TRY(import(&im, out));
done:
    return finish(&im, st, out);
}

ml_status ml_dataset_from_csv_memory(ml_context *context, const char *text, size_t n_bytes, const char *name,
                                     const ml_csv_options *options, ml_dataset **out)
{
    ml__csv_importer im = {0};
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(text || !n_bytes, ML_E_ARGUMENT, "text is NULL");
    begin(&im, context);
    im.csv.name = ml__csv_shown_name(name ? name : "memory");
    ML__TRY(ml__csv_read_options(&im, options));
    ML__CHECK(n_bytes <= im.options.max_bytes && n_bytes < SIZE_MAX, ML_E_LIMIT,
              "'%s' has %zu bytes, more than max_bytes = %llu", im.csv.name, n_bytes,
              (unsigned long long)im.options.max_bytes);
    im.csv.text = ml__alloc_array(context, n_bytes + 1, 1);
    ML__TRY(im.csv.text ? ML_OK : ML_E_MEMORY);
    if (n_bytes)
        memcpy(im.csv.text, text, n_bytes);
    im.csv.n_bytes = n_bytes;
    ML__TRY(import(&im, out));
done:
    return finish(&im, st, out);
}
