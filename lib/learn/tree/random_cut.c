/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cut of byte codes at a threshold drawn between a node's least and largest value (Geurts, Ernst & Wehenkel 2006). Where
 * values share a code the threshold moves to the nearest cut below that leaves rows on both sides. Gains are those of the
 * kernels for all cuts (kernel/trees.h); sums are of whole numbers.
 */
#include "learn/tree/tree.h"

typedef struct {
    int64_t W, first, S;                /* weight, of the first class of two, and sum of products on the left */
    double squares_left, squares_right; /* of the weights of several classes */
} left_sums;

/* ---- sums ---- */

static int64_t sum_weights(const uint8_t *weight, const uint8_t *code, size_t n, uint8_t cut)
{
    uint32_t sum = 0; /* the weights of all rows fit, see ml__tree_rows */

    for (size_t i = 0; i < n; i++)
        sum += code[i] <= cut ? weight[i] : 0u;
    return sum;
}

static void sum_classes(const ml__tree_rows *rows, const uint8_t *code, uint8_t cut, left_sums *left)
{
    for (size_t begin = 0, end; begin < rows->n; begin = end) {
        const uint8_t k = rows->label[begin];
        double l_k, r_k;

        for (end = begin + 1; end < rows->n && rows->label[end] == k; end++)
            ;
        l_k = (double)sum_weights(rows->weight + begin, code + begin, end - begin, cut);
        r_k = (double)rows->class_weight[k] - l_k;
        left->W += (int64_t)l_k;
        left->squares_left += l_k * l_k;
        left->squares_right += r_k * r_k;
    }
}

static void sum_targets(const ml__tree_rows *rows, const uint8_t *code, uint8_t cut, left_sums *left)
{
    int64_t packed = 0;

    if (rows->products) {
        for (size_t i = 0; i < rows->n; i++) {
            left->S += code[i] <= cut ? rows->products[i] : 0;
            left->W += code[i] <= cut ? rows->weights[i] : 0;
        }
        return;
    }
    for (size_t i = 0; i < rows->n; i++)
        packed += code[i] <= cut ? rows->packed[i] : 0;
    left->W = packed & (((int64_t)1 << rows->shift) - 1);
    left->S = (packed - left->W) / ((int64_t)1 << rows->shift);
}

static double gain_of(const ml__tree_rows *rows, bool classify, const uint8_t *code, uint8_t cut)
{
    const double W = rows->W;
    left_sums left = {0};
    double l, difference;

    if (rows->label) {
        sum_classes(rows, code, cut, &left);
        return left.squares_left / (double)left.W + left.squares_right / (W - (double)left.W);
    }
    if (classify) {
        left.first = sum_weights(rows->weight, code, rows->n_first, cut);
        left.W =
            left.first + sum_weights(rows->weight + rows->n_first, code + rows->n_first, rows->n - rows->n_first, cut);
        l = (double)left.W;
        difference = (double)left.first * W - (double)rows->W_first * l;
    } else {
        sum_targets(rows, code, cut, &left);
        l = (double)left.W;
        difference = (double)left.S * W - (double)rows->S * l;
    }
    return difference * difference / (l * (W - l));
}

/* ---- the cut ---- */

bool ml__random_cut(const ml__tree_rows *rows, bool classify, const ml__bins *bins, size_t j, const uint8_t *code,
                    uint64_t random, ml__tree_cut *cut, float *threshold)
{
    const float *lowest = bins->lowest + j * ML__MAX_CODES, *highest = bins->highest + j * ML__MAX_CODES;
    uint8_t least = code[0], largest = code[0];
    uint32_t below, above;

    for (size_t i = 1; i < rows->n; i++) {
        least = code[i] < least ? code[i] : least;
        largest = code[i] > largest ? code[i] : largest;
    }
    if (least == largest)
        return false;
    *threshold = ml__draw_threshold(highest[least], lowest[largest], random);
    for (below = least, above = largest; below + 1 < above;) {
        const uint32_t middle = (below + above) / 2;
        if (highest[middle] <= *threshold)
            below = middle;
        else
            above = middle;
    }
    if (*threshold >= lowest[above])
        *threshold = bins->cuts[j * ML__MAX_CODES + below];
    *cut = (ml__tree_cut){.gain = gain_of(rows, classify, code, (uint8_t)below), .code = below};
    return true;
}
