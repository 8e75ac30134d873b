/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CSV text as cells: where they are and on which line, nothing about what they mean. The text is in memory at one time
 * (ml__csv_parse), or it stays in its file and is parsed block by block (ml__csv_file).
 */
#ifndef ML__DATA_CSV_H
#define ML__DATA_CSV_H

#include "base/io.h"
#include "base/memory.h"

/* Trimmed, unquoted, valid UTF-8 without NUL bytes; not terminated. */
typedef struct ml__cell {
    const char *text;
    size_t length;
} ml__cell;

/* A text, or a part of a longer one. */
typedef struct ml__csv {
    const char *name;       /* of the file, for messages */
    const ml__input *input; /* the file, where `text` is a part of it; NULL: `text` is everything */
    uint64_t offset;        /* of `text` in the file */
    char *text;             /* n_bytes and a NUL; changed while parsing: quoted cells are unescaped where they are */
    size_t n_bytes;
    char delimiter;   /* 0: found by looking at the first line */
    size_t n_records; /* blank lines do not count */
    size_t n_columns;
    ml__cell *cells; /* n_records x n_columns, of ml__alloc */
} ml__csv;

/* Fill in delimiter, n_records, n_columns and cells. ML_E_FORMAT, ML_E_DATA (no record, ragged record), ML_E_LIMIT,
 * ML_E_MEMORY; messages name file, line and column. */
ml_status ml__csv_parse(ml__csv *csv, ml_context *context);

/* Bytes of the whole file before a place in the text; and the line (from 1) of such a place. */
uint64_t ml__csv_place(const ml__csv *csv, const char *at);
size_t ml__csv_line(const ml__csv *csv, uint64_t place);

static inline bool ml__csv_is_blank(const ml__csv *csv, char c)
{
    return (c == ' ' || c == '\t') && c != csv->delimiter;
}

/* Byte order. */
int ml__cell_compare(const ml__cell *a, const ml__cell *b);

/* ---- the scanner (csv_parse.c) ---- */

typedef struct ml__csv_scanner {
    ml__csv *csv;
    char *at, *end;
    bool is_last;      /* the file ends with the text; else a cell at its end is left for when more of it is there */
    bool is_in_record; /* after a delimiter */
    bool is_checked;   /* the bytes have been looked at before */
    bool is_overlong;  /* the cell that is left is quoted and above the limit already */
    uint64_t record;   /* where the current one begins */
    uint64_t behind;   /* where the last whole one ends */
    size_t n_records;
    size_t n_cells;  /* of the current record */
    ml__cell *next;  /* NULL: cells are not kept */
    size_t n_wanted; /* records that there is room for at `next` */
    ml_status (*found)(void *argument, const struct ml__csv_scanner *scanner); /* a record begins, or NULL */
    void *argument;
} ml__csv_scanner;

/* As many records as there are; what is left begins at scanner->at. */
ml_status ml__csv_scan(ml__csv_scanner *scanner);
#define ML__CSV_NEVER_CLOSED "the quote that opens here is never closed"
#define ML__CSV_TEXT_BEHIND "text after the closing quote"
/* What is wrong in column n_cells of the current record. */
ml_status ml__csv_fail(const ml__csv_scanner *scanner, uint64_t place, ml_status code, const char *reason);
ml_status ml__csv_fail_overlong(const ml__csv_scanner *scanner, uint64_t place);

/* Finds the delimiter in the first record, which may come in pieces; false once it is known. */
typedef struct ml__csv_sniffer {
    size_t counts[3];
    bool is_started, is_quoted, is_inside; /* inside a cell: a quote there is just a character */
} ml__csv_sniffer;
bool ml__csv_sniff(ml__csv_sniffer *sniffer, const char *text, size_t n);
char ml__csv_sniffed(const ml__csv_sniffer *sniffer);

/* The bytes of a byte order mark; ML_E_FORMAT for that of UTF-16. */
ml_status ml__csv_check_mark(const ml__csv *csv, size_t *n_bytes);

/* ---- files that stay where they are (csv_file.c) ---- */

/* Where a block is; what comes before the next one are blank lines. */
typedef struct ml__csv_extent {
    uint64_t begin, end;
    size_t first; /* record; those of the block end where the next one has its first */
} ml__csv_extent;

typedef struct ml__csv_file {
    ml_context *context;
    ml__input input;
    ml__csv whole;           /* its name, delimiter, n_records and n_columns */
    ml__csv_extent *extents; /* n_blocks, and an empty one behind them */
    size_t n_blocks, capacity;
} ml__csv_file;

/* The records of one block; to be cleared before the first use. */
typedef struct ml__csv_block {
    ml__csv csv;
    size_t n_allocated; /* bytes of csv.text */
    size_t n_cells;     /* that csv.cells has room for */
} ml__csv_block;

/* Check the whole file and find where its blocks are, reading n_at_once bytes at a time; whole.name and delimiter and an
 * open input are given. A block has fewer than n_at_once bytes before its last record. Failures are those of
 * ml__csv_parse(), and those of reading. */
ml_status ml__csv_file_scan(ml__csv_file *file, size_t n_at_once);
/* The block that a record is in. */
size_t ml__csv_file_find(const ml__csv_file *file, size_t record);
/* Block k as cells; ML_E_IO when the file is no longer what it was. Thread-safe. */
ml_status ml__csv_file_read(const ml__csv_file *file, size_t k, ml__csv_block *block);
void ml__csv_block_free(ml__csv_block *block);
void ml__csv_file_close(ml__csv_file *file);

#endif
