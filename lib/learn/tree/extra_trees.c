/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extremely randomised trees (Geurts, Ernst & Wehenkel 2006, "Extremely randomized trees"): as a random forest, but of each
 * feature that a node looks at one threshold is tried, drawn between its least and largest value in the node, or one cut of
 * its categories in a drawn order, and trees see all rows unless bootstrap is set (see forest.c, grow.c and split.c).
 */
#include "learn/tree/tree.h"

static const ml__param PARAMS[] = {
    ML__FOREST_PARAMS("false", "255"),
    ML__PARAMS_END,
};

static ml_status fit(ml__fit *f)
{
    return ml__forest_fit(f, true);
}

const ml__kind ml__extra_trees =
    ML__FOREST_KIND("extra_trees", "Extremely randomised trees for labels or reals", PARAMS, fit);
