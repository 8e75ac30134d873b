/* SPDX-License-Identifier: Apache-2.0 */
/* Which units for vector instruction sets are compiled in. */
#ifndef ML__BASE_PLATFORM_H
#define ML__BASE_PLATFORM_H

/* AVX2 and AVX-512: the processor decides at run time. */
#if defined(__x86_64__) && defined(__GNUC__)
#define ML__X86_KERNELS
#endif

/* NEON, which every AArch64 processor has. */
#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__)
#define ML__NEON_KERNELS
#endif

#endif
