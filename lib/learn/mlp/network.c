/* SPDX-License-Identifier: Apache-2.0 */
/* The activations, and the network in both precisions. */
#include <string.h>

#include "learn/mlp/mlp.h"

/* init: 6 as Glorot & Bengio 2010, eq. 16; scikit-learn takes 2 for the logistic function. */
const ml__mlp_activation ml__mlp_activations[ML__MLP_N_ACTIVATIONS] = {
    [ML__MLP_RELU] = {ML__MLP_RELU, ML__RELU, false, 6},
    [ML__MLP_TANH] = {ML__MLP_TANH, ML__TANH, false, 6},
    [ML__MLP_LOGISTIC] = {ML__MLP_LOGISTIC, ML__LOGISTIC, false, 2},
    [ML__MLP_IDENTITY] = {ML__MLP_IDENTITY, ML__IDENTITY, false, 6},
    [ML__MLP_LEAKY_RELU] = {ML__MLP_LEAKY_RELU, ML__IDENTITY, false, 6},
    [ML__MLP_ELU] = {ML__MLP_ELU, ML__IDENTITY, false, 6},
    [ML__MLP_GELU] = {ML__MLP_GELU, ML__IDENTITY, true, 6},
    [ML__MLP_SOFTPLUS] = {ML__MLP_SOFTPLUS, ML__IDENTITY, false, 6},
};

ml_status ml__mlp_theta_length(const ml__mlp_shape *shape, size_t *length)
{
    size_t n = 0;

    for (size_t l = 0; l < shape->L; l++) {
        size_t n_layer;
        if (!ml__size_mul(shape->n[l], shape->n[l + 1], &n_layer))
            return ml__fail(ML_E_MEMORY, "the weights of layer %zu (%zu x %zu) do not fit in memory", l, shape->n[l],
                            shape->n[l + 1]);
        if (shape->tied_to[l] != ML__MLP_NOT_TIED)
            n_layer = 0;
        if (!ml__size_add(n_layer, shape->n[l + 1], &n_layer) || !ml__size_add(n, n_layer, &n))
            return ml__fail(ML_E_MEMORY, "the weights of %zu layers do not fit in memory", shape->L);
    }
    *length = n;
    return ML_OK;
}

#define R float
#define NAME(name) ml__mlp_##name
#define CREW ml__crew_f32
#define KERNELS ml__kernels_f32
#define PRODUCT(name) ML__PRODUCT_F32(name)
#include "learn/mlp/activations_tmpl.h"
#include "learn/mlp/layers_tmpl.h"
#include "learn/mlp/losses_tmpl.h"
#undef R
#undef NAME
#undef CREW
#undef KERNELS
#undef PRODUCT

#define R double
#define NAME(name) ml__mlp64_##name
#define CREW ml__crew_f64
#define KERNELS ml__kernels_f64
#define PRODUCT(name) ML__PRODUCT_F64(name)
#include "learn/mlp/activations_tmpl.h"
#include "learn/mlp/layers_tmpl.h"
#include "learn/mlp/losses_tmpl.h"
