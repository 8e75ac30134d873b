/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Datasets: a matrix of features with names, and optionally outputs (labels or reals) and sample weights.
 *
 * Life cycle: make one from memory, from CSV, of a matrix file or synthetically; set outputs and weights; split it into views;
 * pass it to fit, predict and score; free it. A view shares the rows of the dataset it was taken from and keeps
 * them alive, so the order of freeing does not matter.
 *
 * Shapes: n_rows x n_features, row i, feature j. An output is either labels (classes 0 .. n_classes-1, -1 = missing)
 * or reals (NaN = missing). Features may be missing (NaN) or categorical (whole numbers, names in a table).
 *
 * Ownership: every function that makes a dataset gives it to the caller, who frees it with ml_dataset_free(). Texts that
 * a dataset returns belong to it and live until it is changed or freed.
 *
 * Threads: a dataset may be read, divided into views and given to fits and predictions by any number of threads at once;
 * the set and add functions need it alone. Views may be made and freed on any thread.
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
    ML_BORROW = 1 /**< refer to the caller's matrix, which must outlive the dataset and all its views, unchanged */
};

enum {
    ML_STRATIFY = 1, /**< keep the class proportions of the first output in every part; rows without a label count as
                          one class more */
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
 * @param x           the first element; NaN = missing. To be borrowed it must be aligned to its elements
 * @param dtype       ML_FLOAT32 or ML_FLOAT64
 * @param n_rows, n_cols  both >= 1
 * @param row_stride, col_stride  distance between neighbours in elements, >= 0; both 0: dense row-major; one 0: the
 *                    same element again and again
 * @param flags       ML_COPY or ML_BORROW
 * @param out         the new dataset; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL, dtype, negative stride, flags, misaligned, extent beyond the address space);
 *         ML_E_DATA (n_rows or n_cols is 0, or an infinite value: row and column are named);
 *         ML_E_LIMIT (n_cols above ML_MAX_FEATURES); ML_E_MEMORY.
 * Features are named "x0", "x1", … until ml_dataset_set_feature_names(). Cost: one pass over the matrix; a copy takes
 * n_rows x n_cols elements, a borrowed matrix nothing. @since 0.1
 */
ML_API ml_status ml_dataset_from_matrix(ml_context *context, const void *x, ml_dtype dtype, size_t n_rows,
                                        size_t n_cols, ptrdiff_t row_stride, ptrdiff_t col_stride, uint32_t flags,
                                        ml_dataset **out);

enum { ML_HEADER_DETECT = 0, ML_HEADER_YES = 1, ML_HEADER_NO = 2 };
enum { ML_TASK_DETECT = 0, ML_TASK_CLASSIFY = 1, ML_TASK_REGRESS = 2 };

typedef struct ml_csv_options {
    size_t struct_size;       /**< sizeof(ml_csv_options) */
    const char *target;       /**< names of output columns, comma-separated; NULL: no output. "#0" is the first
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
 * @param path     of a regular file, in the system's encoding
 * @param options  NULL: all columns are features
 * @param out      the new dataset; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL; struct_size; header, task or delimiter out of range; an empty name in a list; several
 *         weight columns); ML_E_IO (cannot be opened or read, not a regular file; with the system's reason);
 *         ML_E_FORMAT (unterminated quote, NUL byte, invalid UTF-8, UTF-16: line and column are named);
 *         ML_E_DATA (no rows, ragged row, number out of range, unknown, empty or duplicate column name: file, line and
 *         column are named; names or classes that are not the schema's); ML_E_SHAPE (other numbers of columns than the
 *         schema); ML_E_LIMIT (max_bytes, max_categories, columns, outputs, classes, a cell of more than 1 MiB);
 *         ML_E_MEMORY.
 * Cost: the file, 16 bytes per cell and the matrix of doubles in memory at one time. @since 0.1
 */
ML_API ml_status ml_dataset_from_csv(ml_context *context, const char *path, const ml_csv_options *options,
                                     ml_dataset **out);

/**
 * The same from bytes in memory, which are copied.
 *
 * @param text  n_bytes bytes, no NUL needed behind them; NULL when n_bytes is 0
 * @param name  stands for the file in messages; NULL: "memory"
 * @return as ml_dataset_from_csv(), but never ML_E_IO. @since 0.1
 */
ML_API ml_status ml_dataset_from_csv_memory(ml_context *context, const char *text, size_t n_bytes, const char *name,
                                            const ml_csv_options *options, ml_dataset **out);

typedef struct ml_matrix_options {
    size_t struct_size; /**< sizeof(ml_matrix_options) */
    const char *target; /**< numbers of output columns, comma-separated: "#0" is the first column, "#-1" the last; NULL:
                             no output */
    const char *weight; /**< number of the column of sample weights, or NULL */
    const char *ignore; /**< numbers of columns to leave out, comma-separated, or NULL */
    uint32_t task;  /**< of the outputs; ML_TASK_DETECT: at most 20 distinct whole numbers are labels, all else reals */
    ml_dtype dtype; /**< 0: a .npy file, which says all of the following itself; else the elements of a file without
                             header, little-endian and row after row: ML_FLOAT32, ML_FLOAT64, ML_INT32, ML_INT64, ML_UINT8 */
    size_t n_cols;  /**< columns of such a file; rows are as many as its size tells */
    uint64_t offset;    /**< bytes before the first element of such a file */
    uint64_t max_bytes; /**< refuse larger files; 0: read them whatever their size */
} ml_matrix_options;

/**
 * A dataset of a matrix file that stays where it is, for matrices larger than memory: rows are read when they are used. The
 * file must not change as long as the dataset and its views live. Read is what NumPy saves with numpy.save() (.npy, versions
 * 1.0 to 3.0, two dimensions, C order or a single row or column, descr '<f4', '<f8', '<i4', '<i8' or '|u1'), or elements
 * alone, see the options.
 *
 * It can be used as any other dataset. Kinds that go over rows in blocks learn from it within the memory of some blocks, and
 * predictions of all kinds do; other kinds copy the features into memory (docs/larger-than-memory.md lists them). What is
 * learned is the same, bit for bit, as from the matrix in memory. Outputs and weights are kept in memory.
 *
 * @param context  NULL for the defaults
 * @param path     of a regular file, in the system's encoding
 * @param options  NULL: a .npy file, all columns are features
 * @param out      the new dataset; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL; struct_size; task or dtype out of range; dtype without n_cols, n_cols or offset without
 *         dtype; several weight columns); ML_E_IO (cannot be opened or read, not a regular file; with the system's reason);
 *         ML_E_FORMAT (no .npy file, a header that is none, a file longer or shorter than its header says or than whole rows);
 *         ML_E_UNSUPPORTED (.npy: other version, other elements, big-endian, stored by columns, not two dimensions);
 *         ML_E_DATA (no rows or columns; an infinite value, a whole number of 2^53 or beyond: row and column are named; a
 *         column number that is none or named twice; no feature left; a weight that is missing or negative; an output that
 *         is all missing, or is to be labels and not whole); ML_E_LIMIT (max_bytes, columns, outputs, classes); ML_E_MEMORY.
 * Later reads, in whatever function, fail with ML_E_IO when the file has become shorter or has values that it did not have;
 * fits and predictions do so at their beginning and end also when it has another size or was written to since it was opened.
 * Features are named "x0", "x1", … by their column until ml_dataset_set_feature_names(). Any thread may read. Cost: one pass
 * over the file; 4 bytes per row for each output of labels, 8 for one of reals and for the weights, and 8 bytes more per row
 * of each while opening; 8 bytes per column when some are no features. @since 0.1
 */
ML_API ml_status ml_dataset_open_matrix(ml_context *context, const char *path, const ml_matrix_options *options,
                                        ml_dataset **out);

/**
 * A dataset over a CSV file that stays where it is: features are read from the file, block by block, whenever they are
 * wanted. Names, categories, values, outputs, weights and messages are those of ml_dataset_from_csv().
 *
 * @param path     of a regular file that must not change as long as the dataset or a view of it is there
 * @param options  as for ml_dataset_from_csv(); max_bytes is for files beyond 16 GiB
 * @param out      the new dataset, which holds the file open; NULL on failure
 * @return as ml_dataset_from_csv(). Later, whatever reads features of a file that has changed so that it can no longer be
 *         understood is ML_E_IO with file and line; so are, at their beginning and end, fits and predictions with a file that
 *         has another size or was written to.
 * Any number of threads may read at once. Cost: two passes over the file, or three where there are texts; in memory the
 * outputs and weights (and 8 bytes more per row of each while opening), the categories, 24 bytes per block, and at one time
 * four blocks and one more per thread that reads. A block has 32 rows, or fewer where they are long: after 256 KiB a new one
 * begins. Rows are parsed by the block: rows in order once, but rows at random up to 32 times, as those of views in shuffled
 * order and of mini_batch_kmeans, which a matrix file serves better (ml_dataset_open_matrix()). @since 0.1
 */
ML_API ml_status ml_dataset_open_csv(ml_context *context, const char *path, const ml_csv_options *options,
                                     ml_dataset **out);

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
 * @param out     the new dataset; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL; unknown `what`, name or value: the allowed ones are listed); ML_E_LIMIT;
 *         ML_E_MEMORY. The same parameters give the same bits. @since 0.1
 */
ML_API ml_status ml_dataset_make(ml_context *context, const char *what, const char *params, ml_dataset **out);

/** Give back a dataset or view; rows that other views share stay. NULL is allowed. Any thread. @since 0.1 */
ML_API void ml_dataset_free(ml_dataset *dataset);

/* ---- outputs, weights, names: for a dataset that is no view and has none; all are copied ---- */

/**
 * One output of whole-number labels, in place of all outputs there were: the distinct values, ascending, become classes
 * named by their digits.
 *
 * @param name    of the output; NULL: "y"
 * @param labels  n_rows values; values equal to `missing` are missing labels
 * @param missing a value that is no label
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_STATE (a view, or a dataset that has views); ML_E_SHAPE (n_rows differs);
 *         ML_E_DATA (no label at all, a bad name); ML_E_LIMIT (classes); ML_E_MEMORY. On failure nothing changes.
 * Cost: n_rows log n_classes comparisons. @since 0.1
 */
ML_API ml_status ml_dataset_set_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                       int64_t missing);

/** The same behind the outputs there are; also ML_E_DATA (a name twice), ML_E_LIMIT (outputs). @since 0.1 */
ML_API ml_status ml_dataset_add_labels(ml_dataset *dataset, const char *name, const int64_t *labels, size_t n_rows,
                                       int64_t missing);

/** As ml_dataset_set_labels(), from texts: UTF-8, not empty (else ML_E_DATA); NULL is a missing label. Classes are the
 *  distinct texts in byte order. @since 0.1 */
ML_API ml_status ml_dataset_set_label_names(ml_dataset *dataset, const char *name, const char *const *labels,
                                            size_t n_rows);

/** The same behind the outputs there are, as ml_dataset_add_labels(). @since 0.1 */
ML_API ml_status ml_dataset_add_label_names(ml_dataset *dataset, const char *name, const char *const *labels,
                                            size_t n_rows);

/** As ml_dataset_set_labels(), but an output of reals; NaN is missing; an infinite value, or none but missing ones, is
 *  ML_E_DATA. @since 0.1 */
ML_API ml_status ml_dataset_set_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows);

/** The same behind the outputs there are, as ml_dataset_add_labels(). @since 0.1 */
ML_API ml_status ml_dataset_add_targets(ml_dataset *dataset, const char *name, const double *values, size_t n_rows);

/**
 * Sample weights, in place of those there were.
 *
 * @param weights  n_rows values, finite, >= 0, with a positive and finite sum; NULL removes them, whatever n_rows is
 * @return ML_OK; ML_E_ARGUMENT (dataset is NULL); ML_E_STATE (a view, or has views); ML_E_SHAPE; ML_E_DATA (the row is
 *         named); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_dataset_set_weights(ml_dataset *dataset, const double *weights, size_t n_rows);

/**
 * Names of all features: unique, non-empty UTF-8 of at most 255 bytes.
 *
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_STATE (a view, or has views); ML_E_SHAPE; ML_E_DATA (the feature is named);
 *         ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_dataset_set_feature_names(ml_dataset *dataset, const char *const *names, size_t n_features);

/* ---- views: rows are shared, not copied; 8 bytes per row, and 8 more when the view has weights of its own ---- */

/**
 * Two views: `test` has round(test_size * n_rows) rows (at least 1, at most n_rows - 1), `train` the others.
 *
 * @param test_size  in (0, 1)
 * @param seed       of the shuffle: the same rows everywhere
 * @param flags      0, ML_STRATIFY or ML_ORDERED (the last rows are the test part)
 * @param train, test  the new views; both NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL, test_size, flags); ML_E_DATA (fewer than 2 rows; ML_STRATIFY without labels or with
 *         a class of one row, which is named); ML_E_MEMORY. Rows keep their order inside each view. @since 0.1
 */
ML_API ml_status ml_dataset_split(const ml_dataset *dataset, double test_size, uint64_t seed, uint32_t flags,
                                  ml_dataset **train, ml_dataset **test);

/**
 * Fold `fold` (0 .. n_folds-1) of `n_folds` as `test`, all other rows as `train`. With the same seed and flags the folds
 * divide the rows among them; sizes differ by one row at most.
 *
 * @param n_folds  2 .. n_rows
 * @return as ml_dataset_split(); with ML_STRATIFY a class may have fewer rows than there are folds. @since 0.1
 */
ML_API ml_status ml_dataset_fold(const ml_dataset *dataset, size_t n_folds, size_t fold, uint64_t seed, uint32_t flags,
                                 ml_dataset **train, ml_dataset **test);

/**
 * The given rows, in the given order; repetitions are allowed.
 *
 * @param rows  n_rows row numbers, counted in `dataset` (which may be a view); copied
 * @param out   the new view; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL, or a row out of range, which is named); ML_E_DATA (no rows); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_dataset_subset(const ml_dataset *dataset, const size_t *rows, size_t n_rows, ml_dataset **out);

/* ---- looking inside; a NULL dataset gives 0 or NULL ---- */

/** Number of rows: at least 1. @since 0.1 */
ML_API size_t ml_dataset_n_rows(const ml_dataset *dataset);
/** Number of features: at least 1. @since 0.1 */
ML_API size_t ml_dataset_n_features(const ml_dataset *dataset);
/** Number of outputs, 0 when there are none. @since 0.1 */
ML_API size_t ml_dataset_n_outputs(const ml_dataset *dataset);
/** Name of a feature; NULL when the index is out of range. @since 0.1 */
ML_API const char *ml_dataset_feature_name(const ml_dataset *dataset, size_t feature);
/** Number of categories of a categorical feature; 0 for a numeric one, and out of range. @since 0.1 */
ML_API size_t ml_dataset_n_categories(const ml_dataset *dataset, size_t feature);
/** Name of a category, whose code is its number; NULL when out of range. @since 0.1 */
ML_API const char *ml_dataset_category_name(const ml_dataset *dataset, size_t feature, size_t category);
/** Name of an output; NULL when out of range. @since 0.1 */
ML_API const char *ml_dataset_output_name(const ml_dataset *dataset, size_t output);
/** Number of classes of a label output; 0 for reals, and out of range. @since 0.1 */
ML_API size_t ml_dataset_n_classes(const ml_dataset *dataset, size_t output);
/** Name of a class; NULL when out of range. @since 0.1 */
ML_API const char *ml_dataset_class_name(const ml_dataset *dataset, size_t output, size_t class_index);

/**
 * Copy one row: n_features values, categories as their codes, NaN where missing.
 * @param n  n_features
 * @return ML_OK; ML_E_ARGUMENT (NULL, row out of range); ML_E_SHAPE (n); ML_E_IO (a row that is not in memory), after which
 *         `out` may have been written, and never else on failure. @since 0.1
 */
ML_API ml_status ml_dataset_row(const ml_dataset *dataset, size_t row, double *out, size_t n);

/**
 * Copy one output of all rows: class indices or reals, NaN where missing.
 * @param n  n_rows
 * @return ML_OK; ML_E_ARGUMENT (NULL, output out of range); ML_E_SHAPE (n). @since 0.1
 */
ML_API ml_status ml_dataset_output(const ml_dataset *dataset, size_t output, double *out, size_t n);

/**
 * Copy the weights of all rows; 1 for each when there are none.
 * @param n  n_rows
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_SHAPE (n). @since 0.1
 */
ML_API ml_status ml_dataset_weights(const ml_dataset *dataset, double *out, size_t n);

#ifdef __cplusplus
}
#endif
#endif
