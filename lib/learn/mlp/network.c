/* SPDX-License-Identifier: Apache-2.0 */
/* The network for float32, the precision of training and prediction. */
#include <string.h>

#include "learn/mlp/mlp.h"

#define R float
#define NAME(name) ml__mlp_##name
#define KERNELS ml__kernels_f32
#include "learn/mlp/layers_tmpl.h"
#include "learn/mlp/losses_tmpl.h"
