/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datasets over CSV files that stay where they are. What a row's cells mean is found once and kept; outputs and weights
 * are kept, too, 4 or 8 bytes per row each; features are parsed whenever they are read, block by block, on all threads.
 */
#include <stdatomic.h>

#include "base/parallel.h"
#include "base/processor.h"
#include "data/csv_import.h"

enum { BYTES_AT_ONCE = 1 << 18, N_KEPT = 4 };

/* Block k as it was read last. */
typedef struct kept {
    ml__csv_block block;
    size_t k;
} kept;

typedef struct stream {
    ml__source source;
    ml__csv_importer im;
    ml__csv_file file;
    _Atomic(kept *) kept[N_KEPT]; /* or NULL */
} stream;

/* ---- blocks that are kept: who reads row after row, or a view, comes back to a block again and again ---- */

static void free_kept(kept *b)
{
    if (b)
        ml__csv_block_free(&b->block);
    ml__free(b);
}

/* For this thread alone until it gives it back. */
static ml_status take_block(stream *from, size_t k, kept **out)
{
    kept *b = atomic_exchange(&from->kept[k % N_KEPT], NULL);
    ml_status st = ML_OK;

    *out = NULL;
    if (b && b->k == k) {
        *out = b;
        return ML_OK;
    }
    if (!b)
        ML__TRY((b = ml__alloc_array(from->im.context, 1, sizeof *b)) ? ML_OK : ML_E_MEMORY);
    ML__TRY(ml__csv_file_read(&from->file, k, &b->block));
    b->k = k;
    *out = b;
done:
    if (st != ML_OK)
        free_kept(b);
    return st;
}

static void give_back(stream *from, kept *b)
{
    if (b)
        free_kept(atomic_exchange(&from->kept[b->k % N_KEPT], b));
}

/* ---- reading ---- */

/* Records of the file; the header is one. */
typedef struct request {
    stream *from;
    size_t first, end;
    size_t first_block;
    ml_dtype dtype;
    void *out;
} request;

static ml_status read_record(const request *r, const ml__csv *csv, size_t in_block, size_t record, double *row)
{
    const ml__csv_importer *im = &r->from->im;
    const size_t d = im->features.n_features, at = (record - r->first) * d;
    double *f64 = r->dtype == ML_FLOAT64 ? (double *)r->out + at : row;
    ml_status st = ml__csv_read_features(im, csv, csv->cells + in_block * im->n_columns, f64);

    for (size_t j = 0; st == ML_OK && r->dtype == ML_FLOAT32 && j < d; j++)
        ((float *)r->out)[at + j] = ml__to_float(f64[j]);
    return st;
}

/* The part of a request that is in one block. */
static ml_status read_block(void *argument, size_t index)
{
    const request *r = argument;
    const ml__csv_file *file = &r->from->file;
    const size_t k = r->first_block + index, start = file->extents[k].first, behind = file->extents[k + 1].first;
    const size_t end = r->end < behind ? r->end : behind;
    double *row = NULL;
    kept *b = NULL;
    ml_status st;

    if (r->dtype == ML_FLOAT32)
        ML__TRY((row = ml__alloc(file->context, r->from->im.features.n_features * sizeof *row)) ? ML_OK : ML_E_MEMORY);
    ML__TRY(take_block(r->from, k, &b));
    for (size_t record = start > r->first ? start : r->first; record < end; record++)
        ML__TRY(read_record(r, &b->block.csv, record - start, record, row));
done:
    give_back(r->from, b);
    ml__free(row);
    return st;
}

static ml_status read_rows(ml__source *source, size_t first, size_t n, ml_dtype dtype, void *out)
{
    const ml__float_state host = ml__float_begin();
    stream *from = (stream *)source;
    const size_t record = first + from->im.has_header, first_block = ml__csv_file_find(&from->file, record);
    request r = {from, record, record + n, first_block, dtype, out};
    ml_status st = ML_OK;

    if (n)
        st = ml__parallel_for(from->im.context, ml__csv_file_find(&from->file, r.end - 1) - first_block + 1, read_block,
                              &r);
    return ml__float_end(host, st);
}

static ml_status check_unchanged(ml__source *source)
{
    return ml__input_unchanged(&((const stream *)source)->file.input);
}

static void close_stream(ml__source *source)
{
    stream *from = (stream *)source;

    for (size_t i = 0; i < N_KEPT; i++)
        free_kept(atomic_load(&from->kept[i]));
    ml__csv_file_close(&from->file);
    ml__arena_free(&from->im.arena);
    ml__arena_free(&from->im.scratch);
    ml__free(from);
}

/* ---- opening ---- */

static ml_status begin(ml_context *context, const char *path, const ml_csv_options *options, stream **out)
{
    stream *made = ml__alloc_array(context, 1, sizeof *made);
    ml__csv_importer *im;
    uint64_t most;
    ml_status st;

    if (!made)
        return ML_E_MEMORY;
    made->source = (ml__source){read_rows, close_stream, check_unchanged};
    made->file.context = context;
    made->file.input.descriptor = -1;
    im = &made->im;
    im->context = context;
    im->file = &made->file;
    ml__arena_init(&im->arena, context);
    ml__arena_init(&im->scratch, context);
    ML__TRY(ml__csv_read_options(im, options));
    ML__TRY((path = ml__arena_text(&im->arena, path)) ? ML_OK : ML_E_MEMORY);
    im->csv.name = ml__csv_shown_name(path);
    most = im->options.max_bytes;
    ML__TRY(ml__input_open(path, most < SIZE_MAX - 1 ? most : SIZE_MAX - 1, &made->file.input));
    ML__TRY(ml__input_unchanged(&made->file.input));
    *out = made;
done:
    if (st != ML_OK)
        close_stream(&made->source);
    return st;
}

static ml_status read_columns(stream *from)
{
    ml__csv_importer *im = &from->im;
    ml__csv_block first = {0};
    ml_status st;

    ML__TRY(ml__csv_file_read(&from->file, 0, &first));
    ML__TRY(ml__csv_read_columns(im, &first.csv));
done:
    ml__csv_block_free(&first);
    return st;
}

static ml_status import(stream *from, size_t n_at_once)
{
    const ml__float_state host = ml__float_begin();
    ml__csv_importer *im = &from->im;
    ml_status st;

    from->file.whole = im->csv;
    ML__TRY(ml__csv_file_scan(&from->file, n_at_once));
    im->csv = from->file.whole;
    im->csv.input = &from->file.input;
    ML__TRY(read_columns(from));
    ML__TRY(ml__csv_read_values(im));
    ML__TRY(ml__input_unchanged(&from->file.input));
done:
    return ml__float_end(host, st);
}

/* Takes over `from`, also on failure. */
static ml_status assemble(stream *from, ml_dataset **out)
{
    const ml__float_state host = ml__float_begin();
    ml__csv_importer *im = &from->im;
    bool may_miss = false;
    ml_status st;

    for (size_t c = 0; c < im->n_columns; c++)
        may_miss |= im->columns[c].role == ML__CSV_FEATURE && im->columns[c].may_miss;
    ML__TRY(ml__dataset_of_source(im->context, &from->source, im->n_rows, ML_FLOAT64, may_miss, &im->features, out));
    ML__TRY(ml__csv_add_outputs(im, *out));
    ml__arena_free(&im->scratch);
done:
    if (st != ML_OK) {
        ml_dataset_free(*out);
        *out = NULL;
    }
    return ml__float_end(host, st);
}

ml_status ml__csv_open(ml_context *context, const char *path, const ml_csv_options *options, size_t n_at_once,
                       ml_dataset **out)
{
    stream *from = NULL;
    ml_status st;

    ML__CHECK(out, ML_E_ARGUMENT, "out is NULL");
    *out = NULL;
    ML__CHECK(path, ML_E_ARGUMENT, "path is NULL");
    ML__TRY(begin(context, path, options, &from));
    st = import(from, n_at_once);
    if (st == ML_OK)
        return assemble(from, out);
    close_stream(&from->source);
done:
    return st;
}

ml_status ml_dataset_open_csv(ml_context *context, const char *path, const ml_csv_options *options, ml_dataset **out)
{
    return ml__csv_open(context, path, options, BYTES_AT_ONCE, out);
}
