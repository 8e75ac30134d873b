/* SPDX-License-Identifier: Apache-2.0 */
/* What tests do with models of any kind: settings, fits that run out of memory, tensors as a hostile file could hold them. */
#ifndef INVAR_TEST_MODELS_H
#define INVAR_TEST_MODELS_H

#include "model/model.h"
#include "test.h"

/* ---- settings ---- */

/* Each is "name=value", or a name and behind it its value; NULL ends them, and NULL alone is none. */
#define SETTINGS(...)     \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

ml_model *test_model(ml_context *context, const char *kind, const char *const *settings);

/* ---- fits ---- */

typedef struct test_fit {
    const char *kind;
    const char *const *settings;
    const ml_dataset *data;
} test_fit;

/* For test_failing_allocations(): a new model is made, set, fitted and freed. */
ml_status test_fit_new(ml_context *context, void *fit);
/* test_failing_allocations() of fits of copies of a fitted model on other data, or with other parameters: a copy stays what it
 * was. */
size_t test_failing_refits(test_allocator *allocator, ml_context *context, const char *what, const ml_model *model,
                           const ml_dataset *data);
/* For makers: fits the model on the data and frees both; the model's bytes. */
void *test_fitted_bytes(ml_model *model, ml_dataset *data, size_t *n_bytes);

/* ---- monitors ---- */

/* What a monitor has seen, and what it answers at call number `stop_at`; 0: ML_MONITOR_CANCEL. */
typedef struct test_watch {
    size_t n_seen, stop_at;
    uint64_t least_done;
    int32_t answer;
} test_watch;

int32_t test_watching(void *watch, const ml_progress *progress);
/* A fit of a copy of the model is cancelled at each call of the monitor in turn, which leaves the copy as it was; then it gives
 * what a fit without a monitor gives. Returns the number of calls; `what` is for messages. */
size_t test_cancelled_fits(const char *what, const ml_model *model, const ml_dataset *data);

/* ---- tensors ---- */

/* A tensor of a fitted model, to be changed. */
ml__named_tensor *test_tensor(const ml_model *model, const char *name);

/* As it stands, what the model has learned is refused, with a message that contains this text. */
#define CHECK_REFUSED(model, text) \
    test_fails(__FILE__, __LINE__, #model, ml__learned_validate((model), (model)->learned, false), ML_E_FORMAT, (text))
/* It is with this value of an element, or this size of a dimension; then the tensor is again what it was. */
#define CHECK_REFUSED_VALUE(model, tensor, element, value, text) \
    test_refused_value(__FILE__, __LINE__, (model), (tensor), (element), (value), (text))
#define CHECK_REFUSED_SIZE(model, tensor, dimension, size, text) \
    test_refused_size(__FILE__, __LINE__, (model), (tensor), (dimension), (size), (text))
void test_refused_value(const char *file, int line, const ml_model *model, const char *tensor, size_t element,
                        double value, const char *text);
void test_refused_size(const char *file, int line, const ml_model *model, const char *tensor, uint32_t dimension,
                       uint64_t size, const char *text);

#endif
