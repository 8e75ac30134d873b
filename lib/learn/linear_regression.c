/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linear least squares and ridge regression, for one or several real outputs.
 *
 * Model       y_o = b_o + coef_o . x
 * Objective   sum_i w_i ||y_i - b - coef x_i||^2 + alpha ||coef||_F^2,  the intercept b not penalised
 * Solution    with weighted means mx, my:  A_i = sqrt(w_i) (x_i - mx),  B_i = sqrt(w_i) (y_i - my);
 *             coef' = argmin ||A X - B||^2 + alpha ||X||^2,  b = my - coef mx   (no intercept: mx = my = 0, b = 0)
 *             alpha = 0: least squares of least norm (least_squares.c). alpha > 0 is a least-squares problem as well:
 *             n >= d: sqrt(alpha) I appended below A, zeros below B;
 *             n < d:  sqrt(alpha) I appended right of A: the shortest (X, V) with A X + sqrt(alpha) V = B, in which
 *             V = (B - A X) / sqrt(alpha), so that its length is the objective over alpha.
 *
 * Symbols     n rows, d features, o outputs; coef [o x d], b = intercept [o], rank of A when alpha = 0, else d
 * Degenerate  collinear features or d > n: the solution of least norm. A constant feature is exactly 0 in A, since its
 *             mean is exact (moments.c), and gets coefficient 0.
 * Cost        n d^2 when well-conditioned, about four times as much otherwise; a copy of X, and another when it is not
 */
#include "learn/affine.h"
#include "learn/learn.h"
#include "learn/least_squares.h"
#include "learn/moments.h"

typedef struct {
    int64_t fit_intercept;
    double alpha;
} params;

static const ml__param PARAMS[] = {
    ML__BOOL(params, fit_intercept, "true", "learn an intercept; without it the plane goes through the origin"),
    ML__REAL(params, alpha, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),
             "strength of the L2 penalty on the coefficients (ridge regression); 0 is ordinary least squares"),
    ML__PARAMS_END,
};

static const ml__tensor_rule TENSORS[] = {
    {"coef", ML_FLOAT64, "od", ML__FINITE},
    {"intercept", ML_FLOAT64, "o", ML__FINITE},
    {"rank", ML_INT64, "1", ML__NON_NEGATIVE},
    {NULL, 0, NULL, 0},
};

/* The problem as ml__least_squares() takes it: with the rows or columns of the penalty. */
typedef struct {
    size_t n, d, o;
    size_t n_total, d_total;
    double *A, *B, *X;
} equations;

static ml_status create_system(ml__fit *f, double alpha, equations *s)
{
    size_t n_values;
    ml_status st = ML_OK;

    *s = (equations){.n = f->n, .d = f->d, .o = f->n_outputs, .n_total = f->n, .d_total = f->d};
    if (alpha > 0 && f->n >= f->d)
        s->n_total += f->d;
    else if (alpha > 0)
        s->d_total += f->n;
    ML__CHECK(ml__size_mul(s->n_total, s->d_total, &n_values), ML_E_MEMORY, "%zu x %zu values do not fit in memory",
              s->n_total, s->d_total);
    ML__NEW(f->scratch, s->A, n_values);
    ML__NEW(f->scratch, s->B, s->n_total * s->o);
    ML__NEW(f->scratch, s->X, s->d_total * s->o);
done:
    return st;
}

/* to[i, j] = sqrt(w_i) (from[i, j] - mean_j), to with `stride` elements per row. Without the tail of the mean a huge
 * offset would leave columns that are not orthogonal to the intercept. */
static void centre(size_t n, size_t d, const double *from, const double *w, const ml__moments *m, double *to,
                   size_t stride)
{
    for (size_t i = 0; i < n; i++) {
        const double root = sqrt(w[i]);
        for (size_t j = 0; j < d; j++)
            to[i * stride + j] = root * (from[i * d + j] - m->mean[j] - m->tail[j]);
    }
}

static void append_penalty(const equations *s, double alpha)
{
    const bool below = s->n_total > s->n;
    const size_t count = below ? s->d : s->n;

    for (size_t i = 0; i < count; i++)
        s->A[below ? (s->n + i) * s->d_total + i : i * s->d_total + s->d + i] = sqrt(alpha);
}

static ml_status build_system(ml__fit *f, double alpha, bool with_intercept, ml__moments *mx, ml__moments *my,
                              equations *s)
{
    const double *X, *Y = ml__fit_targets(f), *w = ml__fit_weights(f);
    ml_status st = Y && w ? ML_OK : ML_E_MEMORY;

    ML__TRY(st);
    ML__TRY(ml__fit_matrix_f64(f, &X));
    ML__TRY(create_system(f, alpha, s));
    if (with_intercept) {
        ML__TRY(ml__moments_of(f->scratch, X, f->n, f->d, w, mx));
        ML__TRY(ml__moments_of(f->scratch, Y, f->n, s->o, w, my));
    } else {
        ML__NEW(f->scratch, mx->mean, s->d);
        ML__NEW(f->scratch, mx->tail, s->d);
        ML__NEW(f->scratch, my->mean, s->o);
        ML__NEW(f->scratch, my->tail, s->o);
    }
    centre(s->n, s->d, X, w, mx, s->A, s->d_total);
    centre(s->n, s->o, Y, w, my, s->B, s->o);
    if (alpha > 0)
        append_penalty(s, alpha);
    for (size_t i = 0; i < s->n * s->d_total; i++)
        ML__CHECK(isfinite(s->A[i]), ML_E_NUMERIC, "feature '%s' overflows when its mean is taken off",
                  f->schema->features[i % s->d_total].name);
done:
    return st;
}

static ml_status publish(ml__fit *f, const equations *s, const ml__moments *mx, const ml__moments *my, size_t rank)
{
    double *coef, *intercept;
    int64_t *published_rank;
    ml_status st = ML_OK;

    ML__PUBLISH(f, coef, "coef", ML_FLOAT64, s->o, s->d);
    ML__PUBLISH(f, intercept, "intercept", ML_FLOAT64, s->o);
    ML__PUBLISH(f, published_rank, "rank", ML_INT64, 1);
    for (size_t o = 0; o < s->o; o++) {
        double tail = my->tail[o];

        intercept[o] = my->mean[o];
        for (size_t j = 0; j < s->d; j++) {
            const double c = s->X[j * s->o + o];
            coef[o * s->d + j] = c;
            intercept[o] -= c * mx->mean[j];
            tail -= c * mx->tail[j];
        }
        intercept[o] += tail;
    }
    *published_rank = (int64_t)rank;
done:
    return st;
}

static ml_status fit(ml__fit *f)
{
    const params *p = f->params;
    ml__moments mx = {0}, my = {0};
    equations s;
    size_t rank;
    ml_status st;

    ML__TRY(build_system(f, p->alpha, p->fit_intercept, &mx, &my, &s));
    ML__TRY(ml__least_squares(f->scratch, s.n_total, s.d_total, s.o, s.A, s.B, s.X, &rank));
    ML__TRY(publish(f, &s, &mx, &my, p->alpha > 0 ? s.d : rank));
    ML__TRY(ml__fit_step(f, 1, 1, "", NAN));
done:
    return st;
}

const ml__kind ml__linear_regression = {
    .name = "linear_regression",
    .doc = "Linear regression by least squares, with an optional L2 penalty (ridge)",
    .tasks = ML__REGRESS,
    .accepts = ML__WEIGHTS | ML__MULTI_OUTPUT,
    .real = ML_FLOAT64,
    .params = PARAMS,
    .params_size = sizeof(params),
    .tensors = TENSORS,
    .fit = fit,
    .prepare = ml__affine_prepare,
    .values = ml__affine_predict,
};
