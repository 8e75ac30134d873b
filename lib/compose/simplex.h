/* SPDX-License-Identifier: Apache-2.0 */
/* The best convex combination of given predictions: weights on the simplex { w >= 0, sum w = 1 }. */
#ifndef ML__COMPOSE_SIMPLEX_H
#define ML__COMPOSE_SIMPLEX_H

#include "base/memory.h"

/*
 * Both find w [m] for n observations of weight omega [n] >= 0 with a positive sum, and a proof of it: the loss at w is
 * at most *gap above that of any other point of the simplex. Members with the same predictions get the same weight.
 * Workspace comes from `scratch`.
 */

/* min -sum_i omega_i log(sum_m w_m P_im) / sum omega, P [n x m] probabilities of what was observed, each in (0, 1]. */
ml_status ml__simplex_log_loss(ml__arena *scratch, size_t n, size_t m, const double *P, const double *omega, double *w,
                               double *gap);

/* min 1/2 sum_i omega_i (sum_m w_m R_im)^2 / sum omega, R [n x m] the members' errors, finite. */
ml_status ml__simplex_squares(ml__arena *scratch, size_t n, size_t m, const double *R, const double *omega, double *w,
                              double *gap);

#endif
