/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products shared among threads: kernel/product_tmpl.h compiled for float and for double.
 *
 * Tiles    of about TILE_WORK multiply-adds, or more where there would be over MOST_TILES of them. Columns come in units
 *          of UNIT, whole panels of every table, and in as few units as SHORTEST to TALLEST rows allow: a panel of B that
 *          is copied or transposed pays by many rows, and those of A shall stay in the second cache. Rows and columns
 *          are then divided evenly. No tile of several is one column wide: a column alone may add in an order of its
 *          own (kernel.h), and its bits would tell how C was cut.
 */
#include "kernel/product.h"

#include "base/parallel.h"

enum { TILE_WORK = 1 << 20, MOST_TILES = 64, UNIT = 32, SHORTEST = 128, TALLEST = 256 };

/* C [m x n] in n_high x n_wide tiles of height x width; the last ones take what is left, a column more or less. */
typedef struct tiling {
    size_t height, width, n_high, n_wide;
} tiling;

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t at_least(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t divide_up(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static double work_of(size_t m, size_t n, size_t k)
{
    return (double)m * (double)n * (double)k;
}

/* Small products go straight to the table. */
static bool is_shared(size_t m, size_t n, size_t k)
{
    return work_of(m, n, k) >= ML__SHARED_PRODUCT;
}

static tiling tiling_of(size_t m, size_t n, size_t k)
{
    const double work = work_of(m, n, k);
    const double tile_work = work / MOST_TILES > TILE_WORK ? work / MOST_TILES : TILE_WORK;
    tiling t = {m, n, 1, 1};
    size_t area;

    area = at_least((size_t)(tile_work / (double)k), 1);
    t.width = at_most(n, UNIT * divide_up(area, UNIT * at_most(m, TALLEST)));
    t.height = at_most(m, at_least(area / t.width, SHORTEST));
    t.width = at_most(n, UNIT * divide_up(n, UNIT * divide_up(n, t.width)));
    t.n_wide = divide_up(n, t.width);
    if (t.n_wide > 1 && n % t.width == 1)
        t.n_wide--;
    t.n_high = divide_up(m, t.height);
    t.height = divide_up(m, t.n_high);
    return t;
}

/* What is done with a product. */
typedef enum { GEMM_NN, GEMM_NT, GEMM_TN, LAYER, LAYER_BACK, ADAM_TN } operation;

#define R float
#define NAME(name) name##_f32
#define CREW ml__crew_f32
#define PUBLIC(name) ML__PRODUCT_F32(name)
#include "kernel/product_tmpl.h"
#undef R
#undef NAME
#undef CREW
#undef PUBLIC

#define R double
#define NAME(name) name##_f64
#define CREW ml__crew_f64
#define PUBLIC(name) ML__PRODUCT_F64(name)
#include "kernel/product_tmpl.h"
