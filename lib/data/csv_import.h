/* SPDX-License-Identifier: Apache-2.0 */
/* From cells to datasets: what the files csv_*.c share. */
#ifndef ML__DATA_CSV_IMPORT_H
#define ML__DATA_CSV_IMPORT_H

#include "data/csv.h"
#include "data/table.h"

/* ---- texts (csv_words.c) ---- */

typedef struct ml__word_node ml__word_node;

/* Distinct texts in the order of their coming. Finding changes nothing. */
typedef struct ml__words {
    ml__arena *arena; /* of copies and everything else */
    ml__cell *texts;
    ml__word_node *nodes;
    size_t n, capacity, root;
} ml__words;

/* n when there is none. */
size_t ml__words_find(const ml__words *words, const char *text, size_t length);
/* Texts have no NUL bytes and at most 2^32 bytes. */
ml_status ml__words_add(ml__words *words, const char *text, size_t length, size_t *index);

/* ---- columns ---- */

typedef enum ml__csv_role { ML__CSV_FEATURE, ML__CSV_OUTPUT, ML__CSV_WEIGHT, ML__CSV_IGNORED } ml__csv_role;

/* A cell to be told about: where it is, and the beginning of its text. */
typedef struct ml__csv_mark {
    uint64_t place;
    ml__cell shown;
    bool is_missing;
} ml__csv_mark;

/* The codes of texts. */
typedef struct ml__csv_coding {
    ml__words words;
    int32_t *codes;   /* of each word */
    char **names;     /* of each code; of texts in the file only */
    bool is_given;    /* by a schema: no words are added */
    bool is_exceeded; /* there are more words than `most` */
    size_t most;
} ml__csv_coding;

typedef struct ml__csv_column {
    char *name;
    ml__csv_role role;
    bool is_text;
    bool may_miss;              /* a cell of it is missing, or unknown to the schema */
    const ml__csv_mark *text;   /* the first cell that is no number */
    const ml__csv_mark *beyond; /* the first number that is too large */
    const ml__csv_mark *unfit;  /* the first cell that is no weight or no class of the schema */
    size_t n_numbers;           /* before the first text */
    size_t n_unseen;            /* texts that the schema lacks */
    double *values;             /* of row i: values[i * stride]; NULL: not kept */
    size_t stride;
    ml__csv_coding *coding; /* or NULL */
} ml__csv_column;

typedef struct ml__csv_importer {
    ml_context *context;
    ml_csv_options options;
    const ml__schema *expected; /* of options.schema, or NULL */
    ml__arena arena, scratch;   /* of what is needed as long as rows are read; and for making a dataset only */
    ml__csv csv;                /* the whole text, or what is known of the file's */
    ml__csv_file *file;         /* whose rows are read when they are wanted; NULL: cells are in memory */
    bool has_header;
    size_t n_rows, n_columns;
    ml__cell *missing; /* texts that mean it */
    size_t n_missing;
    ml__csv_column *columns;
    size_t *outputs; /* their columns, in the order of options.target */
    size_t n_outputs;
    ml__csv_column *weight;
    double *x; /* of ml__alloc, until a dataset takes it over; NULL with a file */
    ml__schema features;
} ml__csv_importer;

/* The end of a long name, so that the message has room for what went wrong. */
const char *ml__csv_shown_name(const char *name);

/* ---- what the columns are (csv_columns.c) ---- */

/* Copy and check the options, before the first byte is read. */
ml_status ml__csv_read_options(ml__csv_importer *im, const ml_csv_options *options);
/* Names, roles and what a schema expects, from the first record and the number of records. */
ml_status ml__csv_read_columns(ml__csv_importer *im, const ml__csv *first);
bool ml__csv_is_missing(const ml__csv_importer *im, const ml__cell *cell);
const ml__output *ml__csv_expected_output(const ml__csv_importer *im, size_t o);
ml_status ml__csv_blame_column(const ml__csv_importer *im, const ml__csv_column *c, ml_status code);
ml_status ml__csv_mark_cell(ml__csv_importer *im, const ml__csv *csv, const ml__cell *cell, const ml__csv_mark **mark);
ml_status ml__csv_fail_cell(const ml__csv_importer *im, const ml__csv_column *c, const ml__csv_mark *mark,
                            ml_status code, const char *reason);

/* ---- what is in them (csv_values.c) ---- */

/* Types, categories, and the values of all columns that are kept; im->x is filled in unless there is a file. */
ml_status ml__csv_read_values(ml__csv_importer *im);
ml_status ml__csv_add_outputs(ml__csv_importer *im, ml_dataset *dataset);
/* The values of a row's features, from a block that has been read again; ML_E_IO when they cannot be those of before. */
ml_status ml__csv_read_features(const ml__csv_importer *im, const ml__csv *csv, const ml__cell *cells, double *out);

/* ---- files (csv_source.c) ---- */

/* ml_dataset_open_csv() that reads so many bytes at once. */
ml_status ml__csv_open(ml_context *context, const char *path, const ml_csv_options *options, size_t n_at_once,
                       ml_dataset **out);

#endif
