/* SPDX-License-Identifier: Apache-2.0 */
#include "evaluate/input.h"

#include "base/memory.h"

ml_status ml__metric_weights(const double *weights, size_t n, double *total)
{
    ml__sum sum = {0, 0};
    ml_status st = ML_OK;

    for (size_t i = 0; i < n; i++) {
        const double w = ml__row_weight(weights, i);
        ML__CHECK(w >= 0 && isfinite(w), ML_E_DATA, "weights: row %zu has %g, expected a finite number >= 0", i, w);
        ml__sum_add(&sum, w);
    }
    ML__CHECK(ml__sum_total(sum) > 0 && isfinite(ml__sum_total(sum)), ML_E_DATA,
              "weights: the sum over %zu rows is %g, expected a positive, finite one", n, sum.value);
    if (total)
        *total = ml__sum_total(sum);
done:
    return st;
}

ml_status ml__metric_extent(size_t n, size_t width, const char *width_name)
{
    size_t n_values;
    ml_status st = ML_OK;

    ML__CHECK(n >= 1, ML_E_ARGUMENT, "n is 0, expected at least 1 row");
    ML__CHECK(width >= 1, ML_E_ARGUMENT, "%s is 0, expected at least 1", width_name);
    ML__CHECK(ml__size_mul(n, width, &n_values), ML_E_ARGUMENT, "%zu rows of %zu values are more than a size can say",
              n, width);
done:
    return st;
}

static bool is_class(double y, size_t n_classes)
{
    return y >= 0 && y < (double)n_classes && y == floor(y);
}

ml_status ml__metric_classes(const char *name, const double *y, size_t n, size_t n_outputs, const size_t *n_classes,
                             bool may_miss)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t o = 0; o < n_outputs; o++, y++) {
            if (is_class(*y, n_classes[o]) || (may_miss && isnan(*y)))
                continue;
            if (n_outputs == 1)
                return ml__fail(ML_E_DATA, "%s: row %zu has %g, expected a class index from 0 to %zu", name, i, *y,
                                n_classes[o] - 1);
            return ml__fail(ML_E_DATA, "%s: row %zu, output %zu has %g, expected a class index from 0 to %zu", name, i,
                            o, *y, n_classes[o] - 1);
        }
    }
    return ML_OK;
}
