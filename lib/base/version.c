/* SPDX-License-Identifier: Apache-2.0 */
/* What was built, by what, with what. */
#include <invar/version.h>

#include "base/platform.h"

#define QUOTE(x) #x
#define TEXT_OF(x) QUOTE(x)
#define VERSION TEXT_OF(ML_VERSION_MAJOR) "." TEXT_OF(ML_VERSION_MINOR) "." TEXT_OF(ML_VERSION_PATCH)

#if defined(__clang__)
#define COMPILER __VERSION__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown compiler"
#endif

#if defined(ML__OPENBLAS)
#define LINEAR_ALGEBRA "openblas"
#elif defined(ML__CBLAS)
#define LINEAR_ALGEBRA "cblas"
#else
#define LINEAR_ALGEBRA "builtin"
#endif

#ifdef ML__X86_KERNELS
#define KERNELS "portable avx2 avx512 avx512vbmi2"
#elif defined(ML__NEON_KERNELS)
#define KERNELS "portable neon"
#else
#define KERNELS "portable"
#endif

uint32_t ml_version_number(void)
{
    return ML_VERSION_NUMBER;
}

const char *ml_version_string(void)
{
    return VERSION;
}

const char *ml_build_info(void)
{
    return "invar " VERSION ", " COMPILER ", " KERNELS ", " LINEAR_ALGEBRA;
}
