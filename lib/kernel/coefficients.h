/* SPDX-License-Identifier: Apache-2.0 */
/* Written by coefficients.py, which explains them. Polynomials have their lowest coefficient first. */
#ifndef ML__KERNEL_COEFFICIENTS_H
#define ML__KERNEL_COEFFICIENTS_H

#include <stdint.h>

static const float LOG2_E_f32 = 0x1.715476p+0f;
static const float LN2_HIGH_f32 = 0x1.62e4p-1f;
static const float LN2_LOW_f32 = 0x1.7f7d1cp-20f;

/* relative error 2^-28.3, with rounded coefficients 2^-28.0 */
static const float EXP_f32[] = {
    0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f2p-5f, 0x1.1239d4p-7f, 0x1.6a2462p-10f,
};

/* relative error 2^-29.8, with rounded coefficients 2^-28.9 */
static const float LOG_f32[] = {
    -0x1.fffffep-2f, 0x1.555554p-2f,  -0x1.000132p-2f, 0x1.999dfp-3f,   -0x1.54f8bp-3f,
    0x1.239554p-3f,  -0x1.049e82p-3f, 0x1.ec964ep-4f,  -0x1.91de22p-4f, 0x1.5966a6p-5f,
};

/* relative error 2^-27.7, with rounded coefficients 2^-27.0 */
static const float TANH_f32[] = {
    -0x1.55553cp-2f, 0x1.110be2p-3f, -0x1.b96224p-5f, 0x1.600996p-6f, -0x1.0460ccp-7f, 0x1.2da50ap-9f, -0x1.77dd58p-12f,
};

static const double LOG2_E_f64 = 0x1.71547652b82fep+0;
static const double LN2_HIGH_f64 = 0x1.62e42fefa38p-1;
static const double LN2_LOW_f64 = 0x1.ef35793c7673p-45;

/* relative error 2^-57.9, with rounded coefficients 2^-56.3 */
static const double EXP_f64[] = {
    0x1.000000000000ap-1,  0x1.55555555554fap-3,  0x1.555555555088bp-5,  0x1.1111111127bd9p-7,  0x1.6c16c18426be1p-10,
    0x1.a01a012a55d8cp-13, 0x1.a0199a15da2e6p-16, 0x1.71df2563e0dfap-19, 0x1.28ad69b63fa25p-22, 0x1.ad7f3dc90912dp-26,
};

/* relative error 2^-58.6, with rounded coefficients 2^-55.0 */
static const double LOG_f64[] = {
    -0x1.ffffffffffffdp-2, 0x1.5555555555553p-2,  -0x1.0000000000608p-2, 0x1.999999999b31bp-3,  -0x1.55555554cf31cp-3,
    0x1.24924922e7415p-3,  -0x1.00000028bf82fp-3, 0x1.c71c732b3cb65p-4,  -0x1.99998d851c916p-4, 0x1.745cce3f846f7p-4,
    -0x1.555619f35cf7ap-4, 0x1.3b1b94f4b2a14p-4,  -0x1.249451c0cd98ep-4, 0x1.10a38ba1c3827p-4,  -0x1.fe111c7df71e6p-5,
    0x1.e5dfa914ef1acp-5,  -0x1.dde9b0ed4b29bp-5, 0x1.c7f8140f6c9f5p-5,  -0x1.6561ea82189efp-5, 0x1.725ede8a5421p-6,
    -0x1.6871865c531e4p-8,
};

/* relative error 2^-56.2, with rounded coefficients 2^-54.9 */
static const double TANH_f64[] = {
    -0x1.555555555550fp-2,  0x1.111111110d81ep-3,  -0x1.ba1ba1b811f07p-5,  0x1.664f4836ccc06p-6,
    -0x1.226e2ec23f7bp-7,   0x1.d6d3103730166p-9,  -0x1.7d9bce0c158b4p-10, 0x1.3521483d928f2p-11,
    -0x1.f336d6f5e3794p-13, 0x1.8d7c951ca076ep-14, -0x1.2eb77e7fc44a5p-15, 0x1.9e1b604be78b8p-17,
    -0x1.cafb954887275p-19, 0x1.5f6177516a4d1p-21, -0x1.0d44242afc9acp-24,
};

static const double LN2_16_HIGH_f64 = 0x1.62e42fefa4p-1;
static const double LN2_16_LOW_f64 = -0x1.8432a1b0e2634p-43;

/* relative error 2^-56.3, with rounded coefficients 2^-56.3 */
static const double EXP_16_f64[] = {
    0x1.fffffffffffb9p-2, 0x1.555555548f86cp-3, 0x1.55555558fb99dp-5, 0x1.11123ab019337p-7, 0x1.6c14c76cea0d5p-10,
};

_Alignas(64) static const uint64_t ROOTS[] = {
    0x3ff0000000000000, 0x3fefb5586cf9890f, 0x3fef72b83c7d517b, 0x3fef387a6e756238,
    0x3fef06fe0a31b715, 0x3feedea64c123422, 0x3feebfdad5362a27, 0x3feeab07dd485429,
    0x3feea09e667f3bcd, 0x3feea11473eb0187, 0x3feeace5422aa0db, 0x3feec49182a3f090,
    0x3feee89f995ad3ad, 0x3fef199bdd85529c, 0x3fef5818dcfba487, 0x3fefa4afa2a490da,
};

#endif
