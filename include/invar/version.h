/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Version of the headers and of the library they are linked with, and the linkage macro.
 */
#ifndef INVAR_VERSION_H
#define INVAR_VERSION_H

#include <stddef.h>
#include <stdint.h>

#define ML_VERSION_MAJOR 0
#define ML_VERSION_MINOR 1
#define ML_VERSION_PATCH 0
#define ML_VERSION_NUMBER (ML_VERSION_MAJOR * 10000 + ML_VERSION_MINOR * 100 + ML_VERSION_PATCH)

/* Every public function is declared with ML_API; everything else is hidden in the shared library. */
#if defined(_WIN32) && defined(ML_BUILDING_SHARED)
#define ML_API __declspec(dllexport)
#elif defined(_WIN32) && defined(ML_USING_SHARED)
#define ML_API __declspec(dllimport)
#elif defined(__GNUC__)
#define ML_API __attribute__((visibility("default")))
#else
#define ML_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** Version of the linked library, as ML_VERSION_NUMBER is built. Any thread. @since 0.1 */
ML_API uint32_t ml_version_number(void);

/** Version of the linked library as text, "0.1.0". Static storage. Any thread. @since 0.1 */
ML_API const char *ml_version_string(void);

/**
 * How the linked library was built: version, compiler, instruction sets it has kernels for
 * ("portable avx2 avx512 avx512vbmi2"; which of them is used depends on the processor, see ml_context_describe()), linear
 * algebra ("builtin", "cblas", "openblas"). Static storage. Any thread. @since 0.1
 */
ML_API const char *ml_build_info(void);

#ifdef __cplusplus
}
#endif
#endif
