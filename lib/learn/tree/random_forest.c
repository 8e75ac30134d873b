/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random forest (Breiman 2001, "Random forests"): trees on bootstrap samples that look at a random part of the features
 * in each node; the prediction is the mean of the trees' class shares or values (see forest.c, grow.c and split.c).
 */
#include "learn/tree/tree.h"

static const ml__param PARAMS[] = {
    ML__FOREST_PARAMS("true", "255"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    return ml__forest_fit(f, false);
}

const ml__kind ml__random_forest = ML__FOREST_KIND("random_forest", "Random forest for labels or reals", PARAMS, fit);
