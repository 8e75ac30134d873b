/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What instructions this processor and its operating system offer.
 *
 * On x86 CPUID tells what the processor can do, XCR0 which registers the system saves when it switches threads; both are
 * needed. (Intel SDM volume 1, sections 14.3 and 15.2.) AArch64 always has NEON.
 */
#include "kernel/tables.h"

#ifdef ML__X86_KERNELS

#include <cpuid.h>
#include <stdint.h>

enum {
    /* leaf 1, ECX */
    FMA = 1 << 12,
    OSXSAVE = 1 << 27,
    AVX = 1 << 28,
    /* leaf 7, EBX */
    BMI1 = 1 << 3,
    AVX2 = 1 << 5,
    BMI2 = 1 << 8,
    AVX512F = 1 << 16,
    AVX512DQ = 1 << 17,
    AVX512BW = 1 << 30,
    /* leaf 7, ECX */
    VBMI = 1 << 1,
    VBMI2 = 1 << 6,
    /* XCR0 */
    YMM_STATE = 0x06, /* xmm and the upper halves of ymm */
    ZMM_STATE = 0xe6  /* and k0-7, the upper halves of zmm0-15, zmm16-31 */
};
static const uint32_t AVX512VL = UINT32_C(1) << 31;

static uint32_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_all(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

ml__level ml__cpu_level(void)
{
    uint32_t eax, ebx, ecx, edx, xcr0;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !has_all(ecx, FMA | OSXSAVE | AVX))
        return ML__PORTABLE;
    xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !has_all(ebx, AVX2 | BMI1 | BMI2) ||
        !has_all(xcr0, YMM_STATE))
        return ML__PORTABLE;
    if (!has_all(ebx, AVX512F | AVX512DQ | AVX512BW | AVX512VL) || !has_all(xcr0, ZMM_STATE))
        return ML__AVX2;
    return has_all(ecx, VBMI | VBMI2) ? ML__VBMI2 : ML__AVX512;
}

#elif defined(ML__NEON_KERNELS)

ml__level ml__cpu_level(void)
{
    return ML__NEON;
}

#else

ml__level ml__cpu_level(void)
{
    return ML__PORTABLE;
}

#endif
