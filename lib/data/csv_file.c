/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV files that stay where they are.
 *
 * One pass checks the whole file in a buffer: what the scanner leaves for later moves to its front, and the file goes on
 * behind it. The buffer grows for a cell that does not fit, to twice the longest one at most. The pass keeps where blocks
 * of records are: of some records, of fewer where these are long. They are parsed when they are wanted, by any number of
 * threads at once: each has a block of its own.
 */
#include <string.h>

#include "data/csv.h"

/* Records of a block, unless they are long: whoever wants one row parses them all. */
enum { MOST_TOGETHER = 32 };
/* For a byte order mark, and for a cell's end. */
enum { LEAST_AT_ONCE = 4 };

typedef struct reader {
    ml__csv_file *file;
    ml__csv csv; /* the part of the file in the buffer */
    size_t n_at_once, n_allocated;
    ml__csv_scanner scanner;
} reader;

/* ---- the buffer ---- */

static ml_status enlarge(reader *r)
{
    char *larger = NULL;
    size_t n_bytes;
    ml_status st;

    ML__CHECK(ml__size_mul(r->n_allocated, 2, &n_bytes), ML_E_MEMORY, "%s has a cell that exceeds the address space",
              r->csv.name);
    larger = ml__alloc(r->file->context, n_bytes + 1);
    ML__TRY(larger ? ML_OK : ML_E_MEMORY);
    memcpy(larger, r->csv.text, r->csv.n_bytes);
    ml__free(r->csv.text);
    r->csv.text = larger;
    r->n_allocated = n_bytes;
done:
    return st;
}

/* Keep what is behind scanner.at and read as much as there is room for behind it. */
static ml_status refill(reader *r)
{
    ml__csv *csv = &r->csv;
    const size_t n_done = (size_t)(r->scanner.at - csv->text), n_kept = csv->n_bytes - n_done;
    uint64_t n_left;
    size_t n_new;
    ml_status st = ML_OK;

    memmove(csv->text, r->scanner.at, n_kept);
    csv->n_bytes = n_kept;
    csv->offset += n_done;
    if (n_kept == r->n_allocated)
        ML__TRY(enlarge(r));
    n_left = r->file->input.n_bytes - csv->offset - n_kept;
    n_new = r->n_allocated - n_kept < n_left ? r->n_allocated - n_kept : (size_t)n_left;
    ML__TRY(ml__input_read(&r->file->input, csv->offset + n_kept, csv->text + n_kept, n_new));
    csv->n_bytes += n_new;
    csv->text[csv->n_bytes] = 0;
    r->scanner.at = csv->text;
    r->scanner.end = csv->text + csv->n_bytes;
    r->scanner.is_last = n_new == n_left;
done:
    return st;
}

/* ---- what is wrong with a quoted cell that is too long: only what comes behind it tells ---- */

typedef struct quoted {
    enum { INSIDE, AFTER_QUOTE, CLOSED } state;
    bool is_over; /* at the end of the cell, or at what should not be there */
} quoted;

/* Returns how many bytes came before the end. */
static size_t look_for_end(quoted *q, const ml__csv *csv, const char *text, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (q->state == INSIDE || (q->state == AFTER_QUOTE && text[i] == '"')) {
            q->state = q->state == INSIDE && text[i] == '"' ? AFTER_QUOTE : INSIDE;
            continue;
        }
        q->state = CLOSED;
        if (!ml__csv_is_blank(csv, text[i])) {
            q->is_over = true;
            break;
        }
    }
    return i;
}

/* The cell begins at scanner.at with its quote. */
static ml_status fail_overlong(const reader *r)
{
    const ml__csv_scanner *s = &r->scanner;
    const ml__input *input = &r->file->input;
    const uint64_t open = ml__csv_place(&r->csv, s->at);
    uint64_t at = open + 1;
    quoted q = {INSIDE, false};
    char bytes[4096];
    ml_status st = ML_OK;

    while (!q.is_over && at < input->n_bytes) {
        const size_t n = input->n_bytes - at < sizeof bytes ? (size_t)(input->n_bytes - at) : sizeof bytes;
        size_t n_before;
        ML__TRY(ml__input_read(input, at, bytes, n));
        n_before = look_for_end(&q, &r->csv, bytes, n);
        at += n_before;
        if (q.is_over && bytes[n_before] != r->csv.delimiter && bytes[n_before] != '\n' && bytes[n_before] != '\r')
            return ml__csv_fail(s, at, ML_E_FORMAT, ML__CSV_TEXT_BEHIND);
    }
    if (q.state == INSIDE)
        return ml__csv_fail(s, open, ML_E_FORMAT, ML__CSV_NEVER_CLOSED);
    return ml__csv_fail_overlong(s, open + 1);
done:
    return st;
}

/* ---- the places of blocks ---- */

/* From this record on. */
static ml_status add_extent(ml__csv_file *file, uint64_t begin, size_t first)
{
    const size_t capacity = file->capacity ? 2 * file->capacity : 64;
    ml__csv_extent *larger;

    if (file->n_blocks == file->capacity) {
        larger = ml__alloc_array(file->context, capacity, sizeof *larger);
        if (!larger)
            return ML_E_MEMORY;
        if (file->n_blocks)
            memcpy(larger, file->extents, file->n_blocks * sizeof *larger);
        ml__free(file->extents);
        file->extents = larger;
        file->capacity = capacity;
    }
    file->extents[file->n_blocks++] = (ml__csv_extent){begin, begin, first};
    return ML_OK;
}

/* A record begins: in the last block, or in a new one when that has become long. */
static ml_status note_record(void *argument, const ml__csv_scanner *scanner)
{
    const reader *r = argument;
    ml__csv_file *file = r->file;

    if (file->n_blocks) {
        ml__csv_extent *last = &file->extents[file->n_blocks - 1];
        last->end = scanner->behind;
        if (scanner->n_records - last->first < MOST_TOGETHER && scanner->record - last->begin < r->n_at_once)
            return ML_OK;
    }
    return add_extent(file, scanner->record, scanner->n_records);
}

/* Behind the last record. */
static ml_status end_blocks(ml__csv_file *file, const ml__csv_scanner *scanner)
{
    ml_status st = add_extent(file, scanner->behind, scanner->n_records);

    ML__TRY(st);
    file->n_blocks--;
    file->extents[file->n_blocks - 1].end = scanner->behind;
done:
    return st;
}

size_t ml__csv_file_find(const ml__csv_file *file, size_t record)
{
    size_t low = 0, high = file->n_blocks;

    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;

        if (file->extents[middle].first <= record)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- the pass ---- */

static ml_status find_delimiter(reader *r)
{
    ml__csv_sniffer sniffer = {0};
    const ml__input *input = &r->file->input;
    char bytes[4096];
    bool goes_on = true;
    ml_status st = ML_OK;

    for (uint64_t at = ml__csv_place(&r->csv, r->scanner.at); goes_on && at < input->n_bytes; at += sizeof bytes) {
        const size_t n = input->n_bytes - at < sizeof bytes ? (size_t)(input->n_bytes - at) : sizeof bytes;
        ML__TRY(ml__input_read(input, at, bytes, n));
        goes_on = ml__csv_sniff(&sniffer, bytes, n);
    }
    r->csv.delimiter = ml__csv_sniffed(&sniffer);
done:
    return st;
}

static ml_status scan_all(reader *r)
{
    ml__csv_scanner *s = &r->scanner;
    size_t n_mark;
    ml_status st;

    ML__TRY(refill(r));
    ML__TRY(ml__csv_check_mark(&r->csv, &n_mark));
    s->at += n_mark;
    if (!r->csv.delimiter)
        ML__TRY(find_delimiter(r));
    for (;;) {
        ML__TRY(ml__csv_scan(s));
        if (s->is_overlong)
            return fail_overlong(r);
        if (s->is_last)
            break;
        ML__TRY(refill(r));
    }
    ML__CHECK(s->n_records, ML_E_DATA, "%s, line 1: the file is empty", r->csv.name);
done:
    return st;
}

ml_status ml__csv_file_scan(ml__csv_file *file, size_t n_at_once)
{
    reader r = {.file = file, .csv = file->whole, .n_at_once = n_at_once};
    size_t n_cells;
    ml_status st;

    r.n_allocated = n_at_once > LEAST_AT_ONCE ? n_at_once : LEAST_AT_ONCE;
    r.csv.input = &file->input;
    r.csv.text = ml__alloc_array(file->context, r.n_allocated + 1, 1);
    ML__TRY(r.csv.text ? ML_OK : ML_E_MEMORY);
    r.scanner = (ml__csv_scanner){.csv = &r.csv, .at = r.csv.text, .found = note_record, .argument = &r};
    ML__TRY(scan_all(&r));
    ML__TRY(end_blocks(file, &r.scanner));
    file->whole.delimiter = r.csv.delimiter;
    file->whole.n_columns = r.csv.n_columns;
    file->whole.n_records = r.scanner.n_records;
    ML__CHECK(ml__size_mul(file->whole.n_records, file->whole.n_columns, &n_cells), ML_E_MEMORY,
              "%s has too many cells", file->whole.name);
done:
    ml__free(r.csv.text);
    return st;
}

void ml__csv_file_close(ml__csv_file *file)
{
    ml__input_close(&file->input);
    ml__free(file->extents);
    file->extents = NULL;
}

/* ---- blocks ---- */

/* Room for so many bytes and cells, where there is none yet. */
static ml_status make_room(const ml__csv_file *file, size_t n_bytes, size_t n_cells, ml__csv_block *block)
{
    ml__csv *csv = &block->csv;
    ml_status st = ML_OK;

    if (block->n_cells < n_cells) {
        ml__free(csv->cells);
        block->n_cells = 0;
        csv->cells = ml__alloc_array(file->context, n_cells, sizeof *csv->cells);
        ML__TRY(csv->cells ? ML_OK : ML_E_MEMORY);
        block->n_cells = n_cells;
    }
    if (block->n_allocated <= n_bytes) {
        ml__free(csv->text);
        block->n_allocated = 0;
        csv->text = ml__alloc(file->context, n_bytes + 1);
        ML__TRY(csv->text ? ML_OK : ML_E_MEMORY);
        block->n_allocated = n_bytes + 1;
    }
done:
    return st;
}

ml_status ml__csv_file_read(const ml__csv_file *file, size_t k, ml__csv_block *block)
{
    const ml__csv_extent *extent = &file->extents[k];
    const uint64_t n_bytes = extent->end - extent->begin;
    const size_t n_records = extent[1].first - extent->first;
    ml__csv *csv = &block->csv;
    ml__csv_scanner s = {.csv = csv, .is_last = true};
    ml_status st;

    ML__CHECK(n_bytes < SIZE_MAX, ML_E_MEMORY, "%s has lines that exceed the address space", file->whole.name);
    ML__TRY(make_room(file, (size_t)n_bytes, n_records * file->whole.n_columns, block));
    csv->name = file->whole.name;
    csv->input = &file->input;
    csv->offset = extent->begin;
    csv->n_bytes = (size_t)n_bytes;
    csv->delimiter = file->whole.delimiter;
    csv->n_columns = file->whole.n_columns;
    csv->n_records = n_records;
    ML__TRY(ml__input_read(&file->input, csv->offset, csv->text, csv->n_bytes));
    csv->text[csv->n_bytes] = 0;
    s.at = csv->text;
    s.end = csv->text + csv->n_bytes;
    s.next = csv->cells;
    s.n_wanted = csv->n_records;
    st = ml__csv_scan(&s);
    if (st == ML_OK && s.n_records < csv->n_records)
        st = ml__fail(ML_E_IO, "%s, line %zu: %zu lines, expected %zu", csv->name, ml__csv_line(csv, csv->offset),
                      s.n_records, csv->n_records);
    if (st != ML_OK)
        st = ml__blame(ML_E_IO, "the file has changed since it was opened: ");
done:
    return st;
}

void ml__csv_block_free(ml__csv_block *block)
{
    ml__free(block->csv.text);
    ml__free(block->csv.cells);
}
