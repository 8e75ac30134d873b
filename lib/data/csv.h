/* SPDX-License-Identifier: Apache-2.0 */
/* CSV text as cells: where they are and on which line, nothing about what they mean. */
#ifndef ML__DATA_CSV_H
#define ML__DATA_CSV_H

#include "base/memory.h"

/* Trimmed, unquoted, valid UTF-8 without NUL bytes; not terminated. */
typedef struct ml__cell {
    const char *text;
    size_t length;
} ml__cell;

typedef struct ml__csv {
    const char *name; /* of the file, for messages */
    char *text;       /* n_bytes and a NUL; changed while parsing: quoted cells are unescaped where they are */
    size_t n_bytes;
    char delimiter;   /* 0: found by looking at the first line */
    size_t n_records; /* blank lines do not count */
    size_t n_columns;
    ml__cell *cells; /* n_records x n_columns, of ml__alloc */
} ml__csv;

/* Fill in delimiter, n_records, n_columns and cells. ML_E_FORMAT, ML_E_DATA (no record, ragged record), ML_E_LIMIT,
 * ML_E_MEMORY; messages name file, line and column. */
ml_status ml__csv_parse(ml__csv *csv, ml_context *context);

/* Line (from 1) of a place in the text. */
size_t ml__csv_line(const ml__csv *csv, const char *at);

/* Byte order. */
int ml__cell_compare(const ml__cell *a, const ml__cell *b);

#endif
