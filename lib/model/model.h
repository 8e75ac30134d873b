/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model layer: what a kind is, what a model holds, and the services that fits and predictions get.
 *
 * A learner is one file with a parameter table, a tensor table and a few functions, gathered in an ml__kind. Threads,
 * files, labels, output buffers, missing labels, parameter parsing and validation of files are done here, once.
 */
#ifndef ML__MODEL_MODEL_H
#define ML__MODEL_MODEL_H

#include <invar/model.h>
#include <stdatomic.h>

#include "base/context.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/processor.h"
#include "base/random.h"
#include "data/dataset.h"
#include "kernel/kernel.h"
#include "model/params.h"

typedef struct ml__kind ml__kind;
typedef struct ml__learned ml__learned;
typedef struct ml__fit ml__fit;

/* ---- what a kind can do ---- */

enum { /* tasks; the data's outputs choose between classify, regress and mixed, else unsupervised is used */
       ML__CLASSIFY = 1,
       ML__REGRESS = 2,
       ML__UNSUPERVISED = 4,
       ML__MIXED = 8 /* some outputs are labels, others reals; needs ML__MULTI_OUTPUT as well */
};

enum { /* what the data may have; anything else is refused before `fit` is called */
       ML__WEIGHTS = 1,
       ML__MISSING = 2,         /* NaN in X */
       ML__CATEGORIES = 4,      /* categorical features; others see an error that names the feature */
       ML__MULTI_OUTPUT = 8,    /* several outputs */
       ML__MISSING_LABELS = 16, /* otherwise rows without label are left out of the fit */
       ML__FILLS_MISSING = 32,  /* with ML__MISSING: a transformer whose output never has a missing value */
       ML__MAY_FILL = 64        /* with ML__MISSING: one whose output may have none though its input has some */
};

/* Rules for the values of a tensor, checked after every fit and load. */
enum { ML__ANY = 0, ML__FINITE = 1, ML__POSITIVE = 2, ML__NON_NEGATIVE = 4, ML__OPTIONAL = 8 };

/*
 * One tensor of a kind. `shape` has one letter per dimension: d features, o outputs, K classes of the first output
 * (1 for reals), C sum of classes over outputs; any other lower-case letter is a free size that must be the same
 * wherever the letter occurs in the table; '*' is any size; "kdd|kd" is one shape or the other. `name` ending in ".*" stands for name.0, name.1, … (any
 * number, numbered without gaps; free letters are then not bound).
 */
typedef struct ml__tensor_rule {
    const char *name;
    ml_dtype dtype;
    const char *shape;
    uint32_t values; /* ML__FINITE | … */
} ml__tensor_rule;

/* A block of rows as a prediction function gets it, dense row-major: f64 or f32 by the kind's `real`. With `alone` it is
 * the one row of a call of ml_model_predict_row(): networks may then sum in another order than in a batch, which is
 * faster. Neither the last row of a batch nor a row that a composite hands to its members is ever alone. */
typedef struct ml__block {
    size_t n, d;
    bool alone;
    const double *f64;
    const float *f32;
} ml__block;

/* Workspace of a prediction. Passed by value: what a callee takes is free again when it returns. */
typedef struct ml__scratch {
    char *next;
    size_t left;
} ml__scratch;

/* count * size bytes aligned to 64; the kind's `scratch` function promised them, so this cannot fail for a right kind
 * (it returns NULL and the caller passes ML_E_MEMORY on). */
void *ml__scratch_take(ml__scratch *scratch, size_t count, size_t size);
/* What such a piece costs, rounded up; saturates. */
size_t ml__scratch_bytes(size_t count, size_t size);

/* out is n x width doubles. */
typedef ml_status (*ml__predictor)(const ml_model *model, const ml__block *x, double *out, ml__scratch scratch);

struct ml__kind {
    const char *name, *doc;
    uint32_t tasks, accepts;
    ml_dtype real; /* precision of the blocks that predictors get: ML_FLOAT32 or ML_FLOAT64 */
    const ml__param *params;
    size_t params_size;
    size_t block_rows;               /* rows that predictors get at a time, at most; 0: 256 */
    const ml__tensor_rule *tensors;  /* ends with name NULL */
    size_t min_members, max_members; /* 0, 0: not a composite */

    /* Required: learn, and publish tensors and fitted members into f->learned. */
    ml_status (*fit)(ml__fit *f);
    /* Optional: learn on from f->model->learned (NULL in the first call) with this data, which has the features and
     * outputs learned before; publishes all of what the model knows then, as `fit` does. */
    ml_status (*partial_fit)(ml__fit *f);
    /* Optional: fits may begin with what another model learned, f->model->start. Can `model` begin with `from`, which is
     * fitted? Asked when it is set and before every fit. */
    ml_status (*starts_from)(const ml_model *model, const ml_model *from);
    /* Optional: parameters that do not go together (ML_E_PARAMETER). */
    ml_status (*check)(const ml_model *model);
    /* Optional: after the tensor rules hold, check what they cannot say (ML_E_FORMAT) and build what predictors read
     * into learned->arena (learned->state). Called after every fit and every load. */
    ml_status (*prepare)(const ml_model *model, ml__learned *learned);

    /* Predictors; NULL: not offered. predict of a classifier is the arg-max of `proba` (ties to the lowest class). `values`
     * of a kind that clusters, without `proba`, are the clusters. */
    ml__predictor proba;     /* n x sum of classes */
    ml__predictor values;    /* n x n_outputs, regression; mixed outputs: class indices of labels, values of reals */
    ml__predictor decision;  /* n x sum of classes */
    ml__predictor transform; /* n x width(model, ML_TRANSFORM) */
    ml__predictor score_samples; /* n */
    /* Optional, of what is learned in stages: how many there were; and what the other predictors, ML_PREDICT of labels
     * too, say after each: n x width for the first, then `stride` doubles further for the next. */
    size_t (*n_stages)(const ml_model *model);
    ml_status (*staged)(const ml_model *model, int32_t what, const ml__block *x, double *out, size_t stride,
                        ml__scratch scratch);
    /* Optional: from n rows of new features back to features, n x n_features. */
    ml_status (*inverse)(const ml_model *model, size_t n, const double *z, double *out, ml__scratch scratch);
    /* New features that `inverse` takes; NULL: width of ML_TRANSFORM. */
    size_t (*inverse_width)(const ml_model *model);
    /* Bytes of scratch any predictor, and `inverse`, needs for n rows; NULL: none. */
    size_t (*scratch)(const ml_model *model, size_t n);
    /* Width of a call, 0 when not offered; NULL: from the schema. Needed for `transform` and for components. */
    size_t (*width)(const ml_model *model, int32_t what);
    /* Composites: what they can do and take depends on their members; NULL: the fields above. */
    uint32_t (*tasks_of)(const ml_model *model);
    uint32_t (*accepts_of)(const ml_model *model);
    /* Optional: why what was learned does not offer a call whose width is 0, "the covariance is singular"; NULL: no more is known. */
    const char *(*why_not)(const ml_model *model, int32_t what);
    /* Transformers: names of the new features into `features` (n_features = width, from `arena`); NULL:
     * "<kind>0", "<kind>1", … */
    ml_status (*name_features)(const ml_model *model, ml__arena *arena, ml__schema *features);
};

/* ---- a model ---- */

typedef struct ml__member {
    char *name;
    ml_model *model;
    double weight; /* ensembles; ML_AUTO_WEIGHT otherwise */
} ml__member;

typedef struct ml__members {
    size_t n, capacity;
    ml__member *items;
} ml__members;

struct ml_model {
    ml_context *context;
    const ml__kind *kind;
    void *params;
    ml__members members;  /* as added: never fitted by us, only copies of them are */
    ml__learned *learned; /* NULL until fitted */
    ml_model *start;      /* what the next fits begin with, a fitted model of its own; or NULL */
    ml_model *parent;     /* of a member, which it owns; NULL otherwise */
    atomic_bool busy;     /* see ml__model_claim() */
};

typedef struct ml__named_tensor {
    char *name;
    ml_dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
    void *data;
} ml__named_tensor;

/* What a fit produced; immutable once it belongs to a model. */
struct ml__learned {
    ml__arena arena; /* everything below but the members */
    ml_context *context;
    ml__schema schema;
    int32_t task; /* ML__CLASSIFY, … */
    int32_t stop_reason;
    size_t n_tensors, tensor_capacity;
    ml__named_tensor *tensors;
    ml__members members; /* fitted models, owned */
    void *state;         /* from `prepare` */
};

/* ---- creating and walking models (model.c) ---- */

ml_status ml__model_new(ml_context *context, const ml__kind *kind, ml_model **out);
/* Alone with a model until it is released, or ML_E_BUSY. The mark is on the outermost composite. */
ml_status ml__model_claim(ml_model *model, ml_model **claimed);
void ml__model_release(ml_model *claimed);
/* Kind, parameters, members and what fits begin with, without what was learned. */
ml_status ml__model_blank_copy(const ml_model *model, ml_model **out);
/* Drop what fits would begin with. */
void ml__model_forget_start(ml_model *model);
ml_status ml__members_add(ml_context *context, ml__members *members, const char *name, ml_model *model, double weight);
void ml__members_free(ml__members *members);
const ml__member *ml__members_find(const ml__members *members, const char *name);
size_t ml__model_depth(const ml_model *model); /* levels of composites: 0 for a learner, 1 for a pipeline of them */
uint32_t ml__model_tasks(const ml_model *model);
uint32_t ml__model_accepts(const ml_model *model);
/* Fitted members when fitted, else the templates. */
const ml__members *ml__model_members(const ml_model *model);
/* ml_model_add_member() with a weight, for ensembles and the loader. */
ml_status ml__model_attach(ml_model *model, const char *name, ml_model *member, double weight);

/* ---- learned state (learned.c): used by fits and by the loader alike ---- */

ml_status ml__learned_create(ml_context *context, ml__learned **out);
void ml__learned_free(ml__learned *learned);
/* A new tensor, cleared; NULL with message when out of memory. Names are unique. */
void *ml__learned_add(ml__learned *learned, const char *name, ml_dtype dtype, uint32_t rank, const uint64_t *shape);
const ml__named_tensor *ml__learned_find(const ml__learned *learned, const char *name);
/* A deep copy for `model`, validated and prepared. */
ml_status ml__learned_copy(const ml_model *model, const ml__learned *from, ml__learned **out);
/* Check every rule of the kind, then call `prepare`. Failures are ML_E_FORMAT (tensor and element are named); a value
 * that is not finite after a fit is ML_E_NUMERIC (`after_fit`). */
ml_status ml__learned_validate(const ml_model *model, ml__learned *learned, bool after_fit);

/* Data pointer of a tensor that the rules guarantee. */
static inline const void *ml__tensor_data(const ml__learned *learned, const char *name)
{
    const ml__named_tensor *t = ml__learned_find(learned, name);
    return t ? t->data : NULL;
}

/* ---- fitting (fit.c) ---- */

/* Shared by a fit and all fits nested in it. */
typedef struct ml__run {
    ml_monitor monitor;
    void *monitor_user;
    bool can_stop;        /* what was learned so far is of use: ML_MONITOR_STOP ends the run, elsewhere it cancels */
    bool is_stopped;      /* the monitor has said so */
    double deadline;      /* monotonic seconds; 0: none */
    double next_poll;     /* before which ml__fit_poll() does not call the monitor */
    uint64_t done, total; /* of the innermost fit, as its last step said */
    char path[512];
    size_t path_length;
} ml__run;

/* Extend the stage path by "/name"; leave with the length that enter returned. */
size_t ml__run_enter(ml__run *run, const char *name);
void ml__run_leave(ml__run *run, size_t length);

struct ml__fit {
    const ml_model *model; /* parameters and member templates; what it learned before when it is fitted again */
    const void *params;
    ml_context *context;
    const ml_dataset *data;       /* rows without label already left out, see ML__MISSING_LABELS */
    const ml_dataset *validation; /* or NULL */
    const ml__schema *schema;     /* of data */
    size_t n, d;                  /* rows, features */
    size_t n_outputs;
    size_t K; /* classes of the first output; 0 for reals */
    int32_t task;
    uint64_t seed;        /* from random_state and seed_above */
    uint64_t seed_above;  /* what the composite gave; 0 for a model of its own */
    ml__arena *scratch;   /* freed after the fit */
    ml__learned *learned; /* schema, task already set; stop_reason starts as ML_STOP_COMPLETE */
    ml__run *run;
};

/* All rows as dense row-major n x d in the wanted precision: the dataset's own memory when it is so, else a copy in
 * f->scratch, also of rows that are not in memory. *out is NULL on failure: ML_E_MEMORY, ML_E_IO. */
ml_status ml__fit_matrix_f64(ml__fit *f, const double **out);
ml_status ml__fit_matrix_f32(ml__fit *f, const float **out);
/* ML_E_MEMORY of what holds all rows, in whatever form, tells that it does. */
ml_status ml__fit_blame_copy(const ml__fit *f, ml_status st);
/* Outputs of all rows, in f->scratch: labels of output o (n; -1 only with ML__MISSING_LABELS), targets (n x n_outputs,
 * row-major; NaN only with ML__MISSING_LABELS; class indices in the columns of labels), weights (n; all 1 when there are
 * none). NULL with message when out of memory. */
const int32_t *ml__fit_labels(ml__fit *f, size_t o);
const double *ml__fit_targets(ml__fit *f);
const double *ml__fit_weights(ml__fit *f);

/* Publish a tensor and leave through `done:` when that fails:
 *     ML__PUBLISH(f, theta, "theta", ML_FLOAT64, K, d);                                                             */
#define ML__PUBLISH(f, pointer, name, dtype, ...)                                                                    \
    do {                                                                                                             \
        const uint64_t ml__shape[] = {__VA_ARGS__};                                                                  \
        (pointer) = ml__learned_add((f)->learned, (name), (dtype), (uint32_t)(sizeof ml__shape / sizeof *ml__shape), \
                                    ml__shape);                                                                      \
        if (!(pointer)) {                                                                                            \
            st = ML_E_MEMORY;                                                                                        \
            goto done;                                                                                               \
        }                                                                                                            \
    } while (0)

/* Report a finished step: `metric` may be "" with value NaN. ML_E_CANCELLED when the monitor says so. Call it on the
 * thread that called fit only. */
ml_status ml__fit_step(ml__fit *f, uint64_t done, uint64_t total, const char *metric, double value);
/* Inside a long step, as often as wanted: the monitor hears of it, without a metric, every 50 ms at most. Costs a look at the
 * clock, and nothing without a monitor. Otherwise as ml__fit_step(). Reading rows from a file does it by itself: kinds need no
 * poll for passes over them. */
ml_status ml__fit_poll(ml__fit *f, uint64_t done, uint64_t total);
/* After a step: has the deadline passed, or did the monitor end the fit? Then end the loop and set learned->stop_reason =
 * ML_STOP_DEADLINE, which becomes ML_STOP_MONITOR where that was the reason. */
bool ml__fit_late(const ml__fit *f);
/* Did a fit end for one of these two reasons? */
static inline bool ml__was_cut(const ml__learned *learned)
{
    return learned->stop_reason == ML_STOP_DEADLINE || learned->stop_reason == ML_STOP_MONITOR;
}

/* Fit a copy of `member` on `data` as part of this fit: same monitor (stage "<path>/<name>"), same deadline. Its seed is
 * made from f->seed and `label`; with ML__AS_IF_ALONE the fit is the one that the member would have without the
 * composite. The caller owns *fitted. */
#define ML__AS_IF_ALONE UINT64_MAX
ml_status ml__fit_member(ml__fit *f, const ml_model *member, const char *name, uint64_t label, const ml_dataset *data,
                         ml_model **fitted);
/* The same with data for early stopping, or NULL. */
ml_status ml__fit_member_validated(ml__fit *f, const ml_model *member, const char *name, uint64_t label,
                                   const ml_dataset *data, const ml_dataset *validation, ml_model **fitted);
/* For composites that learn a member faster than its own fit would: the checks of such a fit, once, then any number of
 * fitted copies. `publish` does what the kind's fit does: it puts tensors into its fit's `learned`. */
ml_status ml__fit_check_member(ml__fit *f, const ml_model *member, const char *name);
ml_status ml__fit_member_by(ml__fit *f, const ml_model *member, ml_status (*publish)(ml__fit *f, void *argument),
                            void *argument, ml_model **fitted);
/* Make a fitted model a fitted member of this fit's result; takes it over also on failure. What its fit began with is
 * dropped: a fitted member is never fitted again. */
ml_status ml__fit_adopt(ml__fit *f, const char *name, ml_model *fitted, double weight);

/* The core of ml_model_fit(), for nested fits and cross-validation: what `model` learns from `data`. */
ml_status ml__model_train(const ml_model *model, const ml_dataset *data, const ml_dataset *validation, ml__run *run,
                          uint64_t seed, ml__learned **out);

/* ---- predicting (predict.c) ---- */

/* What a fitted model computes for n rows of x [n x n_features doubles], into out [n x width]. Members of composites
 * are called through it. Input is taken as valid: width offered, values finite where the kind asks for it. */
ml_status ml__evaluate(const ml_model *model, int32_t what, const double *x, size_t n, double *out,
                       ml__scratch scratch);
/* The same for a kind that works in single precision; `what` is one that it offers. */
ml_status ml__evaluate_single(const ml_model *model, int32_t what, const float *x, size_t n, double *out,
                              ml__scratch scratch);
/* n rows for it. Values that single precision cannot hold are refused; infinities cannot occur. */
ml_status ml__to_single(const ml_model *model, const double *x, size_t n, float *out);
/* Scratch for that, for the dearest of all calls. */
size_t ml__evaluate_scratch(const ml_model *model, size_t n);
/* Of the member that needs most: composites call one at a time. */
size_t ml__members_scratch(const ml__members *members, size_t n);
/* The refusal of a missing value, the same before a fit and before a prediction. */
ml_status ml__refuse_missing(const ml_model *model, size_t row, const char *feature_name);
/* One row of a public call: number of features, and no value that the kind does not take. */
ml_status ml__check_row(const ml_model *model, const double *x, size_t n_features);
/* No missing value in rows that a kind gets, if it takes none; the number of the first row is for the message. */
ml_status ml__rows_accepted(const ml_model *model, const double *x, size_t n, size_t first_row);
/* Rows in single precision for a kind that works so, with its refusals of missing and of too large values. */
ml_status ml__rows_to_single(const ml_model *model, const double *x, size_t n, size_t first_row, float *out);
/* Position of the largest of K >= 1 values; ties to the first. */
size_t ml__arg_max(const double *values, size_t K);
/* The checks of a public call before rows are read: fitted, offered, features of the right names. */
ml_status ml__model_can_apply(const ml_model *model, int32_t what, const ml_dataset *data, size_t *width);
/* The same for all rows of a dataset, with the checks of the public calls; out has n elements. */
ml_status ml__model_apply(const ml_model *model, int32_t what, const ml_dataset *data, double *out, size_t n);
/* Back from n rows of new features; ml__inverse_width() numbers each, 0 when a kind has no way back (ML_E_UNSUPPORTED). */
ml_status ml__evaluate_inverse(const ml_model *model, const double *z, size_t n, double *out, ml__scratch scratch);
size_t ml__inverse_width(const ml_model *model);

/* Out-of-fold predictions (out_of_fold.c): `what` is ML_PREDICT or ML_PREDICT_PROBA; out is n_rows x width. The
 * stage of fold i is "<path>/fold i". */
typedef struct ml__folds {
    size_t n_folds;
    uint64_t seed;
    uint32_t flags;
} ml__folds;
ml_status ml__out_of_fold(ml__run *run, const ml_model *model, const ml_dataset *data, const ml__folds *folds,
                          uint64_t seed, int32_t what, double *out);

#endif
