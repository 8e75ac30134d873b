/* SPDX-License-Identifier: Apache-2.0 */
/* CHOOSE_64 with BMI2: the bits of eight bytes, spread to bytes, tell which of them to draw together. */

static inline void choose_64(const uint8_t *from, uint64_t bits, uint8_t *to)
{
    uint64_t words[8];

    memcpy(words, from, sizeof words);
    for (int i = 0; i < 8; i++, bits >>= 8) {
        const uint64_t mask = _pdep_u64(bits & 255, 0x0101010101010101u) * 255;
        const uint64_t chosen = _pext_u64(words[i], mask);

        memcpy(to, &chosen, sizeof chosen);
        to += _mm_popcnt_u64(bits & 255);
    }
}

#undef CHOOSE_64
#define CHOOSE_64(from, bits, to) choose_64(from, bits, to)
