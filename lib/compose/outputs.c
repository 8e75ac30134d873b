/* SPDX-License-Identifier: Apache-2.0 */
/* Comparing what composites and their members predict. */
#include <string.h>

#include "compose/compose.h"

static bool same_classes(const ml__output *a, const ml__output *b)
{
    if (a->n_classes != b->n_classes)
        return false;
    for (size_t k = 0; k < a->n_classes; k++)
        if (strcmp(a->classes[k], b->classes[k]) != 0)
            return false;
    return true;
}

bool ml__same_outputs(const ml__schema *a, const ml__schema *b)
{
    if (a->n_outputs != b->n_outputs)
        return false;
    for (size_t o = 0; o < a->n_outputs; o++)
        if (!same_classes(&a->outputs[o], &b->outputs[o]))
            return false;
    return true;
}
