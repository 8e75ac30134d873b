/* SPDX-License-Identifier: Apache-2.0 */
/* Some columns of rows that are read from a file: the rows are read as a whole, and the columns picked. */
#include <string.h>

#include "data/table.h"

/* Read at a time. */
enum { BLOCK_ROWS = 64 };

typedef struct selection {
    ml__source source;
    ml__arena arena;
    ml_dataset *rows; /* a dataset of its own */
    size_t d, n;      /* columns there are, and those picked */
    size_t *columns;
} selection;

static ml_status read_rows(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const selection *s = (const selection *)source;
    const size_t size = ml__dtype_size(dtype), most = n < BLOCK_ROWS ? n : BLOCK_ROWS;
    char *rows = ml__alloc_array(s->arena.context, s->d, most * size), *to = out;
    ml_status st = rows ? ML_OK : ML_E_MEMORY;

    for (size_t i = 0; i < n && st == ML_OK; i += most) {
        const size_t n_rows = n - i < most ? n - i : most;

        st = ml__dataset_read(s->rows, first + i, n_rows, dtype, rows);
        for (size_t r = 0; r < n_rows && st == ML_OK; r++)
            for (size_t c = 0; c < s->n; c++, to += size)
                memcpy(to, rows + (r * s->d + s->columns[c]) * size, size);
    }
    ml__free(rows);
    return st;
}

static ml_status check_unchanged(ml__source *source)
{
    return ml__dataset_unchanged(((const selection *)source)->rows);
}

static void close_rows(ml__source *source)
{
    selection *s = (selection *)source;

    ml_dataset_free(s->rows);
    ml__arena_free(&s->arena);
    ml__free(s);
}

ml_status ml__dataset_select_streamed(const ml_dataset *dataset, const int64_t *columns, const ml__schema *features,
                                      ml_dataset **out)
{
    selection *s = ml__alloc_array(dataset->table->context, 1, sizeof *s);
    ml_status st = s ? ML_OK : ML_E_MEMORY;

    if (!s)
        return st;
    s->source = (ml__source){read_rows, close_rows, check_unchanged};
    s->d = dataset->table->schema.n_features;
    s->n = features->n_features;
    ml__arena_init(&s->arena, dataset->table->context);
    ML__NEW(&s->arena, s->columns, s->n);
    for (size_t c = 0; c < s->n; c++)
        s->columns[c] = (size_t)columns[c];
    ML__TRY(ml__dataset_share(dataset, &s->rows));
    return ml__dataset_with_source(dataset, &s->source, dataset->table->dtype, dataset->table->may_miss, features, out);
done:
    close_rows(&s->source);
    return st;
}
