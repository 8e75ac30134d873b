/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Status codes and the message behind the last failure.
 *
 * Every function that can fail returns an ml_status: ML_OK (0) or a negative code. The code says what class of
 * thing went wrong; ml_last_error() says what exactly, with names and numbers.
 */
#ifndef INVAR_STATUS_H
#define INVAR_STATUS_H

#include "version.h"

#ifdef __cplusplus
extern "C" {
#endif

/** 0 or one of the negative codes below. The values never change; new ones are only appended. */
typedef int32_t ml_status;

enum {
    ML_OK = 0,
    ML_E_ARGUMENT = -1,    /**< an argument is NULL, out of its range, or a struct_size is unknown */
    ML_E_PARAMETER = -2,   /**< a model parameter: unknown name, wrong type, out of range, or conflicting */
    ML_E_DATA = -3,        /**< the data cannot be used for this; the message names row, column and reason */
    ML_E_SHAPE = -4,       /**< numbers of rows, features or outputs do not match; the message has both */
    ML_E_STATE = -5,       /**< the object is not ready for this call: a model that is not fitted */
    ML_E_UNSUPPORTED = -6, /**< this kind of model does not offer what was asked */
    ML_E_MEMORY = -7,      /**< an allocation failed, or the context's memory limit was reached */
    ML_E_NUMERIC = -8,     /**< a value became NaN or infinite, or a matrix singular; the message names the step */
    ML_E_CANCELLED = -9,   /**< the monitor asked to stop */
    ML_E_IO = -10,         /**< reading or writing a file failed */
    ML_E_FORMAT = -11,     /**< bytes that are not a valid file of this format; the message names the place */
    ML_E_VERSION = -12,    /**< a file written by a newer, incompatible version */
    ML_E_LIMIT = -13,      /**< a size exceeds a documented limit */
    ML_E_BUSY = -14,       /**< the handle is in use by another call */
    ML_E_EXECUTOR = -15    /**< the host's executor did not run every task exactly once */
};

/** Fixed English text for a code ("ML_E_DATA: ..."); for any other number a text that says so. Any thread. @since 0.1 */
ML_API const char *ml_status_text(ml_status status);

/**
 * Message of the most recent failed call on the calling thread.
 *
 * Names the argument or cell, what was expected and what came. Valid until the next call into the library on this
 * thread; meaningful only right after a call that failed. Never NULL ("" before the first failure). Thread-local.
 * @since 0.1
 */
ML_API const char *ml_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
