/* SPDX-License-Identifier: Apache-2.0 */
/* The portable table: kernel/portable_tmpl.h and kernel/fused_tmpl.h compiled for float and for double. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/tables.h"

enum {
    BLOCK_N = 512, /* with BLOCK_K: a panel of B is 128 or 256 KiB, for the second-level cache */
    BLOCK_K = 64,
    TILE = 32, /* a transposed tile in double is 8 KiB of stack */
    NEAREST_ROWS = 16,
    NEAREST_COLUMNS = 64, /* a block of products in double is 8 KiB of stack */
    LANES = 8             /* chains of additions in a sum: hides the latency of an addition, and vectorises */
};

static double add_lanes(const double s[LANES])
{
    return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

#define R float
#define NAME(name) name##_f32
#define PUBLIC(name) ML__PORTABLE_F32(name)
#define MATH(function) function##f
#include "kernel/portable_tmpl.h"
#define DEFINE(name) void PUBLIC(name)
#define MATRIX(name) PUBLIC(name)
#define OWN(name) PUBLIC(name)
#define MATHS(name) PUBLIC(name)
#define SQRT sqrtf
#include "kernel/fused_tmpl.h"
#undef R
#undef NAME
#undef PUBLIC
#undef MATH
#undef SQRT

#define R double
#define NAME(name) name##_f64
#define PUBLIC(name) ML__PORTABLE_F64(name)
#define MATH(function) function
#include "kernel/portable_tmpl.h"
#define SQRT sqrt
#include "kernel/fused_tmpl.h"

const ml__kernels ml__kernels_portable = {
    .name = "portable",
    .chain = ML__CHAIN_ROUNDED,
    .f32 = {ML__SLOTS(ML__PORTABLE_F32)},
    .f64 = {ML__SLOTS(ML__PORTABLE_F64)},
    .tree = {ML__TREE_SLOTS(ML__PORTABLE_TREE)},
    .mixture = {ML__MIXTURE_SLOTS(ML__PORTABLE_F64)},
};
