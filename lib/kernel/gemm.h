/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the matrix products of all vector instruction sets share: lists that spell out the rows and vectors of a register
 * tile. Tiles are generated with literal sizes, one variable for each accumulator: an array of them would live in memory
 * wherever the compiler did not unroll every loop over it.
 */
#ifndef ML__KERNEL_GEMM_H
#define ML__KERNEL_GEMM_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(row, V) for each of the rows of a tile of V vectors */
#define ML__ROWS_1(X, V) X(0, V)
#define ML__ROWS_2(X, V) ML__ROWS_1(X, V) X(1, V)
#define ML__ROWS_3(X, V) ML__ROWS_2(X, V) X(2, V)
#define ML__ROWS_4(X, V) ML__ROWS_3(X, V) X(3, V)
#define ML__ROWS_5(X, V) ML__ROWS_4(X, V) X(4, V)
#define ML__ROWS_6(X, V) ML__ROWS_5(X, V) X(5, V)
#define ML__ROWS_7(X, V) ML__ROWS_6(X, V) X(6, V)
#define ML__ROWS_8(X, V) ML__ROWS_7(X, V) X(7, V)
#define ML__ROWS_9(X, V) ML__ROWS_8(X, V) X(8, V)
#define ML__ROWS_10(X, V) ML__ROWS_9(X, V) X(9, V)
#define ML__ROWS_11(X, V) ML__ROWS_10(X, V) X(10, V)
#define ML__ROWS_12(X, V) ML__ROWS_11(X, V) X(11, V)
#define ML__ROWS_13(X, V) ML__ROWS_12(X, V) X(12, V)
#define ML__ROWS_14(X, V) ML__ROWS_13(X, V) X(13, V)

/* Y(row, vector, V) for each of the V vectors of a row */
#define ML__VECTORS_1(Y, i, V) Y(i, 0, V)
#define ML__VECTORS_2(Y, i, V) ML__VECTORS_1(Y, i, V) Y(i, 1, V)
#define ML__VECTORS_3(Y, i, V) ML__VECTORS_2(Y, i, V) Y(i, 2, V)
#define ML__VECTORS_4(Y, i, V) ML__VECTORS_3(Y, i, V) Y(i, 3, V)
#define ML__VECTORS_5(Y, i, V) ML__VECTORS_4(Y, i, V) Y(i, 4, V)
#define ML__VECTORS_6(Y, i, V) ML__VECTORS_5(Y, i, V) Y(i, 5, V)
#define ML__VECTORS_7(Y, i, V) ML__VECTORS_6(Y, i, V) Y(i, 6, V)
#define ML__VECTORS_8(Y, i, V) ML__VECTORS_7(Y, i, V) Y(i, 7, V)

/* Bytes from a tile's first row of A to row i. An address takes a register times 1, 2, 4 or 8, so the odd multiples in
 * registers of their own reach all rows from one moving pointer. */
#define ML__OFFSET_0 0
#define ML__OFFSET_1 row1
#define ML__OFFSET_2 2 * row1
#define ML__OFFSET_3 row3
#define ML__OFFSET_4 4 * row1
#define ML__OFFSET_5 row5
#define ML__OFFSET_6 2 * row3
#define ML__OFFSET_7 row7
#define ML__OFFSET_8 8 * row1
#define ML__OFFSET_9 row9
#define ML__OFFSET_10 2 * row5
#define ML__OFFSET_11 row11
#define ML__OFFSET_12 4 * row3
#define ML__OFFSET_13 row13

/* The steps of a tile. Row i holds the accumulators ci_0, ci_1, ...; only the last vector of a row can be partial. */
#define ML__DECLARE(i, v, V) VECTOR c##i##_##v = ZERO();
#define ML__DECLARE_ROW(i, V) ML__VECTORS_##V(ML__DECLARE, i, V)
#define ML__START(i, v, V) c##i##_##v = v < V - 1 ? LOAD(s + v * LANES) : LOAD_PART(s + v * LANES, last);
#define ML__START_ROW(i, V)                      \
    ML__VECTORS_##V(ML__START, i, V) s += s_row; \
    ML__OPAQUE(s);
#define ML__SCALE(i, v, V) c##i##_##v = MULTIPLY(beta, c##i##_##v);
#define ML__SCALE_ROW(i, V) ML__VECTORS_##V(ML__SCALE, i, V)
#define ML__LOAD_B(i, v, V) const VECTOR b##v = LOAD(b + v * LANES);
#define ML__LOAD_B_PART(i, v, V) const VECTOR b##v = v == V - 1 ? LOAD_PART(b + v * LANES, last) : LOAD(b + v * LANES);
#define ML__ADD_TERM(i, v, V) c##i##_##v = MULTIPLY_ADD(x, b##v, c##i##_##v);
#define ML__ADD_TERM_ROW(i, V)                                                          \
    {                                                                                   \
        const VECTOR x = BROADCAST((const REAL *)(const void *)(a + (ML__OFFSET_##i))); \
        ML__VECTORS_##V(ML__ADD_TERM, i, V)                                             \
    }
#define ML__RELU(i, v, V) c##i##_##v = MAX(ZERO(), c##i##_##v);
#define ML__RELU_ROW(i, V) ML__VECTORS_##V(ML__RELU, i, V)
#define ML__OPEN(i, v, V) \
    c##i##_##v = WHERE_POSITIVE(v < V - 1 ? LOAD(h + v * LANES) : LOAD_PART(h + v * LANES, last), c##i##_##v);
#define ML__OPEN_ROW(i, V)                    \
    ML__VECTORS_##V(ML__OPEN, i, V) h += ldh; \
    ML__OPAQUE(h);
#define ML__STORE(i, v, V)                \
    if (v < V - 1)                        \
        STORE(c + v * LANES, c##i##_##v); \
    else                                  \
        STORE_PART(c + v * LANES, last, c##i##_##v);
#define ML__STORE_ROW(i, V)                    \
    ML__VECTORS_##V(ML__STORE, i, V) c += ldc; \
    ML__OPAQUE(c);

/* The compiler shall not know how x came about: it would keep what it can derive from it in registers that are needed. */
#define ML__OPAQUE(x) __asm__("" : "+r"(x))

/* In the loop over terms: multiples of these are made by the addresses, not kept. */
#define ML__KEEP_ROWS_1() (void)0
#define ML__KEEP_ROWS_2() ML__OPAQUE(row1)
#define ML__KEEP_ROWS_3() ML__OPAQUE(row1)
#define ML__KEEP_ROWS_4() __asm__("" : "+r"(row1), "+r"(row3))
#define ML__KEEP_ROWS_5() ML__KEEP_ROWS_4()
#define ML__KEEP_ROWS_6() __asm__("" : "+r"(row1), "+r"(row3), "+r"(row5))
#define ML__KEEP_ROWS_7() ML__KEEP_ROWS_6()
#define ML__KEEP_ROWS_8() __asm__("" : "+r"(row1), "+r"(row3), "+r"(row5), "+r"(row7))
#define ML__KEEP_ROWS_9() ML__KEEP_ROWS_8()
#define ML__KEEP_ROWS_10() __asm__("" : "+r"(row1), "+r"(row3), "+r"(row5), "+r"(row7), "+r"(row9))
#define ML__KEEP_ROWS_11() ML__KEEP_ROWS_10()
#define ML__KEEP_ROWS_12() __asm__("" : "+r"(row1), "+r"(row3), "+r"(row5), "+r"(row7), "+r"(row9), "+r"(row11))
#define ML__KEEP_ROWS_13() ML__KEEP_ROWS_12()
#define ML__KEEP_ROWS_14() \
    __asm__("" : "+r"(row1), "+r"(row3), "+r"(row5), "+r"(row7), "+r"(row9), "+r"(row11), "+r"(row13))

/* One term: its vectors of B times the broadcast elements of A. */
#define ML__TERM(M, V, LOAD_VECTOR)                                                   \
    ML__KEEP_ROWS_##M();                                                              \
    ML__VECTORS_##V(LOAD_VECTOR, 0, V) ML__ROWS_##M(ML__ADD_TERM_ROW, V) a += a_step; \
    b = (const REAL *)(const void *)((const char *)b + b_step);

/* n_tiles tiles of M rows, below each other, times the panel. */
#define ML__TILE(M, V)                                                                            \
    static void NAME(tile_##M##_##V)(const NAME(panel) * p, size_t n_tiles)                       \
    {                                                                                             \
        size_t row1 = p->a_row * sizeof(REAL), row3 = 3 * row1, row5 = 5 * row1, row7 = 7 * row1; \
        size_t row9 = 9 * row1, row11 = 11 * row1, row13 = 13 * row1;                             \
        size_t a_step = p->a_term * sizeof(REAL), b_step = p->ldb * sizeof(REAL);                 \
        const size_t s_row = p->s_row, ldc = p->ldc;                                              \
        const REAL *A = p->A, *S = p->S, *H = p->H;                                               \
        REAL *C = p->C;                                                                           \
        PART last = p->last;                                                                      \
                                                                                                  \
        ML__OPAQUE(a_step);                                                                       \
        ML__OPAQUE(b_step);                                                                       \
        ML__KEEP_ROWS_14();                                                                       \
        for (; n_tiles > 0; n_tiles--) {                                                          \
            const char *a = (const char *)A;                                                      \
            const REAL *b = p->terms[0].B, *s = S, *h = H;                                        \
            REAL *c = C;                                                                          \
            ML__ROWS_##M(ML__DECLARE_ROW, V);                                                     \
                                                                                                  \
            if (s) {                                                                              \
                ML__ROWS_##M(ML__START_ROW, V);                                                   \
                if (p->beta != 1) {                                                               \
                    const VECTOR beta = BROADCAST(&p->beta);                                      \
                    ML__ROWS_##M(ML__SCALE_ROW, V);                                               \
                }                                                                                 \
                S += M * s_row;                                                                   \
            }                                                                                     \
            for (size_t q = p->k_masked; q > 0; q--) {                                            \
                KEEP_PART(last);                                                                  \
                ML__TERM(M, V, ML__LOAD_B_PART)                                                   \
            }                                                                                     \
            for (const NAME(terms) *t = p->terms; t < p->terms + 2; t++) {                        \
                b = t->B;                                                                         \
                for (size_t q = t->k; q > 0; q--) {                                               \
                    ML__TERM(M, V, ML__LOAD_B)                                                    \
                }                                                                                 \
                ML__OPAQUE(t);                                                                    \
            }                                                                                     \
            if (p->relu) {                                                                        \
                ML__ROWS_##M(ML__RELU_ROW, V);                                                    \
            }                                                                                     \
            if (h) {                                                                              \
                const size_t ldh = p->ldh;                                                        \
                ML__ROWS_##M(ML__OPEN_ROW, V);                                                    \
                H += M * ldh;                                                                     \
            }                                                                                     \
            ML__ROWS_##M(ML__STORE_ROW, V);                                                       \
            A += M * p->a_row;                                                                    \
            C += M * ldc;                                                                         \
        }                                                                                         \
    }

/* One row of C, of V vectors: b is a row of B and moves on. */
#define ML__ROW_TERMS(V, LOAD_VECTOR)                      \
    _Pragma("GCC unroll 4") for (size_t q = 0; q < k; q++) \
    {                                                      \
        const VECTOR x = BROADCAST(a + q);                 \
        ML__VECTORS_##V(LOAD_VECTOR, 0, V);                \
        ML__VECTORS_##V(ML__ADD_TERM, 0, V);               \
        b += ldb;                                          \
    }

/* The same chains as those of a tile; n columns, s is what they start from or NULL. */
#define ML__ROW(V)                                                                                                    \
    static void NAME(row_##V)(size_t n, size_t k, const REAL *a, const REAL *b, size_t ldb, const REAL *s, bool relu, \
                              REAL *c)                                                                                \
    {                                                                                                                 \
        const bool whole = n == V * LANES;                                                                            \
        const PART last = PART_OF(n - (V - 1) * LANES);                                                               \
        ML__VECTORS_##V(ML__DECLARE, 0, V);                                                                           \
                                                                                                                      \
        if (s) {                                                                                                      \
            ML__VECTORS_##V(ML__START, 0, V);                                                                         \
        }                                                                                                             \
        if (whole) {                                                                                                  \
            ML__ROW_TERMS(V, ML__LOAD_B)                                                                              \
        } else {                                                                                                      \
            ML__ROW_TERMS(V, ML__LOAD_B_PART)                                                                         \
        }                                                                                                             \
        if (relu) {                                                                                                   \
            ML__VECTORS_##V(ML__RELU, 0, V);                                                                          \
        }                                                                                                             \
        ML__VECTORS_##V(ML__STORE, 0, V);                                                                             \
    }

/* One term of chain i, times x. */
#define ML__CHAIN_TERM(i, V, LOAD_VECTOR, ELEMENT)                                       \
    {                                                                                    \
        const VECTOR x = ELEMENT;                                                        \
        ML__VECTORS_##V(LOAD_VECTOR, 0, V) ML__VECTORS_##V(ML__ADD_TERM, i, V) b += ldb; \
    }
#define ML__CHAIN_WHOLE(i, V) ML__CHAIN_TERM(i, V, ML__LOAD_B, CHAIN_ELEMENT(i))
#define ML__CHAIN_PART(i, V) ML__CHAIN_TERM(i, V, ML__LOAD_B_PART, CHAIN_ELEMENT(i))
#define ML__JOIN_1(i, v, V)
#define ML__JOIN_2(i, v, V) c0_##v += c1_##v;
#define ML__JOIN_4(i, v, V) c0_##v = (c0_##v + c1_##v) + (c2_##v + c3_##v);
#define ML__JOIN_8(i, v, V) c0_##v = ((c0_##v + c1_##v) + (c2_##v + c3_##v)) + ((c4_##v + c5_##v) + (c6_##v + c7_##v));
#define ML__STORE_WHOLE(i, v, V) STORE(c + v * LANES, c##i##_##v);

/* The same row in M chains, of which term q belongs to q mod M; those that are left over to the first. Whole vectors are
 * stored. */
#define ML__CHAINS(V, M)                                                                                      \
    static void NAME(chains_##V)(size_t n, size_t k, const REAL *a, const REAL *b, size_t ldb, const REAL *s, \
                                 bool relu, REAL *c)                                                          \
    {                                                                                                         \
        enum { chains = M };                                                                                  \
        const PART last = PART_OF(n - (V - 1) * LANES);                                                       \
        ML__ROWS_##M(ML__DECLARE_ROW, V);                                                                     \
                                                                                                              \
        if (s) {                                                                                              \
            ML__VECTORS_##V(ML__START, 0, V);                                                                 \
        }                                                                                                     \
        if (n == V * LANES) {                                                                                 \
            for (; k >= M; k -= M, a += M) {                                                                  \
                ML__ROWS_##M(ML__CHAIN_WHOLE, V);                                                             \
            }                                                                                                 \
        } else {                                                                                              \
            for (; k >= M; k -= M, a += M) {                                                                  \
                ML__ROWS_##M(ML__CHAIN_PART, V);                                                              \
            }                                                                                                 \
        }                                                                                                     \
        for (; k > 0; k--, a++)                                                                               \
            ML__CHAIN_TERM(0, V, ML__LOAD_B_PART, BROADCAST(a));                                              \
        ML__VECTORS_##V(ML__JOIN_##M, 0, V);                                                                  \
        if (relu) {                                                                                           \
            ML__VECTORS_##V(ML__RELU, 0, V);                                                                  \
        }                                                                                                     \
        ML__VECTORS_##V(ML__STORE_WHOLE, 0, V);                                                               \
    }

/* The step of Adam of a row that waits; only the last vector of it can be partial. */
#define ML__ADAM_VECTOR(i, v, V) \
    NAME(adam_vector)            \
    (adam, g + v * LANES, w + v * LANES, mean + v * LANES, square + v * LANES, v < V - 1 || is_whole, waiting_last);

/* A tile of M rows, after `spread` terms of which follows each row of those that wait, of as many vectors. */
#define ML__ADAM_TILE(M, V)                                                                          \
    static void NAME(adam_tile_##M##_##V)(const NAME(adam) * adam, const NAME(panel) * p, REAL * c)  \
    {                                                                                                \
        size_t row1 = p->a_row * sizeof(REAL), row3 = 3 * row1, row5 = 5 * row1, row7 = 7 * row1;    \
        size_t row9 = 9 * row1, row11 = 11 * row1, row13 = 13 * row1;                                \
        size_t a_step = p->a_term * sizeof(REAL), b_step = p->ldb * sizeof(REAL);                    \
        const size_t s_row = p->s_row, ldc = V * LANES, n_waiting = adam->waiting.m;                 \
        const size_t k = p->terms[0].k, spread = n_waiting > 0 ? k / n_waiting : 0;                  \
        const char *a = (const char *)p->A;                                                          \
        const REAL *b = p->terms[0].B, *s = p->S, *g = adam->waiting.G;                              \
        const PART last = p->last;                                                                   \
        const PART waiting_last = n_waiting > 0 ? PART_OF(adam->waiting.n - (V - 1) * LANES) : last; \
        const bool is_whole = adam->waiting.n == V * LANES;                                          \
        size_t at = adam->waiting.at, soon = p->i * adam->ldw + p->j;                                \
        ML__ROWS_##M(ML__DECLARE_ROW, V);                                                            \
                                                                                                     \
        ML__OPAQUE(a_step);                                                                          \
        ML__OPAQUE(b_step);                                                                          \
        ML__KEEP_ROWS_14();                                                                          \
        if (s) {                                                                                     \
            const VECTOR beta = BROADCAST(&p->beta);                                                 \
            ML__ROWS_##M(ML__START_ROW, V);                                                          \
            ML__ROWS_##M(ML__SCALE_ROW, V);                                                          \
        }                                                                                            \
        for (size_t q = p->k_masked; q > 0; q--) {                                                   \
            ML__TERM(M, V, ML__LOAD_B_PART)                                                          \
        }                                                                                            \
        b = p->k_masked > 0 ? p->terms[0].B : b;                                                     \
        for (size_t row = 0; row < n_waiting; row++) {                                               \
            for (size_t q = spread; q > 0; q--) {                                                    \
                ML__TERM(M, V, ML__LOAD_B)                                                           \
                __asm__("" : "+r"(a), "+r"(b));                                                      \
            }                                                                                        \
            if (row < M)                                                                             \
                NAME(fetch)(adam, soon, V * LANES);                                                  \
            soon += adam->ldw;                                                                       \
            REAL *w = adam->weights + at, *mean = adam->means + at, *square = adam->squares + at;    \
            ML__VECTORS_##V(ML__ADAM_VECTOR, 0, V);                                                  \
            g += ldc;                                                                                \
            at += adam->ldw;                                                                         \
        }                                                                                            \
        for (size_t q = k - spread * n_waiting; q > 0; q--) {                                        \
            ML__TERM(M, V, ML__LOAD_B)                                                               \
        }                                                                                            \
        b = p->terms[1].B;                                                                           \
        for (size_t q = p->terms[1].k; q > 0; q--) {                                                 \
            ML__TERM(M, V, ML__LOAD_B)                                                               \
        }                                                                                            \
        ML__ROWS_##M(ML__STORE_ROW, V);                                                              \
    }

#define NOINLINE __attribute__((noinline))

/* ---- sizes ---- */

enum {
    COLUMN_TERMS = 48,    /* a product with a vector is no chain from this many terms on */
    COPY_ROWS = 64,       /* B is copied when this many rows */
    COPY_TERMS = 32,      /* and terms pay for it */
    SMALL_B = 1 << 13,    /* bytes of B that stay in the first cache as they are */
    BUFFER = 14336,       /* bytes of stack that it is copied to */
    MOST_TERMS = 224,     /* that two of these take, of the widest panels of many rows: they stay in the first cache */
    BLOCK_K = 672,        /* terms between two passes over C */
    BLOCK_K_SHARED = 256, /* when they share sets of the caches */
    TALL_SHARED = 10,     /* rows of a tile that do */
    BLOCK_A = 1 << 19,    /* bytes of A that stay in the second cache while all panels pass */
    LARGE_C = 1 << 20,    /* bytes of C that do not stay there */
    BLOCK_C = 1 << 16,    /* of which this much is then written before all panels pass again */
    TILE_ROWS = 14,       /* of the tallest tile */
    TILE_VECTORS = 8,     /* of the widest */
    FEW_TERMS = 16,       /* with fewer, time goes into steps of Adam, */
    ADAM_ROWS_FEW = 8     /* and their tiles have at most this many rows */
};

/* Vectors in a panel of fewer than four rows */
static const size_t WIDE[] = {0, 8, 4, 3};

static inline size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Whether lines this many bytes apart fall into the same few sets of a cache, and drive each other out. */
static inline bool share_sets(size_t step)
{
    return step % 4096 == 0;
}

/* The size of the blocks, at most `largest` and multiples of `unit`, that cut n most evenly. */
static inline size_t even_blocks(size_t n, size_t largest, size_t unit)
{
    if (n <= largest)
        return max(n, 1);
    const size_t n_blocks = (n + largest - 1) / largest;
    return min(((n + n_blocks - 1) / n_blocks + unit - 1) / unit * unit, largest / unit * unit);
}

#endif
