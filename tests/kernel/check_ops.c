/* SPDX-License-Identifier: Apache-2.0 */
/* The operations of a table: tests/kernel/check_ops_tmpl.h compiled for float and for double. */
#include "check.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 8, MAX_LENGTH = 200000 };

/* How a matrix lies in memory: elements between its rows, and in front of it (malloc aligns to 16 bytes). */
static const struct {
    const char *name;
    size_t padding, offset;
} LAYOUTS[] = {{"tight", 0, 0}, {"padded", 3, 0}, {"misaligned", 0, 1}, {"padded and misaligned", 5, 1}};
enum { N_LAYOUTS = sizeof LAYOUTS / sizeof LAYOUTS[0] };

/* What is in it. Sums of products of small integers are exact, so their results must be equal to the last bit. */
typedef enum { UNIT, INTEGER, MIXED, HUGE_VALUES, MANY_ZEROS, TINY_VALUES, N_FILLS } fill;
static const char *const FILL_NAMES[] = {"unit",         "integers",   "mixed magnitudes",
                                         "huge numbers", "many zeros", "tiny values"};

typedef enum { NN, NT, TN, SYRK } product_op;
static const char *const PRODUCT_NAMES[] = {"gemm_nn", "gemm_nt", "gemm_tn", "syrk_tn"};

typedef enum { CLEAN, NAN_IN_A, INF_IN_A, NAN_IN_B, INF_IN_B, N_POISONS } poison;
static const char *const POISON_NAMES[] = {"", ", NaN in A", ", Inf in A", ", NaN in B", ", Inf in B"};

typedef struct {
    product_op op;
    size_t m, n, k;
    double beta;
    size_t layout;
    fill fill;
    poison poison;
} product_case;

/* Vector tables split the sums of a single column. */
static bool has_own_order(const ml__kernels *table, const product_case *p)
{
    return table->chain == ML__CHAIN_FUSED && p->n == 1 && (p->op == NN || p->op == NT);
}

static const double BETAS[] = {0, 1, -0.5};
enum { N_BETAS = sizeof BETAS / sizeof BETAS[0] };

/* Rows of a softmax. */
typedef enum { LOGITS, FAR_LOGITS, SOME_MINUS_INF, ALL_MINUS_INF, ONE_NAN, ONE_INF, N_ROW_KINDS } row_kind;

typedef enum { LAYER, BACK, ADAM, ALONE } layer_op;
static const char *const LAYER_NAMES[] = {"layer", "layer_back", "adam_tn", "layer_row"};

enum { N_ACTIVATIONS = 4 };
static const char *const ACTIVATION_NAMES[] = {"identity", "relu", "logistic", "tanh"};

typedef struct {
    layer_op op;
    size_t m, n, k;
    ml__activation f;
    bool has_bias;
    size_t layout;
    fill fill;
    poison poison;
    ml__adam step;
} layer_case;

static const ml__adam STEP = {0.003, 0.9, 0.999, 1e-8, 0.01};

static const size_t SMALL[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 33}, LARGE[] = {1, 31, 64, 100};
enum { N_SMALL = sizeof SMALL / sizeof SMALL[0], N_LARGE = sizeof LARGE / sizeof LARGE[0] };
/* Beyond the blocks of the portable kernels and the tiles of the BLAS, in every direction. */
static const size_t BLOCKS[][3] = {{130, 70, 300}, {33, 65, 129}, {300, 2, 1000}, {2, 300, 513},
                                   {4500, 3, 20},  {1, 600, 130}, {600, 1, 130},  {40, 1100, 65},
                                   {3, 5, 5000},   {65, 97, 257}, {70, 40, 1000}, {5, 1, 4000}};
enum { N_BLOCKS = sizeof BLOCKS / sizeof BLOCKS[0] };

/* A product and what is done with it. */
typedef struct {
    size_t m, n, k;
    ml__activation f;
    size_t layout;
    fill fill;
    bool with, poisoned; /* with a bias or a penalty; a NaN in an input */
} fused_case;

enum { N_FUSED_TURNS = 3 * N_ACTIVATIONS };
static const size_t FUSED[][3] = {
    {0, 5, 5},     {5, 0, 5},    {5, 5, 0},      {20, 40, 0},    {1, 1, 1},     {1, 3, 32},     {1, 64, 20},
    {32, 64, 20},  {32, 32, 64}, {32, 3, 32},    {32, 1, 64},    {17, 33, 9},   {7, 15, 31},    {64, 17, 70},
    {100, 10, 65}, {20, 64, 32}, {130, 31, 130}, {129, 70, 230}, {65, 129, 33}, {200, 40, 500}, {3, 300, 40}};
enum { N_FUSED = sizeof FUSED / sizeof FUSED[0] };

#define R float
#define NAME(name) name##_f32
#define TABLE ml__kernels_f32
#define MEMBER f32
#define PRECISION "f32"
#define FMA fmaf
#define EPS FLT_EPSILON
#define LARGEST FLT_MAX
#define SMALLEST FLT_TRUE_MIN
#define MIN_EXP FLT_MIN_EXP
#define MAX_EXP FLT_MAX_EXP
#define EXP_RANGE 110
#include "check_ops_tmpl.h"
#undef R
#undef NAME
#undef TABLE
#undef MEMBER
#undef PRECISION
#undef FMA
#undef EPS
#undef LARGEST
#undef SMALLEST
#undef MIN_EXP
#undef MAX_EXP
#undef EXP_RANGE

#define R double
#define NAME(name) name##_f64
#define TABLE ml__kernels_f64
#define MEMBER f64
#define PRECISION "f64"
#define FMA fma
#define EPS DBL_EPSILON
#define LARGEST DBL_MAX
#define SMALLEST DBL_TRUE_MIN
#define MIN_EXP DBL_MIN_EXP
#define MAX_EXP DBL_MAX_EXP
#define EXP_RANGE 760
#include "check_ops_tmpl.h"
