/* SPDX-License-Identifier: Apache-2.0 */
/* CHOOSE_64 and move_small() with BMI2: the bits of eight bytes, spread to bytes, tell which of them to draw together. */

static inline uint64_t spread(uint64_t bits)
{
    return _pdep_u64(bits & 255, 0x0101010101010101u) * 255;
}

static inline void choose_64(const uint8_t *from, uint64_t bits, uint8_t *to)
{
    uint64_t words[8];

    memcpy(words, from, sizeof words);
    for (int i = 0; i < 8; i++, bits >>= 8) {
        const uint64_t chosen = _pext_u64(words[i], spread(bits));

        memcpy(to, &chosen, sizeof chosen);
        to += _mm_popcnt_u64(bits & 255);
    }
}

/* n <= 64: what goes where is found once for all columns. Every store has eight bytes; what it has too much, the next one
 * or the right side writes over. */
static inline void move_small(size_t n, size_t n_columns, uint8_t *columns, size_t stride, uint64_t left)
{
    const size_t n_words = (n + 7) / 8, n_behind = 8 * n_words - n;
    const uint64_t behind = n_behind ? ~(uint64_t)0 << 8 * (8 - n_behind) : 0; /* bytes of the last word that stay */
    const uint64_t right = ~left & (n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0);
    uint64_t masks[2][8];
    size_t at[2][8], next = 0;

    for (size_t side = 0; side < 2; side++)
        for (size_t i = 0; i < n_words; i++) {
            const uint64_t bits = (side ? right : left) >> 8 * i & 255;

            masks[side][i] = spread(bits);
            at[side][i] = next;
            next += (size_t)_mm_popcnt_u64(bits);
        }
    for (size_t j = 0; j < n_columns; j++, columns += stride) {
        uint8_t moved[72];
        uint64_t words[8];

        memcpy(words, columns, sizeof words);
        for (size_t side = 0; side < 2; side++)
            for (size_t i = 0; i < n_words; i++) {
                const uint64_t chosen = _pext_u64(words[i], masks[side][i]);
                memcpy(moved + at[side][i], &chosen, sizeof chosen);
            }
        for (size_t i = 0; i < n_words; i++) {
            uint64_t word;
            memcpy(&word, moved + 8 * i, sizeof word);
            if (i + 1 == n_words)
                word = (word & ~behind) | (words[i] & behind);
            memcpy(columns + 8 * i, &word, sizeof word);
        }
    }
}

#undef CHOOSE_64
#undef MOVE_SMALL
#define MOVE_SMALL 1
#define CHOOSE_64(from, bits, to) choose_64(from, bits, to)
