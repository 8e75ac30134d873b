/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives of kernel/trees_generic.h that are functions. */

#define DEFINE_LANES(name, V, REAL, OP)                   \
    static inline uint32_t name(const V *v, REAL x)       \
    {                                                     \
        uint32_t bits = 0;                                \
                                                          \
        for (size_t i = 0; i < sizeof *v / sizeof x; i++) \
            bits |= (uint32_t)((*v)[i] OP x) << i;        \
        return bits;                                      \
    }
DEFINE_LANES(lanes_above_f32, v_f32, float, >)
DEFINE_LANES(lanes_above_f64, v_f64, double, >)
DEFINE_LANES(lanes_from_f32, v_f32, float, >=)
DEFINE_LANES(lanes_from_f64, v_f64, double, >=)

#define DEFINE_LARGER(P, V, INTEGERS)                                 \
    static inline V larger_##P(const V *x, const V *y)                \
    {                                                                 \
        const INTEGERS above = (INTEGERS)(*x > *y);                   \
                                                                      \
        return (V)(((INTEGERS)*x & above) | ((INTEGERS)*y & ~above)); \
    }
DEFINE_LARGER(f32, v_f32, v_i32)
DEFINE_LARGER(f64, v_f64, v_i64)

#define DEFINE_LARGEST(P, V, REAL)                          \
    static inline REAL largest_##P(const V *v)              \
    {                                                       \
        REAL top = (*v)[0];                                 \
                                                            \
        for (size_t i = 1; i < sizeof *v / sizeof top; i++) \
            top = (*v)[i] > top ? (*v)[i] : top;            \
        return top;                                         \
    }
DEFINE_LARGEST(f32, v_f32, float)
DEFINE_LARGEST(f64, v_f64, double)

/* Of ascending values, by halves. */
static inline uint32_t count_below(const float *v, float x)
{
    uint32_t n = 0;

    for (uint32_t step = 8; step; step >>= 1)
        n += step & -(uint32_t)(v[n + step - 1] < x);
    return n + (v[n] < x);
}

static inline uint64_t compare_bytes(const uint8_t *code, uint8_t cut)
{
    uint64_t bits = 0;

    for (int i = 0; i < 64; i++)
        bits |= (uint64_t)(code[i] <= cut) << i;
    return bits;
}

/* Every byte is written, those that are not chosen over again by the next: no branch. */
static inline void choose_bytes(const uint8_t *from, uint64_t bits, uint8_t *to)
{
    for (int i = 0; i < 64; i++) {
        const uint8_t value = from[i];

        *to = value;
        to += bits >> i & 1;
    }
}

/* `here` marks the numbers that may be read. */
static inline void choose_ids(const uint32_t *from, uint32_t bits, uint32_t here, uint32_t *to)
{
    for (int i = 0; here >> i; i++) {
        *to = from[i];
        to += bits >> i & 1;
    }
}
