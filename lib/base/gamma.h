/* SPDX-License-Identifier: Apache-2.0 */
/* The logarithm of the gamma function and its derivative, for x > 0. The C library's lgamma() writes a global variable. */
#ifndef ML__BASE_GAMMA_H
#define ML__BASE_GAMMA_H

/* ln Γ(x), error about 1e-15 of max(1, |ln Γ(x)|) */
double ml__log_gamma(double x);
/* ψ(x) = d/dx ln Γ(x), within 4 units of the last place, also next to its zero at 1.46 */
double ml__digamma(double x);

#endif
