/* SPDX-License-Identifier: Apache-2.0 */
/* Limited-memory BFGS for smooth convex functions. */
#ifndef ML__LEARN_LBFGS_H
#define ML__LEARN_LBFGS_H

#include "base/memory.h"

/* Value and gradient at x; a value that is not finite is taken as "too far". It may set `stop` of the search: what it gave is
 * not looked at then, and the search ends with the last x that it accepted. */
typedef ml_status (*ml__objective)(void *argument, const double *x, double *value, double *gradient);
/* After each iteration; *stop ends the search (a deadline), a failure ends it with that failure. */
typedef ml_status (*ml__lbfgs_step)(void *argument, size_t iteration, double value, bool *stop);

typedef struct ml__lbfgs {
    size_t n;
    double tol; /* on the largest |gradient| */
    size_t max_iter;
    ml__objective objective;
    ml__lbfgs_step step;
    void *argument;
    bool stop; /* by the objective */
    /* results */
    size_t n_iter;
    int32_t
        stop_reason; /* ML_STOP_CONVERGED, ML_STOP_MAX_ITER, ML_STOP_DEADLINE (stopped by `step` or the objective) */
} ml__lbfgs;

/* Minimise from x [n], in place. ML_E_NUMERIC when the function is not finite at the start. */
ml_status ml__lbfgs_minimise(ml__arena *scratch, ml__lbfgs *search, double *x);

#endif
