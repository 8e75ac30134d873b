/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Datasets: a matrix of features with names, and optionally outputs (labels or reals) and sample weights.
 *
 * Life cycle: make one from memory, from CSV or synthetically; set outputs and weights; split it into views;
 * pass it to fit, predict and score; free it. A view shares the rows of the dataset it was taken from and keeps
 * them alive, so the order of freeing does not matter.
 *
 * Shapes: n_rows x n_features, row i, feature j. An output is either labels (classes 0 .. n_classes-1, -1 = missing)
 * or reals (NaN = missing). Features may be missing (NaN) or categorical (whole numbers, names in a table).
 *
 * Threads: a dataset may be read from any number of threads; the set functions need it alone.
 */
#ifndef INVAR_DATASET_H
#define INVAR_DATASET_H

#include "context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_dataset ml_dataset;

/** Element types of matrices and tensors. Values never change. */
typedef int32_t ml_dtype;
enum { ML_FLOAT32 = 1, ML_FLOAT64 = 2, ML_INT32 = 3, ML_INT64 = 4, ML_UINT8 = 5 };

enum {
    ML_COPY = 0,  /**< copy the matrix */
    ML_BORROW = 1 /**< refer to the caller's matrix, which must outlive the dataset and all its views */
};

enum {
    ML_STRATIFY = 1, /**< keep the class proportions of the first output in every part */
    ML_ORDERED = 2   /**< do not shuffle: parts are contiguous runs of rows */
};

/** The most features, classes and outputs a dataset may have. */
#define ML_MAX_FEATURES ((size_t)1 << 24)
#define ML_MAX_CLASSES ((size_t)65536)
#define ML_MAX_OUTPUTS ((size_t)4096)

/**
 * A dataset from a matrix in memory.
 *
 * @param context     NULL for the defaults
 * @param x           the first element; dtype ML_FLOAT32 or ML_FLOAT64; NaN = missing
 * @param n_rows, n_cols  both >= 1
 * @param row_stride, col_stride  distance between neighbours in elements, >= 0; both 0: dense row-major
 * @param flags       ML_COPY or ML_BORROW
 * @param out         the new dataset; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL, dtype, negative stride, flags, extent overflows size_t);
 *         ML_E_DATA (n_rows or n_cols is 0, or an infinite value: row and column are named);
 *         ML_E_LIMIT (n_cols above ML_MAX_FEATURES); ML_E_MEMORY.
 * Features are named "x0", "x1", … until ml_dataset_set_feature_names(). Cost: one pass. @since 0.1
 */
ML_API ml_status ml_dataset_from_matrix(ml_context *context, const void *x, ml_dtype dtype, size_t n_rows,
                                        size_t n_cols, ptrdiff_t row_stride, ptrdiff_t col_stride, uint32_t flags,
                                        ml_dataset **out);

enum { ML_HEADER_DETECT = 0, ML_HEADER_YES = 1, ML_HEADER_NO = 2 };
enum { ML_TASK_DETECT = 0, ML_TASK_CLASSIFY = 1, ML_TASK_REGRESS = 2 };

typedef struct ml_csv_options {
    size_t struct_size;       /**< sizeof(ml_csv_options) */
    const char *target;       /**< names of output columns, comma-separated; NULL: no output. "#3" is the third
                                   column, "#-1" the last */
    const char *weight;       /**< name of the column of sample weights, or NULL */
    const char *ignore;       /**< names of columns to leave out, comma-separated, or NULL */
    const char *missing;      /**< further texts that mean missing, comma-separated; the empty cell, ?, NA, N/A, NaN,
                                   nan, null and NULL always do */
    uint32_t header;          /**< ML_HEADER_DETECT: the first line is a header if none of its cells is a number */
    uint32_t task;            /**< of the outputs; ML_TASK_DETECT: text, or at most 20 distinct whole numbers, is a
                                   label; all else is a real */
    char delimiter;           /**< 0: ',', ';' or tab, whichever the first line has most of */
    uint64_t max_bytes;       /**< refuse larger files; 0: 16 GiB */
    uint32_t max_categories;  /**< distinct texts in one categorical column; 0: 65536 */
    const ml_dataset *schema; /**< NULL, or a dataset whose features, categories and classes this file must have: its
                                   codes are used, unseen categories become missing */
} ml_csv_options;

/**
 * A dataset from a CSV file (RFC 4180): quoted cells with doubled quotes, delimiters and line ends inside them; LF,
 * CRLF or CR; UTF-8 with or without byte order mark; blank lines are skipped.
 *
 * A column is numeric when every cell is missing or a decimal number (sign, digits, point, exponent; no thousands
 * separators, no hexadecimal, no infinities), read to the nearest double whatever the locale; otherwise it is
 * categorical and its codes are the ranks of its texts in byte order. Labels that are whole numbers are ordered as
 * numbers and named by their digits. Without header the columns are named "x0", "x1", ….
 *
 * @param options  NULL: all columns are features
 * @return ML_OK; ML_E_ARGUMENT; ML_E_IO (cannot be opened or read, not a regular file; with the system's reason);
 *         ML_E_FORMAT (unterminated quote, NUL byte, invalid UTF-8, UTF-16: line and column are named);
 *         ML_E_DATA (no rows, ragged row, number out of range, unknown, empty or duplicate column name: file, line and
 *         column are named; names or classes that are not the schema's); ML_E_SHAPE (other numbers of columns than the
 *         schema); ML_E_LIMIT; ML_E_MEMORY.
 * Cost: the file and the matrix in memory at one time. @since 0.1
 */
ML_API ml_status ml_dataset_from_csv(ml_context *context, const char *path, const ml_csv_options *options,
                                     ml_dataset **out);

/** The same from bytes in memory; `name` stands for the file in messages (NULL: "memory"). @since 0.1 */
ML_API ml_status ml_dataset_from_csv_memory(ml_context *context, const char *text, size_t n_bytes, const char *name,
                                            const ml_csv_options *options, ml_dataset **out);

/**
 * A synthetic dataset.
 *
 * @param what    "classification" (clusters on hypercube vertices, with informative, redundant and noise features),
 *                "regression" (linear in the informative features plus noise) or "blobs" (isotropic Gaussians)
 * @param params  "n_samples=1000,n_features=20,…" or NULL; names and defaults as scikit-learn's make_* functions:
 *                classification: n_samples 100, n_features 20, n_informative 2, n_redundant 2, n_classes 2,
 *                n_clusters_per_class 2, flip_y 0.01, class_sep 1, random_state 0; regression: n_samples 100,
 *                n_features 100, n_informative 10, n_targets 1, bias 0, noise 0, random_state 0; blobs: n_samples
 *                100, n_features 2, centers 3, cluster_std 1, random_state 0
 * @return ML_OK; ML_E_ARGUMENT (unknown `what`, name or value: the allowed ones are listed); ML_E_LIMIT; ML_E_MEMORY.
 * @since 0.1
 */
ML_API ml_status ml_dataset_make(ml_context *context, const char *what, const char *params, ml_dataset **out);

/** Give back a dataset or view. NULL is allowed. @since 0.1 */
ML_API void ml_dataset_free(ml_dataset *dataset);

/* ---- outputs, weights, names: each replaces what was there; views refuse with ML_E_STATE ---- */

/**
 * One output of whole-number labels: the distinct values, ascending, become classes named by their digits.
 *
 * @param name    of the output; NULL: "y"
 * @param labels  n_rows values; values equal to `missing` are missing labels
 * @return ML_OK; ML_E_ARGUMENT; ML_E_STATE (a view, or a dataset that has views); ML_E_SHAPE (n_rows differs); ML_E_DATA
 *         (no label at all, a bad or duplicate name); ML_E_LIMIT (classes, outputs); ML_E_MEMORY.
 * ml_dataset_add_* keep the outputs there are and append one. Copied. @since 0.1
 */
ML_API ml_status ml_dataset_set_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                       int64_t missing);
ML_API ml_status ml_dataset_add_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                       int64_t missing);

/** The same from texts (UTF-8, not empty; NULL is a missing label); classes are the distinct texts in byte order.
 *  @since 0.1 */
ML_API ml_status ml_dataset_set_label_names(ml_dataset *dataset, const char *name, const char *const *labels,
                                            size_t n_rows);
ML_API ml_status ml_dataset_add_label_names(ml_dataset *dataset, const char *name, const char *const *labels,
                                            size_t n_rows);

/** One output of reals; NaN is missing; an infinite value, or none but missing ones, is ML_E_DATA. @since 0.1 */
ML_API ml_status ml_dataset_set_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows);
ML_API ml_status ml_dataset_add_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows);

/** Sample weights: finite, >= 0, with a positive and finite sum (else ML_E_DATA); NULL removes them. @since 0.1 */
ML_API ml_status ml_dataset_set_weights(ml_dataset *dataset, const double *weights, size_t n_rows);

/** Names of all features: unique, non-empty UTF-8 of at most 255 bytes (else ML_E_DATA). Copied. @since 0.1 */
ML_API ml_status ml_dataset_set_feature_names(ml_dataset *dataset, const char *const *names, size_t n_features);

/* ---- views: rows are shared, not copied ---- */

/**
 * Two views: `test` has round(test_size * n_rows) rows (at least 1, at most n_rows - 1), `train` the others.
 *
 * @param test_size  in (0, 1)
 * @param flags      ML_STRATIFY | ML_ORDERED, not both
 * @return ML_OK; ML_E_ARGUMENT; ML_E_DATA (fewer than 2 rows; ML_STRATIFY without labels or with a class of one
 *         row, which is named); ML_E_MEMORY. Rows keep their order inside each view. @since 0.1
 */
ML_API ml_status ml_dataset_split(const ml_dataset *dataset, double test_size, uint64_t seed, uint32_t flags,
                                  ml_dataset **train, ml_dataset **test);

/** Fold `fold` of `n_folds` (2 <= n_folds <= n_rows) as `test`, all other rows as `train`. As ml_dataset_split(). */
ML_API ml_status ml_dataset_fold(const ml_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed, uint32_t flags,
                                 ml_dataset **train, ml_dataset **test);

/** The given rows, in the given order; repetitions are allowed. ML_E_ARGUMENT names a row out of range; no rows are
 *  ML_E_DATA. @since 0.1 */
ML_API ml_status ml_dataset_subset(const ml_dataset *dataset, const size_t *rows, size_t n_rows, ml_dataset **out);

/* ---- looking inside; a NULL dataset gives 0 or NULL ---- */

ML_API size_t ml_dataset_n_rows(const ml_dataset *dataset);
ML_API size_t ml_dataset_n_features(const ml_dataset *dataset);
ML_API size_t ml_dataset_n_outputs(const ml_dataset *dataset);
/** Borrowed from the dataset; NULL when the index is out of range. */
ML_API const char *ml_dataset_feature_name(const ml_dataset *dataset, size_t feature);
/** Number of categories of a categorical feature, 0 for a numeric one; and the name of one. */
ML_API size_t ml_dataset_n_categories(const ml_dataset *dataset, size_t feature);
ML_API const char *ml_dataset_category_name(const ml_dataset *dataset, size_t feature, size_t category);
ML_API const char *ml_dataset_output_name(const ml_dataset *dataset, size_t output);
/** Number of classes of a label output, 0 for reals; and the name of one. */
ML_API size_t ml_dataset_n_classes(const ml_dataset *dataset, size_t output);
ML_API const char *ml_dataset_class_name(const ml_dataset *dataset, size_t output, size_t class_index);
/** Copy one row (n_features values), or one output or the weights (n_rows values; labels as class indices, missing
 *  ones as NaN; 1 for each row when there are no weights). ML_E_ARGUMENT, ML_E_SHAPE (n is not that size). */
ML_API ml_status ml_dataset_row(const ml_dataset *dataset, size_t row, double *out, size_t n);
ML_API ml_status ml_dataset_output(const ml_dataset *dataset, size_t output, double *out, size_t n);
ML_API ml_status ml_dataset_weights(const ml_dataset *dataset, double *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
