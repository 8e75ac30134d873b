/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics of real predictions, per output and averaged over outputs with equal shares (scikit-learn's uniform_average).
 *
 * With e = y − ŷ, W = Σ w and the weighted mean ȳ:
 *     MSE = Σ w e² / W      RMSE = √MSE      MAE = Σ w |e| / W      R² = 1 − Σ w e² / Σ w (y − ȳ)²
 * R² of a constant y is 1 when every error is 0 and 0 otherwise. ȳ is y_0 + Σ w (y − y_0) / W, so that a constant y has
 * deviations that are exactly 0. Squares are taken of values divided by a power of two near the largest, so that
 * only results that are out of range themselves overflow.
 */
#include <invar/metrics.h>

#include "base/context.h"
#include "base/processor.h"
#include "evaluate/input.h"

/* One output: rows are `stride` apart; the errors are those against `r`, whose rows are `r_stride` apart (0: a constant). */
typedef struct column {
    const double *y, *r, *w;
    size_t n, stride, r_stride;
} column;

/* Σ w |e| = 2^exponent absolute, Σ w e² = 4^exponent squares. */
typedef struct errors {
    int exponent;
    double absolute, squares;
} errors;

/* A quarter of error i: exact but for subnormal numbers, and finite whatever the two values are. */
static double quarter_error(const column *c, size_t i)
{
    return 0.25 * c->y[i * c->stride] - 0.25 * c->r[i * c->r_stride];
}

static errors errors_of(const column *c)
{
    ml__sum absolute = {0, 0}, squares = {0, 0};
    double largest = 0, unit;
    int exponent;

    for (size_t i = 0; i < c->n; i++)
        largest = fmax(largest, fabs(quarter_error(c, i)));
    frexp(largest, &exponent);
    exponent = exponent < -1000 ? -1000 : exponent; /* so that 2^-exponent is finite */
    unit = ldexp(1, -exponent);
    for (size_t i = 0; i < c->n; i++) {
        const double e = quarter_error(c, i) * unit, w = ml__row_weight(c->w, i);
        ml__sum_add(&absolute, w * fabs(e));
        ml__sum_add(&squares, w * e * e);
    }
    return (errors){exponent + 2, ml__sum_total(absolute), ml__sum_total(squares)};
}

static double weighted_mean(const column *c, double total)
{
    const double half = 0.5 * c->y[0];
    ml__sum sum = {0, 0};

    for (size_t i = 0; i < c->n; i++)
        ml__sum_add(&sum, ml__row_weight(c->w, i) / total * (0.5 * c->y[i * c->stride] - half));
    return 2 * (half + ml__sum_total(sum));
}

static double r2_of(const column *c, const errors *e, double total)
{
    const double mean = weighted_mean(c, total);
    const column around_mean = {c->y, &mean, c->w, c->n, c->stride, 0};
    const errors v = errors_of(&around_mean);

    if (!(v.squares > 0))
        return e->squares > 0 ? 0 : 1;
    return 1 - ldexp(e->squares / v.squares, 2 * (e->exponent - v.exponent));
}

static ml_status check_values(const char *name, const double *y, size_t n, size_t n_outputs)
{
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < n_outputs; o++, y++)
            if (!isfinite(*y))
                return n_outputs == 1 ? ml__fail(ML_E_DATA, "%s: row %zu has %g, expected a finite number", name, i, *y)
                                      : ml__fail(ML_E_DATA, "%s: row %zu, output %zu has %g, expected a finite number",
                                                 name, i, o, *y);
    return ML_OK;
}

ml_status ml_metrics_regression(const double *y_true, const double *y_pred, const double *weights, size_t n,
                                size_t n_outputs, ml_regression_metrics *out)
{
    const ml__float_state host = ml__float_begin();
    ml_regression_metrics m = {.struct_size = sizeof m};
    double total;
    ml_status st;

    ML__CHECK(y_true && y_pred && out, ML_E_ARGUMENT, "%s is NULL", !y_true ? "y_true" : !y_pred ? "y_pred" : "out");
    ML__TRY(ml__metric_extent(n, n_outputs, "n_outputs"));
    ML__TRY(check_values("y_true", y_true, n, n_outputs));
    ML__TRY(check_values("y_pred", y_pred, n, n_outputs));
    ML__TRY(ml__metric_weights(weights, n, &total));
    for (size_t o = 0; o < n_outputs; o++) {
        const column c = {y_true + o, y_pred + o, weights, n, n_outputs, n_outputs};
        const errors e = errors_of(&c);
        const double share = 1 / (double)n_outputs;

        m.mse += share * ldexp(e.squares / total, 2 * e.exponent);
        m.rmse += share * ldexp(sqrt(e.squares / total), e.exponent);
        m.mae += share * ldexp(e.absolute / total, e.exponent);
        m.r2 += share * r2_of(&c, &e, total);
    }
    ML__TRY(ml__write_result(out, &m, sizeof m, "ml_regression_metrics"));
done:
    return ml__float_end(host, st);
}
