/* SPDX-License-Identifier: Apache-2.0 */
/* Which tables this build has, and which one is used for what. */
#include <stdatomic.h>
#include <string.h>

#include "kernel/tables.h"

#ifdef ML__X86_KERNELS
static const ml__kernels AVX2_TABLE = {
    .name = "avx2",
    .chain = ML__CHAIN_FUSED,
    .f32 = {ML__SLOTS(ML__AVX2_F32)},
    .f64 = {ML__SLOTS(ML__AVX2_F64)},
    .tree = {ML__TREE_SLOTS(ML__AVX2_TREE)},
    .mixture = {ML__MIXTURE_SLOTS(ML__AVX2_F64)},
};

static const ml__kernels AVX512_TABLE = {
    .name = "avx512",
    .chain = ML__CHAIN_FUSED,
    .f32 = {ML__SLOTS(ML__AVX512_F32)},
    .f64 = {ML__SLOTS(ML__AVX512_F64)},
    .tree = {ML__TREE_SLOTS(ML__AVX512_TREE)},
    .mixture = {ML__MIXTURE_SLOTS(ML__AVX512_F64)},
};

static const ml__kernels VBMI2_TABLE = {
    .name = "avx512vbmi2",
    .chain = ML__CHAIN_FUSED,
    .f32 = {ML__SLOTS(ML__AVX512_F32)},
    .f64 = {ML__SLOTS(ML__AVX512_F64)},
    .tree = {ML__TREE_SLOTS(ML__VBMI2_TREE)},
    .mixture = {ML__MIXTURE_SLOTS(ML__AVX512_F64)},
};
#endif

#ifdef ML__NEON_KERNELS
static const ml__kernels NEON_TABLE = {
    .name = "neon",
    .chain = ML__CHAIN_FUSED,
    .f32 = {ML__SLOTS(ML__NEON_F32)},
    .f64 = {ML__SLOTS(ML__NEON_F64)},
    .tree = {ML__TREE_SLOTS(ML__PORTABLE_TREE)}, /* whose vectors the compiler makes NEON's */
    .mixture = {ML__MIXTURE_SLOTS(ML__NEON_F64)},
};
#endif

/* The BLAS's, then one per level; an index of the latter is FIRST_LEVEL + level. */
static const ml__kernels *const TABLES[] = {
#ifdef ML__CBLAS
    &ml__kernels_cblas,
#endif
    &ml__kernels_portable,
#ifdef ML__X86_KERNELS
    &AVX2_TABLE,           &AVX512_TABLE, &VBMI2_TABLE,
#endif
#ifdef ML__NEON_KERNELS
    &NEON_TABLE,
#endif
};

enum {
#ifdef ML__CBLAS
    FIRST_LEVEL = 1,
#else
    FIRST_LEVEL = 0,
#endif
    UNKNOWN = -1
};

/* Index of the table in use. Whoever finds it unknown asks the processor; all of them get the same answer. */
static atomic_int in_use = UNKNOWN;

static int index_in_use(void)
{
    int index = atomic_load_explicit(&in_use, memory_order_relaxed);

    if (index == UNKNOWN) {
        const ml__level level = ml__cpu_level();

        index = level == ML__PORTABLE ? 0 : FIRST_LEVEL + (int)level;
        atomic_store_explicit(&in_use, index, memory_order_relaxed);
    }
    return index;
}

bool ml__kernels_limit(const char *name)
{
    const ml__kernels *const *tables;
    const size_t n_tables = ml__kernels_all(&tables);

    for (size_t t = 0; t < n_tables; t++)
        if (strcmp(tables[t]->name, name) == 0) {
            atomic_store_explicit(&in_use, (int)t, memory_order_relaxed);
            return true;
        }
    return false;
}

const ml__kernels *ml__kernels_best(void)
{
    return TABLES[index_in_use()];
}

const ml__kernels *ml__kernels_rowwise(void)
{
    const int index = index_in_use();

    return TABLES[index < FIRST_LEVEL ? FIRST_LEVEL : index];
}

size_t ml__kernels_all(const ml__kernels *const **tables)
{
    *tables = TABLES;
    return FIRST_LEVEL + (size_t)ml__cpu_level() + 1;
}
