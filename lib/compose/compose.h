/* SPDX-License-Identifier: Apache-2.0 */
/* The composites: models made of models. None of them knows which kinds exist. */
#ifndef ML__COMPOSE_COMPOSE_H
#define ML__COMPOSE_COMPOSE_H

#include "model/model.h"

extern const ml__kind ml__pipeline, ml__weighted_average;

/* The same outputs with the same classes, whatever the outputs are called. */
bool ml__same_outputs(const ml__schema *a, const ml__schema *b);

#endif
