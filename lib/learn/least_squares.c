/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear least squares: min ||A X - B||, and among the minimisers the one of least norm.
 *
 * Scaling     A = As D with D = diag(powers of two) such that every column of As has norm in [1/2, 1), exactly. Rank
 *             and condition are judged on As, so units of measurement do not matter; zero columns get coefficient 0.
 * Fast way    S = As'As = L L', X = S^-1 As'B, then one step of refinement with the residual of A itself:
 *             X += S^-1 As'(B - As X)  (corrected semi-normal equations, Bjorck 1987), which is as good as QR while
 *             cond(S) eps << 1. Taken when  trace(S) ||L^-1||_F^2,  a bound on cond(S), is below MAX_CONDITION.
 * Sure way    As P = Q R by Householder reflections with column pivoting (Golub & Van Loan, Matrix Computations, 4th
 *             ed., algorithm 5.4.1); rank r = number of |R_kk| > eps max(n, d) |R_11|.
 *             r = d: R Z = Q'B, X = D^-1 P Z, and the same refinement with S = R'R. r < d: the minimisers solve M' X =
 *             (Q'B)_1..r, M = D P R_1..r' [d x r]; with M = Q2 R2 the shortest one is X = Q2 R2'^-1 (Q'B)_1..r
 *             (complete orthogonal decomposition, ibid. 5.4.7). Least norm is that of X in the caller's units, not of
 *             the scaled problem.
 *
 * Symbols     n rows, d columns, o right-hand sides; i row, j, k column; A, B, X row-major; C, M column-major, so that
 *             a reflection runs along memory
 * Cost        n d^2 + d^3 / 3 the fast way, 2 n d^2 (min(n, d) steps) + 2 d r^2 the sure way, with a copy of A
 */
#include "learn/least_squares.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/kernel.h"

/* Refinement gains a factor of about 1 / (eps cond(S)) = 4e7 at this bound: full accuracy for one step. */
static const double MAX_CONDITION = 1e8;

typedef struct {
    size_t n, d, o;
    double *A, *B, *X;
    int *exponent; /* [d], of D */
} problem;

/* ---- scaling ---- */

/* Euclidean norm without overflow or underflow of squares. */
static double norm2(const double *x, size_t n, size_t stride)
{
    double largest = 0, sum = 0;

    for (size_t i = 0; i < n; i++) {
        const double size = fabs(x[i * stride]);
        largest = size > largest ? size : largest;
    }
    if (!(largest > 0) || isinf(largest))
        return largest;
    for (size_t i = 0; i < n; i++) {
        const double r = x[i * stride] / largest;
        sum += r * r;
    }
    return largest * sqrt(sum);
}

/* x 2^-exponent, element by element; a product rounds as ldexp does, but the factor must exist. */
static void divide_column(const problem *p, size_t j, int exponent)
{
    const bool has_factor = exponent > DBL_MIN_EXP && exponent < DBL_MAX_EXP - 1;
    const double factor = has_factor ? ldexp(1, -exponent) : 0;

    for (size_t i = 0; i < p->n; i++) {
        double *x = &p->A[i * p->d + j];
        *x = has_factor ? *x * factor : ldexp(*x, -exponent);
    }
}

static void scale_columns(const problem *p)
{
    for (size_t j = 0; j < p->d; j++) {
        (void)frexp(norm2(p->A + j, p->n, p->d), &p->exponent[j]);
        divide_column(p, j, p->exponent[j]);
    }
}

static void unscale_solution(const problem *p)
{
    for (size_t j = 0; j < p->d; j++)
        for (size_t r = 0; r < p->o; r++)
            p->X[j * p->o + r] = ldexp(p->X[j * p->o + r], -p->exponent[j]);
}

/* ---- the fast way ---- */

static double frobenius2(const double *L, size_t d)
{
    double sum = 0;

    for (size_t i = 0; i < d * d; i++)
        sum += L[i] * L[i];
    return sum;
}

/* X += S^-1 A'R with S = L L'. */
static void add_step(const problem *p, const double *L, const double *R, double *step)
{
    const ml__kernels_f64 *k = &ml__kernels_best()->f64;

    k->gemm_tn(p->d, p->o, p->n, p->A, p->d, R, p->o, 0, step, p->o);
    ml__solve_lower(p->d, p->o, L, p->d, step, p->o);
    ml__solve_lower_transposed(p->d, p->o, L, p->d, step, p->o);
    for (size_t i = 0; i < p->d * p->o; i++)
        p->X[i] += step[i];
}

/* R = B - A X */
static void residual(const problem *p, double *R)
{
    const ml__kernels_f64 *k = &ml__kernels_best()->f64;

    k->gemm_nn(p->n, p->o, p->d, p->A, p->d, p->X, p->o, 0, R, p->o);
    for (size_t i = 0; i < p->n * p->o; i++)
        R[i] = p->B[i] - R[i];
}

/* Leaves *solved false when the condition is too bad. */
static ml_status solve_normal_equations(ml__arena *scratch, const problem *p, size_t *rank, bool *solved)
{
    double *L, *inverse, *R, *step, trace = 0;
    size_t n_zero = 0, n_values;
    ml_status st = ML_OK;

    *solved = false;
    ML__CHECK(ml__size_mul(p->d, p->d, &n_values), ML_E_MEMORY, "%zu x %zu values do not fit in memory", p->d, p->d);
    ML__NEW(scratch, L, n_values);
    ML__NEW(scratch, inverse, n_values);
    ML__NEW(scratch, R, p->n * p->o);
    ML__NEW(scratch, step, p->d * p->o);
    ml__kernels_best()->f64.syrk_tn(p->d, p->n, p->A, p->d, 0, L, p->d);
    for (size_t j = 0; j < p->d; j++) {
        if (L[j * p->d + j] == 0) { /* a zero column: any pivot keeps its coefficient at 0 */
            L[j * p->d + j] = 1;
            n_zero++;
        }
        trace += L[j * p->d + j];
    }
    if (ml__cholesky(p->d, L, p->d) != 0)
        goto done;
    ml__invert_lower(p->d, L, p->d, inverse, p->d);
    if (!(trace * frobenius2(inverse, p->d) < MAX_CONDITION))
        goto done;
    memset(p->X, 0, p->d * p->o * sizeof *p->X);
    add_step(p, L, p->B, step);
    residual(p, R);
    add_step(p, L, R, step);
    *rank = p->d - n_zero;
    *solved = true;
done:
    return st;
}

/* ---- Householder QR, column-major ---- */

typedef struct {
    size_t n, d, steps; /* steps = min(n, d) */
    double *C;          /* R above the diagonal, the reflections v (v_1 = 1 implied) below it */
    double *diagonal, *beta;
    size_t *column; /* P: position k holds this column */
} qr;

static ml_status qr_create(ml__arena *scratch, size_t n, size_t d, qr *f)
{
    size_t n_values;
    ml_status st = ML_OK;

    f->n = n;
    f->d = d;
    f->steps = n < d ? n : d;
    ML__CHECK(ml__size_mul(n, d, &n_values), ML_E_MEMORY, "%zu x %zu values do not fit in memory", n, d);
    ML__NEW(scratch, f->C, n_values);
    ML__NEW(scratch, f->diagonal, f->steps);
    ML__NEW(scratch, f->beta, f->steps);
    ML__NEW(scratch, f->column, d);
    for (size_t j = 0; j < d; j++)
        f->column[j] = j;
done:
    return st;
}

/* y -= beta v (v'y) for reflection k, y of n elements. */
static void reflect(const qr *f, size_t k, double *y)
{
    const double *v = f->C + k * f->n;
    double s = y[k];

    for (size_t i = k + 1; i < f->n; i++)
        s += v[i] * y[i];
    s *= f->beta[k];
    y[k] -= s;
    for (size_t i = k + 1; i < f->n; i++)
        y[i] -= s * v[i];
}

/* The reflection that maps x = C_k[k..n] to (diagonal, 0, ...). */
static void make_reflection(qr *f, size_t k)
{
    double *x = f->C + k * f->n + k;
    const double norm = norm2(x, f->n - k, 1);

    f->diagonal[k] = x[0] > 0 ? -norm : norm;
    f->beta[k] = 0;
    if (norm > 0) {
        const double first = x[0] - f->diagonal[k];
        f->beta[k] = -first / f->diagonal[k];
        for (size_t i = 1; i < f->n - k; i++)
            x[i] /= first;
    }
}

static void swap_columns(qr *f, size_t a, size_t b)
{
    const size_t column = f->column[a];

    f->column[a] = f->column[b];
    f->column[b] = column;
    for (size_t i = 0; i < f->n && a != b; i++) {
        const double value = f->C[a * f->n + i];
        f->C[a * f->n + i] = f->C[b * f->n + i];
        f->C[b * f->n + i] = value;
    }
}

/* Position of the longest remaining column; the first of equals. */
static size_t longest_column(const qr *f, size_t k, const double *norms)
{
    size_t best = k;

    for (size_t j = k + 1; j < f->d; j++)
        if (norms[j] > norms[best])
            best = j;
    return best;
}

/* norms [d]: workspace for pivoting, or NULL for the columns as they come. Norms of what remains of a column are
 * updated, and taken afresh when cancellation has eaten half their digits. */
static void factor(qr *f, double *norms, double *fresh)
{
    for (size_t j = 0; norms && j < f->d; j++)
        norms[j] = fresh[j] = norm2(f->C + j * f->n, f->n, 1);
    for (size_t k = 0; k < f->steps; k++) {
        if (norms) {
            const size_t best = longest_column(f, k, norms);
            swap_columns(f, k, best);
            norms[best] = norms[k];
            fresh[best] = fresh[k];
        }
        make_reflection(f, k);
        for (size_t j = k + 1; j < f->d; j++) {
            double *y = f->C + j * f->n;

            reflect(f, k, y);
            if (!norms || !(norms[j] > 0))
                continue;
            const double ratio = y[k] / norms[j];
            norms[j] *= sqrt(fmax(0, (1 - ratio) * (1 + ratio)));
            if (norms[j] <= sqrt(DBL_EPSILON) * fresh[j])
                norms[j] = fresh[j] = norm2(y + k + 1, f->n - k - 1, 1);
        }
    }
}

static double r_at(const qr *f, size_t k, size_t j)
{
    return j == k ? f->diagonal[k] : f->C[j * f->n + k];
}

/* y[0..m) := R^-1 y, R the leading m x m triangle. */
static void solve_upper(const qr *f, size_t m, double *y)
{
    for (size_t k = m; k-- > 0;) {
        y[k] /= f->diagonal[k];
        for (size_t i = 0; i < k; i++)
            y[i] -= r_at(f, i, k) * y[k];
    }
}

/* y[0..m) := R'^-1 y */
static void solve_upper_transposed(const qr *f, size_t m, double *y)
{
    for (size_t k = 0; k < m; k++) {
        for (size_t i = 0; i < k; i++)
            y[k] -= r_at(f, i, k) * y[i];
        y[k] /= f->diagonal[k];
    }
}

/* ---- the sure way ---- */

static size_t count_rank(const qr *f)
{
    const double tolerance = DBL_EPSILON * (double)(f->n > f->d ? f->n : f->d);
    size_t r = 0;

    while (r < f->steps && fabs(f->diagonal[r]) > tolerance * fabs(f->diagonal[0]))
        r++;
    return r;
}

/* M = D P R_1..r', factored; see the top. */
static ml_status factor_row_space(ml__arena *scratch, const problem *p, const qr *f, size_t r, qr *m)
{
    ml_status st;

    ML__TRY(qr_create(scratch, p->d, r, m));
    for (size_t k = 0; k < r; k++)
        for (size_t j = k; j < p->d; j++)
            m->C[k * p->d + f->column[j]] = ldexp(r_at(f, k, j), p->exponent[f->column[j]]);
    factor(m, NULL, NULL);
done:
    return st;
}

/* The unique solution: Z from y = Q'b in place, refined, and put into column o of X. */
static void solve_unique(const problem *p, const qr *f, size_t o, double *y, double *residuals, double *step)
{
    solve_upper(f, p->d, y);
    for (size_t i = 0; i < p->n; i++) {
        residuals[i] = p->B[i * p->o + o];
        for (size_t k = 0; k < p->d; k++)
            residuals[i] -= p->A[i * p->d + f->column[k]] * y[k];
    }
    memset(step, 0, p->d * sizeof *step);
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < p->d; k++)
            step[k] += p->A[i * p->d + f->column[k]] * residuals[i];
    solve_upper_transposed(f, p->d, step);
    solve_upper(f, p->d, step);
    for (size_t k = 0; k < p->d; k++)
        p->X[f->column[k] * p->o + o] = ldexp(y[k] + step[k], -p->exponent[f->column[k]]);
}

/* x += the correction of the pivot columns that takes what is left of c - R P'D x. Where units differ widely the
 * shortest solution is only accurate next to its largest element; this makes what it predicts accurate. */
static void correct(const problem *p, const qr *f, size_t r, const double *c, double *e, double *x)
{
    for (size_t k = 0; k < r; k++) {
        e[k] = c[k];
        for (size_t j = k; j < p->d; j++)
            e[k] -= r_at(f, k, j) * ldexp(x[f->column[j]], p->exponent[f->column[j]]);
    }
    solve_upper(f, r, e);
    for (size_t k = 0; k < r; k++)
        x[f->column[k]] += ldexp(e[k], -p->exponent[f->column[k]]);
}

/* The shortest solution x of R P'D x = c = (Q'b)_1..r, put into column o of X. */
static void solve_shortest(const problem *p, const qr *f, size_t r, const qr *m, size_t o, const double *c, double *x,
                           double *e)
{
    memcpy(x, c, r * sizeof *x);
    memset(x + r, 0, (p->d - r) * sizeof *x);
    solve_upper_transposed(m, r, x);
    for (size_t k = r; k-- > 0;)
        reflect(m, k, x);
    correct(p, f, r, c, e, x);
    for (size_t j = 0; j < p->d; j++)
        p->X[j * p->o + o] = x[j];
}

static ml_status solve_orthogonal(ml__arena *scratch, const problem *p, size_t *rank)
{
    double *norms, *y, *work_n, *work_d;
    qr f, m = {0};
    ml_status st;

    ML__TRY(qr_create(scratch, p->n, p->d, &f));
    ML__NEW(scratch, norms, 2 * p->d);
    ML__NEW(scratch, y, p->n);
    ML__NEW(scratch, work_n, p->n > p->d ? p->n : p->d);
    ML__NEW(scratch, work_d, p->d);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->d; j++)
            f.C[j * p->n + i] = p->A[i * p->d + j];
    factor(&f, norms, norms + p->d);
    *rank = count_rank(&f);
    if (*rank < p->d)
        ML__TRY(factor_row_space(scratch, p, &f, *rank, &m));
    for (size_t o = 0; o < p->o; o++) {
        for (size_t i = 0; i < p->n; i++)
            y[i] = p->B[i * p->o + o];
        for (size_t k = 0; k < f.steps; k++)
            reflect(&f, k, y);
        if (*rank == p->d)
            solve_unique(p, &f, o, y, work_n, work_d);
        else
            solve_shortest(p, &f, *rank, &m, o, y, work_n, work_d);
    }
done:
    return st;
}

ml_status ml__least_squares(ml__arena *scratch, size_t n, size_t d, size_t o, double *A, double *B, double *X,
                            size_t *rank)
{
    problem p = {.n = n, .d = d, .o = o, .A = A, .B = B, .X = X};
    bool solved = false;
    ml_status st = ML_OK;

    ML__NEW(scratch, p.exponent, d);
    scale_columns(&p);
    if (n >= d)
        ML__TRY(solve_normal_equations(scratch, &p, rank, &solved));
    if (solved)
        unscale_solution(&p);
    else
        ML__TRY(solve_orthogonal(scratch, &p, rank));
done:
    return st;
}
