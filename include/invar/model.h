/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Models: everything that fits and predicts, from a scaler to an ensemble of pipelines.
 *
 * A model is a kind ("random_forest"), parameters, members (models inside it), and, once fitted, named tensors.
 * Life cycle: create by kind, set parameters, add members, fit, predict, save; free it.
 *
 * Threads: a fitted model reached through `const ml_model *` may be used by any number of threads at once, without a
 * lock. Setting, adding and fitting need the model alone (ML_E_BUSY otherwise, where it can be noticed).
 *
 * Determinism: same data, parameters and build give the same bits for any number of threads, and a row's prediction
 * does not depend on the rows around it.
 */
#ifndef INVAR_MODEL_H
#define INVAR_MODEL_H

#include "dataset.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ml_model ml_model;

/* ---- kinds and their parameters, as data ---- */

/** Number of kinds in this build. Any thread. @since 0.1 */
ML_API size_t ml_kind_count(void);
/** Name of a kind; NULL when out of range. Static storage. Any thread. @since 0.1 */
ML_API const char *ml_kind_name(size_t kind);
/** One sentence about a kind; NULL for NULL and for an unknown name. Static storage. Any thread. @since 0.1 */
ML_API const char *ml_kind_doc(const char *kind);

enum {
    ML_PARAM_INT = 1,     /**< whole number */
    ML_PARAM_REAL = 2,    /**< real number */
    ML_PARAM_BOOL = 3,    /**< 0 or 1; as text false or true */
    ML_PARAM_CHOICE = 4,  /**< one of the texts in `choices` */
    ML_PARAM_INTS = 5,    /**< comma-separated whole numbers, "64,32" */
    ML_PARAM_SIZE = 6,    /**< a choice, a whole number (a count) or, where it takes one, a real (a fraction) */
    ML_PARAM_WEIGHTS = 7, /**< a choice, or weights of classes by name or index: "no:1,yes:5"; the others get 1 */
    ML_PARAM_REALS = 8,   /**< comma-separated real numbers, "0.2,0.5" */
    ML_PARAM_COLUMNS = 9  /**< columns of each member, "num=age,#3;cat=categorical": names (in double quotes where they
                               contain , ; or "), positions #0, #-1 (the last), ranges #2:5 (2, 3, 4), and numeric,
                               categorical, all, rest (those that no other member has) */
};

typedef struct ml_param_info {
    size_t struct_size;         /**< sizeof(ml_param_info), set by the caller */
    const char *name;           /**< as scikit-learn has it where it has it */
    int32_t type;               /**< ML_PARAM_… */
    const char *default_value;  /**< as text */
    double min, max;            /**< of numbers */
    int32_t min_open, max_open; /**< 1: the bound itself is not allowed */
    const char *choices;        /**< separated by '|'; "" when there are none */
    const char *doc;
    const char *since;
    int32_t is_count; /**< 1: ML_PARAM_SIZE that takes no fraction */
} ml_param_info;

/** Number of parameters of a kind; 0 for NULL and for an unknown name. Any thread. @since 0.1 */
ML_API size_t ml_kind_param_count(const char *kind);

/**
 * Describe parameter number `i` of a kind. All texts have static storage. Any thread.
 * @param info  filled; as much as info->struct_size says
 * @return ML_OK; ML_E_ARGUMENT (unknown kind, i out of range, info NULL or of unknown size). @since 0.1
 */
ML_API ml_status ml_kind_param(const char *kind, size_t i, ml_param_info *info);

/* ---- create, set, compose ---- */

/**
 * A model of the given kind with default parameters and no members.
 * @param context  NULL for the defaults; used by all that the model does, and kept alive by it
 * @param out      the new model, to be freed with ml_model_free() or given to a composite; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT (NULL; unknown kind: the message lists all kinds); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_model_create(ml_context *context, const char *kind, ml_model **out);

/** Free a model with its members. NULL is allowed; a member is left alone, as its composite frees it. @since 0.1 */
ML_API void ml_model_free(ml_model *model);

/**
 * A copy: kind, parameters, members, what they learned and what their fits begin with, in the same context. The copy of
 * a member belongs to nobody.
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_MEMORY. *out is NULL on failure. @since 0.1
 */
ML_API ml_status ml_model_clone(const ml_model *model, ml_model **out);

/** The kind's name. Static storage; NULL for NULL. @since 0.1 */
ML_API const char *ml_model_kind(const ml_model *model);

/**
 * Set one parameter. `name` may be a path through members: "net__net__alpha" is parameter alpha of member net of
 * member net. A wrong name, type or value changes nothing. A fitted model keeps what it learned until the next fit.
 *
 * @param value  whole numbers are accepted for parameters of type INT, REAL, BOOL, INTS, REALS (a list of one) and SIZE (a
 *               count)
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_PARAMETER (the message lists the allowed names, type, range or choices);
 *         ML_E_BUSY (the model, or a composite around it, is in use by another call). @since 0.1
 */
ML_API ml_status ml_model_set_int(ml_model *model, const char *name, int64_t value);

/** The same for parameters of type REAL, REALS (a list of one) and SIZE (a fraction). @since 0.1 */
ML_API ml_status ml_model_set_real(ml_model *model, const char *name, double value);

/** The same for parameters of every type, in text form: "0.5", "true", "64,32", "0.2,0.5", "sqrt". @since 0.1 */
ML_API ml_status ml_model_set_text(ml_model *model, const char *name, const char *value);

/**
 * Read one parameter as text, NUL-terminated; a number reads back to the same bits.
 * @param buffer  n_bytes bytes; NULL with n_bytes 0 to learn the size only
 * @param needed  NULL, or receives the bytes needed including the NUL
 * @return ML_OK; ML_E_ARGUMENT; ML_E_PARAMETER (unknown name or path); ML_E_SHAPE (buffer too small and untouched;
 *         *needed is set); ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_model_get_text(const ml_model *model, const char *name, char *buffer, size_t n_bytes,
                                   size_t *needed);

/** Let the ensemble find the weight of this member by cross-validation. */
#define ML_AUTO_WEIGHT (-1.0)

/**
 * Put a model into a composite ("pipeline", "column_transformer", "weighted_average", "adaboost", ...). On success the composite owns `member`;
 * on failure the caller still does. The pointer stays valid for setting parameters while the composite lives.
 *
 * @param name    unique among the members; letters, digits, '-', '_' but not "__"; at most 63 bytes
 * @return ML_OK; ML_E_ARGUMENT (name, NULL, a member of something already, the composite itself);
 *         ML_E_UNSUPPORTED (this kind takes no, or no further, members); ML_E_LIMIT (nested deeper than 4);
 *         ML_E_BUSY; ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_model_add_member(ml_model *model, const char *name, ml_model *member);

/** Number of members: as they were added; of the fitted ones once the composite is fitted. @since 0.1 */
ML_API size_t ml_model_member_count(const ml_model *model);
/** Name of a member; NULL when out of range. Borrowed until the next fit, add or free. @since 0.1 */
ML_API const char *ml_model_member_name(const ml_model *model, size_t i);
/** A member, fitted when the composite is; NULL when out of range. Borrowed until the next fit, add or free. @since 0.1 */
ML_API const ml_model *ml_model_member(const ml_model *model, size_t i);

/* ---- fit ---- */

typedef struct ml_progress {
    size_t struct_size;   /**< sizeof(ml_progress) of the library */
    const char *stage;    /**< path of what is being fitted: "weighted_average/forest" */
    uint64_t done, total; /**< steps: trees, rounds, epochs, iterations, folds */
    const char *metric;   /**< name of `value`, or "" */
    double value;         /**< loss, log-likelihood, …; NaN when there is none */
} ml_progress;

enum {
    ML_MONITOR_CONTINUE = 0, /**< go on */
    ML_MONITOR_CANCEL = 1,   /**< end with ML_E_CANCELLED and leave the model as it was; so does any other value */
    ML_MONITOR_STOP = 2      /**< end as at a deadline: with what was learned so far, and ML_STOP_MONITOR */
};

/** Called after each step, and within a long one, by some kinds and by all while rows are read from a file, every 50 ms at
 *  most; on the thread that called fit. Returns ML_MONITOR_…; after ML_MONITOR_STOP it may be called again for what has to be
 *  finished. */
typedef int32_t (*ml_monitor)(void *user, const ml_progress *progress);

typedef struct ml_fit_options {
    size_t struct_size; /**< sizeof(ml_fit_options) */
    ml_monitor monitor; /**< or NULL */
    void *monitor_user;
    double deadline_seconds;      /**< from the start of the fit; loops end after the step in which it passes, with a
                                       smaller but usable model and stop reason ML_STOP_DEADLINE. 0: none */
    const ml_dataset *validation; /**< NULL, or rows with the features and outputs of the data. mlp and autoencoder
                                       look at them after each epoch and keep the best weights (solver lbfgs does not
                                       and says so in the log); composites hand them on to their members; other kinds
                                       only check them */
} ml_fit_options;

enum {
    ML_STOP_NONE = 0,      /**< not fitted */
    ML_STOP_COMPLETE = 1,  /**< all the work there was */
    ML_STOP_CONVERGED = 2, /**< the kind's tolerance was reached */
    ML_STOP_MAX_ITER = 3,  /**< the iteration limit came first */
    ML_STOP_EARLY = 4,     /**< no improvement on held-out data, or a boosting round that could not help */
    ML_STOP_DEADLINE = 5,  /**< time ran out */
    ML_STOP_MEMORY = 6, /**< the context's memory limit was reached: a forest has the trees that it had room for. Which
                              these are may differ from fit to fit when there are several threads */
    ML_STOP_MONITOR = 7 /**< the monitor returned ML_MONITOR_STOP, and there was more to do */
};

/**
 * Train `model` on `data`, replacing what it had learned.
 *
 * The data's outputs decide the task: labels make a classifier, reals a regressor, some of both a model of mixed outputs
 * (where a kind learns these), none an unsupervised fit.
 * On any failure, and on cancel, the model keeps the state it had before the call.
 *
 * @param model    a model of any kind, with its members; its parameters are checked together here
 * @param data     n x d, n >= 1, d >= 1; only read, and not kept after return
 * @param options  NULL, or monitor, deadline, validation set
 * @return ML_OK           trained; ml_model_stop_reason() says why the loop ended
 *         ML_E_ARGUMENT   model or data is NULL; options->struct_size is unknown
 *         ML_E_PARAMETER  parameters that do not go together
 *         ML_E_DATA       the data cannot train this kind; the message names row, column and reason
 *         ML_E_UNSUPPORTED  this kind cannot learn this task, or not from the model given to ml_model_start_from()
 *         ML_E_MEMORY     allocation failed, or the context's limit was reached
 *         ML_E_IO         rows that are not in memory cannot be read, or have changed; file and row are named
 *         ML_E_NUMERIC    a value became NaN or infinite; the message names the step
 *         ML_E_CANCELLED  the monitor asked to stop
 *         ML_E_SHAPE      the validation data has other features, outputs or numbers of classes; so has the data of a fit that
 *                         goes on (warm_start); layers of the model given to ml_model_start_from() do not fit
 *         ML_E_EXECUTOR   the context's executor did not run every task once
 *         ML_E_BUSY       another call is changing this model, or a composite around it
 * Threads: one fit per model at a time; other models and any number of predictions elsewhere may run. @since 0.1
 */
ML_API ml_status ml_model_fit(ml_model *model, const ml_dataset *data, const ml_fit_options *options);

/**
 * Learn on from what `model` has learned, with the rows of `data`; the first call is a fit. What is learned from a row
 * depends on all calls before; how much one call does is the kind's affair: an epoch of mlp and autoencoder, a step of
 * mini_batch_kmeans, one more part of the rows of pca. ml_kind_doc() of a kind that can says so.
 *
 * @param data     features, outputs and classes must be those of the calls before: views of one dataset have the same. What
 *                 learns without outputs does not look at these
 * @param options  as ml_model_fit(); the deadline is that of this call
 * @return as ml_model_fit(); ML_E_UNSUPPORTED also for a kind that cannot learn on; ML_E_SHAPE and ML_E_DATA also for data
 *         that is not as before. On failure, and on cancel, the model is as it was before the call. Threads as there.
 * @since 0.1
 */
ML_API ml_status ml_model_partial_fit(ml_model *model, const ml_dataset *data, const ml_fit_options *options);

/**
 * Let the next fits of `model` begin with what `from` has learned. A copy, in the context of `from`, is kept until it is
 * replaced or removed; it goes with ml_model_clone() and with the copies that composites and cross-validation fit, but it is
 * not stored in files. A fit that goes on from what `model` itself has learned (warm_start, ml_model_partial_fit() after the
 * first call) does not look at it.
 *
 * @param model  of a kind that can begin so; also a member of a composite, by the pointer that was added
 * @param from   a fitted model; NULL removes what was given before. What of it can be used is the kind's affair
 * @return ML_OK; ML_E_ARGUMENT (model is NULL, from is model); ML_E_STATE (from is not fitted); ML_E_UNSUPPORTED (this kind
 *         cannot, or not from this model); ML_E_BUSY; ML_E_MEMORY. On failure nothing changes.
 * Threads: `from` is read during the call: it must not be fitted, changed or freed by another thread meanwhile, any number of
 * predictions may run. Afterwards it may, for the copy has nothing in common with it but the context. @since 0.1
 */
ML_API ml_status ml_model_start_from(ml_model *model, const ml_model *from);

/** 1 when fitted or loaded, else 0. @since 0.1 */
ML_API int32_t ml_model_is_fitted(const ml_model *model);
/** Why the last successful fit ended (ML_STOP_…). @since 0.1 */
ML_API int32_t ml_model_stop_reason(const ml_model *model);
/* What the fit saw. Names are borrowed until the next fit or free, and NULL when out of range or not fitted. */

/** Number of features; 0 when not fitted. @since 0.1 */
ML_API size_t ml_model_n_features(const ml_model *model);
/** Name of a feature. @since 0.1 */
ML_API const char *ml_model_feature_name(const ml_model *model, size_t feature);
/** Number of outputs; 0 when not fitted, and for what learns without outputs. @since 0.1 */
ML_API size_t ml_model_n_outputs(const ml_model *model);
/** Name of an output. @since 0.1 */
ML_API const char *ml_model_output_name(const ml_model *model, size_t output);
/** Classes of an output (0: reals); for a mixture, its components, unnamed. @since 0.1 */
ML_API size_t ml_model_n_classes(const ml_model *model, size_t output);
/** Name of a class. @since 0.1 */
ML_API const char *ml_model_class_name(const ml_model *model, size_t output, size_t class_index);

/* ---- predict ---- */

/** What a prediction call computes; its width is the number of values per row. */
enum {
    ML_PREDICT = 1,       /**< width n_outputs: class index, value, or component; of mixed outputs each its own */
    ML_PREDICT_PROBA = 2, /**< width sum of n_classes: class probabilities, each output's sum to 1 */
    ML_DECISION = 3,      /**< width sum of n_classes: unnormalised scores, larger is likelier */
    ML_TRANSFORM = 4,     /**< width of the new features */
    ML_SCORE_SAMPLES =
        5 /**< width 1, larger is more usual: log-density, minus the error of a reconstruction, or of kmeans
                               minus the squared distance from the nearest centre */
};

/** Values per row of a call on this fitted model, 0 when it does not offer it or is not fitted. @since 0.1 */
ML_API size_t ml_model_width(const ml_model *model, int32_t what);

/**
 * Predict every row of `data` into `out`, row-major n_rows x width: class indices, values, components or clusters.
 *
 * @param data  same number of features as in training; named features and categories must match in order
 * @param n     size of `out` in elements: n_rows * width
 * @return ML_OK; ML_E_ARGUMENT; ML_E_STATE (not fitted); ML_E_UNSUPPORTED (not offered by this kind);
 *         ML_E_SHAPE (features, or n: both numbers are named; `out` is untouched); ML_E_DATA (missing values where the
 *         kind takes none, a feature that has another name); ML_E_MEMORY (workspace, one allocation); ML_E_IO (rows that are
 *         not in memory); ML_E_EXECUTOR.
 * Threads: any number at once, on one model. Memory: a few hundred rows per thread of the context. @since 0.1
 */
ML_API ml_status ml_model_predict(const ml_model *model, const ml_dataset *data, double *out, size_t n);
/** The same for ML_PREDICT_PROBA: class probabilities, those of each output sum to 1. @since 0.1 */
ML_API ml_status ml_model_predict_proba(const ml_model *model, const ml_dataset *data, double *out, size_t n);
/** The same for ML_DECISION: unnormalised scores of the classes. @since 0.1 */
ML_API ml_status ml_model_decision(const ml_model *model, const ml_dataset *data, double *out, size_t n);
/** The same for ML_TRANSFORM: new features. @since 0.1 */
ML_API ml_status ml_model_transform(const ml_model *model, const ml_dataset *data, double *out, size_t n);
/** The same for ML_SCORE_SAMPLES: log-densities, or what stands for them. @since 0.1 */
ML_API ml_status ml_model_score_samples(const ml_model *model, const ml_dataset *data, double *out, size_t n);

/**
 * What ml_model_transform() gives, as a dataset: the rows, outputs and weights of `data`, and new features with the names and
 * categories that the next step of a pipeline would see (ml_dataset_feature_name()).
 *
 * Of rows in memory they are made at once. Of rows that are read from a file (ml_dataset_open_matrix(), ml_dataset_open_csv())
 * they are made whenever they are read, one pass to check them aside, by a copy of the model, so that a table larger than
 * memory can be prepared once and given to several models.
 *
 * @param[out] out  a dataset in the context of `data`, the caller's (ml_dataset_free()); NULL on failure. It needs neither `model`
 *                  nor `data` any longer, but what `data` borrows
 * @return as ml_model_transform(), and ML_E_DATA when a new value is infinite (its row and column are named).
 * Threads: as ml_model_predict(). @since 0.1
 */
ML_API ml_status ml_model_transform_dataset(const ml_model *model, const ml_dataset *data, ml_dataset **out);

/**
 * From new features back to features: what ml_model_transform() would turn into `z`, as far as it can be told. A pipeline
 * takes the inverses of its steps backwards; a last step that predicts is left out. It has an inverse when all steps that
 * transform have one: kmeans transforms too, so a pipeline that ends with it has none.
 *
 * @param z      n_rows x width, row-major; NaN where missing
 * @param width  ml_model_width(model, ML_TRANSFORM), or for a pipeline with a predictor the features that this gets
 * @param out    n_rows x ml_model_n_features(model), row-major
 * @param n      size of `out` in elements
 * @return ML_OK; ML_E_ARGUMENT (NULL); ML_E_STATE (not fitted); ML_E_UNSUPPORTED (no inverse: kind and step are named);
 *         ML_E_SHAPE (width or n: both numbers are named); ML_E_DATA (an infinite value: row and column are named; of an
 *         autoencoder also a missing value, or one beyond single precision); ML_E_NUMERIC (a step of a pipeline leaves the
 *         range of doubles, a reconstruction that of single precision); ML_E_MEMORY; ML_E_EXECUTOR.
 * Threads and memory as ml_model_predict(). @since 0.1
 */
ML_API ml_status ml_model_inverse_transform(const ml_model *model, const double *z, size_t n_rows, size_t width,
                                            double *out, size_t n);

/** Rounds of a fitted model that learns in stages, such as adaboost; 0 for the others and when not fitted. @since 0.1 */
ML_API size_t ml_model_stage_count(const ml_model *model);
/**
 * What the model would predict had its fit ended after 1, 2, … rounds: for choosing their number, or for learning curves.
 *
 * @param what  ML_PREDICT, and for labels ML_PREDICT_PROBA or ML_DECISION; the last stage is what these calls give
 * @param out   ml_model_stage_count() blocks of n_rows x width, the first stage first
 * @param n     size of `out` in elements
 * @return as ml_model_predict(); ML_E_UNSUPPORTED also for a kind without stages. Threads as there. @since 0.1
 */
ML_API ml_status ml_model_staged_predict(const ml_model *model, const ml_dataset *data, int32_t what, double *out,
                                         size_t n);

/** Bytes of scratch memory that ml_model_predict_row() needs; 0 when not fitted. @since 0.1 */
ML_API size_t ml_model_scratch_size(const ml_model *model);

/**
 * Any of the above for one row in the caller's memory: no allocation, no lock. The result is that of a batch, to the last
 * bit; only that of a network (mlp) may differ from it in the last bits of single precision, always in the same way. Of a
 * network in a pipeline or ensemble it does not.
 *
 * @param what     ML_PREDICT …
 * @param x        n_features values; NaN = missing; categories as their codes
 * @param out      ml_model_width(model, what) values
 * @param scratch  at least ml_model_scratch_size() bytes of any alignment, used by this call alone; or NULL when that size
 *                 is at most 8192: the stack is used
 * @return as above; ML_E_SHAPE also when scratch_nbytes is too small; ML_E_DATA also for an infinite value. @since 0.1
 */
ML_API ml_status ml_model_predict_row(const ml_model *model, int32_t what, const double *x, size_t n_features,
                                      double *out, size_t n_out, void *scratch, size_t scratch_nbytes);

/**
 * One number for how well the model does on `data`: "accuracy", "log_loss", "precision_micro", "recall_micro",
 * "f1_micro", "f1_macro", "f1_weighted", …, "rmse", "mae", "r2", "log_likelihood".
 * @param metric  NULL: accuracy for labels and for mixed outputs, r2 for reals, log_likelihood for densities, which
 *                is the mean of ML_SCORE_SAMPLES, for an autoencoder minus the mean error. Of mixed
 *                outputs, metrics of classes see the labels only and metrics of reals the reals only
 * @param out     the score; untouched on failure
 * @return ML_OK; ML_E_ARGUMENT (unknown metric: the list); as predict; ML_E_DATA (no outputs); ML_E_NUMERIC (a mean of
 *         log-densities that is not finite). @since 0.1
 */
ML_API ml_status ml_model_score(const ml_model *model, const ml_dataset *data, const char *metric, double *out);

/**
 * Permutation importance of each feature: what the score on `data` loses when the feature's values are shuffled among the
 * rows. As scikit-learn's permutation_importance(). A feature that the model does not look at has exactly 0; a negative
 * number says that noise would serve as well.
 *
 * @param metric      as ml_model_score(); where less is better (log_loss, mse, rmse, mae), what the score gains
 * @param n_repeats   shuffles per feature, 1 or more
 * @param seed        of the shuffles: the same seed gives the same numbers, for any number of threads
 * @param mean        n_features values, the means over the repeats; untouched on failure
 * @param std         NULL, or n_features values, their (population) standard deviations
 * @param n_features  as ml_model_n_features()
 * @return ML_OK; ML_E_ARGUMENT (NULL, n_repeats 0, unknown metric); ML_E_STATE (not fitted); ML_E_SHAPE (n_features);
 *         as ml_model_score(). Cost: n_features * n_repeats + 1 scores; memory: the data twice, in double. @since 0.1
 */
ML_API ml_status ml_permutation_importance(const ml_model *model, const ml_dataset *data, const char *metric,
                                           size_t n_repeats, uint64_t seed, double *mean, double *std,
                                           size_t n_features);

/* ---- what was learned ---- */

typedef struct ml_tensor {
    size_t struct_size; /**< sizeof(ml_tensor), set by the caller */
    const char *name;
    ml_dtype dtype;
    uint32_t rank; /**< 0 to 4 */
    uint64_t shape[4];
    const void *data; /**< row-major, aligned for its type; borrowed until the next fit or free */
} ml_tensor;

/** Number of tensors of a fitted model, without those of its members; 0 when not fitted. @since 0.1 */
ML_API size_t ml_model_tensor_count(const ml_model *model);
/**
 * Tensor number `i`.
 * @param out  filled; as much as out->struct_size says
 * @return ML_OK; ML_E_ARGUMENT (NULL, out of range, unknown struct_size); ML_E_STATE (not fitted). @since 0.1
 */
ML_API ml_status ml_model_tensor_at(const ml_model *model, size_t i, ml_tensor *out);
/** The same by name; ML_E_ARGUMENT when there is none of this name. @since 0.1 */
ML_API ml_status ml_model_tensor(const ml_model *model, const char *name, ml_tensor *out);

/**
 * A readable text about the model: kind, parameters, what it was fitted on, tensors, members.
 * As ml_model_get_text(): needed size including the NUL; ML_E_SHAPE when the buffer is too small. @since 0.1
 */
ML_API ml_status ml_model_describe(const ml_model *model, char *buffer, size_t n_bytes, size_t *needed);

/* ---- files (safetensors layout, see docs/model-file.md) ---- */

/**
 * Write a fitted model. The file appears complete or not at all: a temporary file in the same directory is synced
 * and renamed over `path`, whose permission bits are kept.
 * @return ML_OK; ML_E_ARGUMENT; ML_E_STATE (not fitted); ML_E_IO (with the system's reason); ML_E_FORMAT or ML_E_LIMIT
 *         (what a loader would refuse: parameters set after the fit that contradict what was learned); ML_E_MEMORY.
 * @since 0.1
 */
ML_API ml_status ml_model_save(const ml_model *model, const char *path);

typedef struct ml_load_options {
    size_t struct_size;        /**< sizeof(ml_load_options) */
    uint64_t max_bytes;        /**< refuse larger files; 0: 4 GiB */
    uint64_t max_header_bytes; /**< refuse longer headers; 0: 8 MiB; at most 100 000 000 */
} ml_load_options;

/**
 * Read a model. Any bytes give a model that is safe to use, or an error: sizes, layout, roles, values and
 * cross-references are all checked before the handle exists.
 * @param context  as ml_model_create()
 * @param options  NULL for the defaults
 * @param out      the new model, fitted; NULL on failure
 * @return ML_OK; ML_E_ARGUMENT; ML_E_IO; ML_E_FORMAT (names tensor and offset); ML_E_VERSION; ML_E_UNSUPPORTED (element
 *         type, or a kind this build lacks); ML_E_LIMIT; ML_E_MEMORY. @since 0.1
 */
ML_API ml_status ml_model_load(ml_context *context, const char *path, const ml_load_options *options, ml_model **out);

/**
 * As ml_model_save(), to memory.
 * @param buffer  n_bytes bytes of any alignment; NULL: only *needed is set
 * @param needed  the size of the file in bytes; NULL when there is a buffer and its size is known to do
 * @return as ml_model_save(), but never ML_E_IO; ML_E_SHAPE when the buffer is too small: *needed is set. @since 0.1
 */
ML_API ml_status ml_model_save_memory(const ml_model *model, void *buffer, size_t n_bytes, size_t *needed);

/** As ml_model_load(), from memory: n_bytes bytes of any alignment, which are copied. Never ML_E_IO. @since 0.1 */
ML_API ml_status ml_model_load_memory(ml_context *context, const void *bytes, size_t n_bytes,
                                      const ml_load_options *options, ml_model **out);

/** Describe a model file from its header, without loading its tensors. As ml_model_describe() and load. @since 0.1 */
ML_API ml_status ml_file_describe(const char *path, char *buffer, size_t n_bytes, size_t *needed);

#ifdef __cplusplus
}
#endif
#endif
