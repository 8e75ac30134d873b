/* SPDX-License-Identifier: Apache-2.0 */
/* The activations, and the network for float32, the precision of training and prediction. */
#include "learn/mlp/mlp.h"

/* init: 6 as Glorot & Bengio 2010, eq. 16; scikit-learn takes 2 for the logistic function. */
const ml__mlp_activation ml__mlp_activations[ML__MLP_N_ACTIVATIONS] = {
    [ML__MLP_RELU] = {ML__RELU, 6},
    [ML__MLP_TANH] = {ML__TANH, 6},
    [ML__MLP_LOGISTIC] = {ML__LOGISTIC, 2},
    [ML__MLP_IDENTITY] = {ML__IDENTITY, 6},
};

#define R float
#define NAME(name) ml__mlp_##name
#define CREW ml__crew_f32
#define PRODUCT(name) ML__PRODUCT_F32(name)
#include "learn/mlp/layers_tmpl.h"
#include "learn/mlp/losses_tmpl.h"
