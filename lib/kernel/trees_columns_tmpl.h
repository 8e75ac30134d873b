/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of trees that are no searches: codes, moving of rows, targets to whole numbers. Included before
 * kernel/trees_tmpl.h, which tells what the unit defines.
 */

/* Added to an integer of less than 51 bits, as an integer, it is the bits of that number plus 1.5 2^52. */
static const double ROUND = 0x1.8p52;

/* ---- columns ---- */

/* In two steps of 16: how many sixteens of cuts lie wholly below, and how many cuts of the next. */
void PUBLIC(tree_encode)(size_t n, const float *x, const float *cuts, uint8_t *code)
{
    float last[16];

    for (int i = 0; i < 15; i++)
        last[i] = cuts[16 * i + 15];
    last[15] = INFINITY;
    for (size_t i = 0; i < n; i++) {
        const uint32_t first = 16 * COUNT_BELOW_16(last, x[i]);
        code[i] = (uint8_t)(first + COUNT_BELOW_16(cuts + first, x[i]));
    }
}

void PUBLIC(tree_encode_rows)(size_t n, size_t d, const float *x, const ml__tree_coding *coding, uint8_t *codes,
                              size_t stride)
{
    for (size_t i = 0; i < n; i++, x += d, codes += stride) {
        const float *cuts = coding->cuts;

        for (size_t j = 0; j < coding->n_features; j++, cuts += ML__CODING_CUTS) {
            const float value = x[coding->feature[j]];
            const uint32_t first = ML__CUT_STEP * COUNT_BELOW_16(cuts, value);
            const uint32_t code = first + COUNT_BELOW_16(cuts + ML__CUT_STEP + first, value);

            codes[coding->right[j]] = (uint8_t)(code | -(uint32_t)(value != value));
            codes[coding->left[j]] = (uint8_t)code;
        }
    }
}

size_t PUBLIC(tree_compare)(size_t n, const uint8_t *code, uint32_t cut, uint64_t *left)
{
    size_t n_left = 0;

    for (size_t i = 0; i < n; i += 64) {
        uint64_t bits = COMPARE_64(code + i, (uint8_t)cut);

        if (n - i < 64)
            bits &= ((uint64_t)1 << (n - i)) - 1;
        left[i / 64] = bits;
        n_left += (size_t)__builtin_popcountll(bits);
    }
    return n_left;
}

uint32_t PUBLIC(tree_next)(size_t n, const uint8_t *code, uint32_t cut)
{
    const v_u8 limit = (uint8_t)cut - (v_u8){0};
    v_u8 least = ~(v_u8){0};
    uint8_t bytes[LANES_8], next = UINT8_MAX;
    size_t i = 0;

    for (; i + LANES_8 <= n; i += LANES_8) {
        v_u8 c, smaller;

        memcpy(&c, code + i, sizeof c);
        c |= (v_u8)(c <= limit);
        smaller = (v_u8)(c < least);
        least = (c & smaller) | (least & ~smaller);
    }
    for (; i < n; i++)
        if (code[i] > cut && code[i] < next)
            next = code[i];
    if (n >= LANES_8) {
        memcpy(bytes, &least, sizeof bytes);
        for (int k = 0; k < LANES_8; k++)
            next = bytes[k] < next ? bytes[k] : next;
    }
    return next;
}

static inline uint64_t first_bits(size_t n)
{
    return n < 64 ? ((uint64_t)1 << n) - 1 : ~(uint64_t)0;
}

static void move_large(size_t n, uint8_t *column, const uint64_t *left, uint8_t *spare)
{
    uint8_t last[128], *to = column;
    size_t n_right = 0, i = 0;

    for (; i + 64 <= n; i += 64) {
        const uint64_t bits = left[i / 64];

        CHOOSE_64(column + i, ~bits, spare + n_right);
        n_right += (size_t)__builtin_popcountll(~bits);
        CHOOSE_64(column + i, bits, to);
        to += __builtin_popcountll(bits);
    }
    if (i < n) {
        const uint64_t bits = left[i / 64], right = ~bits & first_bits(n - i);

        CHOOSE_64(column + i, right, spare + n_right);
        n_right += (size_t)__builtin_popcountll(right);
        CHOOSE_64(column + i, bits, last);
        COPY(to, last, (size_t)__builtin_popcountll(bits));
        to += __builtin_popcountll(bits);
    }
    COPY(to, spare, n_right);
}

void PUBLIC(tree_move)(size_t n, size_t n_columns, uint8_t *columns, size_t stride, const uint64_t *left,
                       uint8_t *spare)
{
#if MOVE_SMALL
    if (n <= 64) {
        move_small(n, n_columns, columns, stride, left[0]);
        return;
    }
#endif
#if MOVE_MEDIUM
    if (n <= 128) {
        move_medium(n, n_columns, columns, stride, left);
        return;
    }
#endif
    for (size_t j = 0; j < n_columns; j++)
        move_large(n, columns + j * stride, left, spare);
}

void PUBLIC(tree_move_ids)(size_t n, uint32_t *ids, const uint64_t *left, uint32_t *spare)
{
    uint32_t last[32], *to = ids;
    size_t n_right = 0, i = 0;

    for (; i < n; i += 16) {
        const uint32_t here = n - i < 16 ? ((uint32_t)1 << (n - i)) - 1 : 0xffff;
        const uint32_t bits = (uint32_t)(left[i / 64] >> (i % 64)) & 0xffff, right = ~bits & here;
        const size_t n_left = (size_t)__builtin_popcount(bits);

        CHOOSE_16_IDS(ids + i, right, here, spare + n_right);
        n_right += (size_t)__builtin_popcount(right);
        CHOOSE_16_IDS(ids + i, bits, here, last);
        memcpy(to, last, n_left * sizeof *to);
        to += n_left;
    }
    memcpy(to, spare, n_right * sizeof *to);
}

size_t PUBLIC(tree_choose)(size_t n, const uint8_t *from, const uint64_t *chosen, uint8_t *to)
{
    size_t n_chosen = 0;

    for (size_t i = 0; i < n; i += 64) {
        const uint64_t bits = chosen[i / 64] & first_bits(n - i);

        CHOOSE_64(from + i, bits, to + n_chosen);
        n_chosen += (size_t)__builtin_popcountll(bits);
    }
    return n_chosen;
}

uint64_t PUBLIC(tree_sum)(size_t n, const uint8_t *weight)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += weight[i];
    return sum;
}

/* ---- targets ---- */

static inline int64_t rounded(double x)
{
    const double shifted = x + ROUND;
    int64_t bits, offset;

    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&offset, &ROUND, sizeof offset);
    return bits - offset;
}

int64_t PUBLIC(tree_products)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,
                              double scale, int32_t *products, int32_t *weights)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const int64_t product = rounded((t[ids[i]] - centre) * scale) * weight[i];
        products[i] = (int32_t)product;
        weights[i] = weight[i];
        sum += product;
    }
    return sum;
}

int64_t PUBLIC(tree_pack)(size_t n, const uint32_t *ids, const double *t, const uint8_t *weight, double centre,
                          double scale, uint32_t shift, int64_t *packed)
{
    int64_t sum = 0;

    for (size_t i = 0; i < n; i++) {
        const int64_t product = rounded((t[ids[i]] - centre) * scale) * weight[i];
        packed[i] = product * ((int64_t)1 << shift) + weight[i];
        sum += product;
    }
    return sum;
}
