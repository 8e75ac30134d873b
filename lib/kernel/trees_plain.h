/* SPDX-License-Identifier: Apache-2.0 */
/* The primitives of kernel/trees_generic.h that are functions. */

static inline bool any_above_f32(const f32x16 *v, float x)
{
    const i32x16 above = *v > x;
    uint64_t words[8], any = 0;

    memcpy(words, &above, sizeof words);
    for (int i = 0; i < 8; i++)
        any |= words[i];
    return any != 0;
}

static inline bool any_above_f64(const f64x8 *v, double x)
{
    const i64x8 above = *v > x;
    uint64_t words[8], any = 0;

    memcpy(words, &above, sizeof words);
    for (int i = 0; i < 8; i++)
        any |= words[i];
    return any != 0;
}

static inline uint32_t lanes_from_f32(const f32x16 *v, float x)
{
    uint32_t bits = 0;

    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)((*v)[i] >= x) << i;
    return bits;
}

static inline uint32_t lanes_from_f64(const f64x8 *v, double x)
{
    uint32_t bits = 0;

    for (int i = 0; i < 8; i++)
        bits |= (uint32_t)((*v)[i] >= x) << i;
    return bits;
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
