/* SPDX-License-Identifier: Apache-2.0 */
/* Which tables this build has, and which one is used for what. */
#include "kernel/tables.h"

static const ml__kernels *const TABLES[] = {
    &ml__kernels_portable,
#ifdef ML__CBLAS
    &ml__kernels_cblas,
#endif
};

enum { N_TABLES = sizeof TABLES / sizeof TABLES[0] };

const ml__kernels *ml__kernels_best(void)
{
    return TABLES[N_TABLES - 1];
}

const ml__kernels *ml__kernels_rowwise(void)
{
    return &ml__kernels_portable;
}

size_t ml__kernels_all(const ml__kernels *const **tables)
{
    *tables = TABLES;
    return N_TABLES;
}
