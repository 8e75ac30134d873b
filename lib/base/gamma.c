/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ln Γ and ψ for x > 0: Stirling's series from 10 on, the recurrences Γ(x + 1) = x Γ(x) and ψ(x + 1) = ψ(x) + 1 / x below, and
 * between 1 and 2, where ψ has its zero x0, a polynomial for ψ(x) / (x - x0) (tests/reference/make_gamma.py).
 *
 *     ln Γ(x) = (x - 1/2) ln x - x + 1/2 ln 2 pi + Σ B_2n / (2n (2n - 1) x^(2n-1))
 *     ψ(x)    = ln x - 1 / 2x - Σ B_2n / (2n x^2n)
 *     (Abramowitz & Stegun, Handbook of Mathematical Functions, 6.1.40 and 6.3.18)
 */
#include "base/gamma.h"

#include <math.h>
#include <stddef.h>

static const double SERIES_FROM = 10;

/* Horner's rule, highest power first. */
static double polynomial(const double *coefficients, size_t n, double x)
{
    double value = coefficients[0];

    for (size_t i = 1; i < n; i++)
        value = value * x + coefficients[i];
    return value;
}

double ml__log_gamma(double x)
{
    static const double HALF_LN_2PI = 0.9189385332046727418;
    static const double C[] = {-3617.0 / 122400, 1.0 / 156,  -691.0 / 360360, 1.0 / 1188,
                               -1.0 / 1680,      1.0 / 1260, -1.0 / 360,      1.0 / 12};
    double product = 1;

    for (; x < SERIES_FROM; x++)
        product *= x;
    return (x - 0.5) * log(x) - x + HALF_LN_2PI + polynomial(C, sizeof C / sizeof *C, 1 / x / x) / x - log(product);
}

/* For x in [1, 2]. */
static double digamma_near_zero(double x)
{
    static const double X0 = 0x1.762d86356be3fp+0, X0_REST = 0x1.b86a722197829p-54;
    static const double C[] = {
        -8.2551297200810405e-11, 2.4765474440031764e-10, -2.8893636392161113e-10, 8.6682573737616577e-10,
        -3.6788868183645545e-09, 1.1037088438854299e-08, -3.1666180720271619e-08, 9.5009261929240957e-08,
        -2.8628755280038686e-07, 8.5913242224176664e-07, -2.5781078482702171e-06, 7.7411568812537078e-06,
        -2.3258238284313759e-05, 6.9950204841606249e-05, -0.00021074841215733007, 0.00063688802831907403,
        -0.0019350666647832667,  0.0059367952784338263,  -0.018550615381738605,   0.060135621060193552,
        -0.21181371064073026,    0.95105587603183295};

    return polynomial(C, sizeof C / sizeof *C, 2 * x - 3) * ((x - X0) - X0_REST);
}

double ml__digamma(double x)
{
    static const double C[] = {-1.0 / 12, 691.0 / 32760, -1.0 / 132, 1.0 / 240, -1.0 / 252, 1.0 / 120, -1.0 / 12, 0};
    double sum = 0;

    if (x >= SERIES_FROM)
        return log(x) - 0.5 / x + polynomial(C, sizeof C / sizeof *C, 1 / x / x);
    if (x < 1)
        return digamma_near_zero(x + 1) - 1 / x;
    while (x > 2)
        sum += 1 / --x;
    return digamma_near_zero(x) + sum;
}
