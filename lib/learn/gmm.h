/* SPDX-License-Identifier: Apache-2.0 */
/* Mixtures of Gaussians with full covariances, and the two steps of EM, which a fit or a test may enter at either one. */
#ifndef ML__LEARN_GMM_H
#define ML__LEARN_GMM_H

#include "base/memory.h"
#include "kernel/kernel.h"
#include "learn/kmeans.h"
#include "learn/slots.h"

typedef struct ml__mixture {
    size_t k, d;
    double *weights;     /* pi [k] */
    double *means;       /* mu [k x d] */
    double *covariances; /* Sigma [k x d x d] */
    double *factors;     /* U [k x d x d], upper triangular: Sigma^-1 = U U' */
    double *log_weights; /* ln pi [k] */
    double *log_norms;   /* ln det U - d/2 ln 2 pi [k] */
} ml__mixture;

/* One fit by EM: the rows, and workspace for both steps. */
typedef struct ml__em {
    ml_context *context;
    ml__points points; /* rows near 0, weights of mean 1 */
    size_t k;
    double reg_covar;
    double total; /* Σ w */
    double *R;    /* w_i r_ik [n x k]: what a fit may start from */
    ml__slots slots;
    double *partial; /* [n_slots x stride]: n_sums partial sums, then workspace */
    size_t stride, n_sums;
} ml__em;

ml_status ml__mixture_create(ml__arena *arena, size_t k, size_t d, ml__mixture *out);
/* log_weights and log_norms from weights and factors. */
void ml__mixture_prepare(ml__mixture *m);
/* Factors from covariances. ML_E_NUMERIC names the first component whose covariance is not positive definite. */
ml_status ml__mixture_factor(ml_context *context, ml__mixture *m, double reg_covar, double *work /* k x d x d */);

ml_status ml__em_create(ml__arena *arena, ml_context *context, const ml__points *points, size_t k, double reg_covar,
                        ml__em *out);
/* E-step: em->R from the mixture, and the mean log-likelihood of the rows under it. */
ml_status ml__em_expect(ml__em *em, const ml__mixture *m, double *log_likelihood);
/* M-step: the mixture from em->R. */
ml_status ml__em_maximise(ml__em *em, ml__mixture *m);

#endif
