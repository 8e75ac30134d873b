/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the parameter tables that all kinds of networks have: how they are trained. `P` is ml__mlp_params. */
#ifndef ML__LEARN_MLP_PARAMETERS_H
#define ML__LEARN_MLP_PARAMETERS_H

#include "learn/mlp/mlp.h"

/* clang-format off */
#define ML__MLP_TRAINING_PARAMS(P)                                                                                    \
    ML__CHOICE(P, solver, "adam", ML__MLP_OPTIMISERS, "optimiser; lbfgs takes all rows at once, for small data"),     \
    ML__REAL(P, alpha, "0.0001", ML__RANGE_OPEN_HIGH(0, INFINITY), "strength of the L2 penalty on the weights"),      \
    ML__REAL(P, l1, "0", ML__RANGE_OPEN_HIGH(0, INFINITY), "strength of the L1 penalty on the weights"),              \
    ML__SIZE_COUNTS(P, batch_size, "auto", ML__RANGE(1, 1e9), "auto", "rows per step; auto: 200 or all rows if fewer"),      \
    ML__REAL(P, learning_rate_init, "0.001", ML__RANGE_OPEN(0, INFINITY), "step size, of adam or at the start"),      \
    ML__CHOICE(P, learning_rate, "constant", ML__MLP_RATES,                                                           \
               "how the step size changes: not; for sgd only: falling with power_t, or divided by 5 when progress "   \
               "stalls; for all but lbfgs: to 0 along a cosine over max_iter epochs, those of partial_fit counted "   \
               "too, or times decay_rate every decay_epochs"),                                                        \
    ML__REAL(P, power_t, "0.5", ML__RANGE_OPEN_HIGH(0, INFINITY), "exponent of invscaling"),                          \
    ML__REAL(P, decay_rate, "0.1", ML__RANGE_OPEN_LOW(0, 1), "factor of learning_rate=step"),                         \
    ML__INT(P, decay_epochs, "30", ML__RANGE(1, 1e6), "epochs between the steps of learning_rate=step"),              \
    ML__REAL(P, warmup_epochs, "0", ML__RANGE_OPEN_HIGH(0, 1e6),                                                      \
             "epochs, or a part of one, in which the step size grows to its value"),                                  \
    ML__INT(P, max_iter, "200", ML__RANGE(1, 1e6), "the most epochs, or iterations of lbfgs"),                        \
    ML__INT(P, max_fun, "15000", ML__RANGE(1, 1e9), "the most evaluations of lbfgs"), \
    ML__BOOL(P, shuffle, "true", "new order of the rows in every epoch"),                                             \
    ML__RANDOM_STATE(P),                                                                                              \
    ML__BOOL(P, warm_start, "false", "a fit goes on from the weights of the last one, with a new optimiser"),         \
    ML__REAL(P, tol, "0.0001", ML__RANGE_OPEN_HIGH(0, INFINITY), "what counts as an improvement"),                    \
    ML__REAL(P, momentum, "0.9", ML__RANGE(0, 1), "of sgd"),                                                          \
    ML__BOOL(P, nesterovs_momentum, "true", "look ahead with the momentum of sgd"),                                   \
    ML__BOOL(P, early_stopping, "false",                                                                              \
             "hold rows out and stop when their score (accuracy, R2, or minus the loss of mixed outputs) no longer "  \
             "improves; not for lbfgs"),                                                                              \
    ML__REAL(P, validation_fraction, "0.1", ML__RANGE_OPEN(0, 1), "share of rows held out by early_stopping"),        \
    ML__INT(P, n_iter_no_change, "10", ML__RANGE(1, 1e6), "epochs without improvement that are put up with"),         \
    ML__REAL(P, beta_1, "0.9", ML__RANGE_OPEN_HIGH(0, 1), "decay of adam's first moment"),                            \
    ML__REAL(P, beta_2, "0.999", ML__RANGE_OPEN_HIGH(0, 1), "decay of adam's second moment"),                         \
    ML__REAL(P, epsilon, "1e-8", ML__RANGE_OPEN_HIGH(1e-30, INFINITY), "keeps adam from dividing by zero"),           \
    ML__REAL(P, weight_decay, "0.01", ML__RANGE(0, 1), "of adamw: share of a weight lost per step and unit of rate"), \
    ML__REAL(P, clip_norm, "0", ML__RANGE_OPEN_HIGH(0, INFINITY),                                                     \
             "the longest gradient of a step, longer ones are shortened; 0: as they are"),                            \
    ML__SIZE_COUNTS(P, transfer_layers, "auto", ML__RANGE(1, ML__MLP_MAX_LAYERS), ML__MLP_TRANSFERS,                         \
             "first layers taken from the model to start from: a number; auto: hidden layers that fit; encoder: up "  \
             "to the code of an autoencoder; all"),                                                                   \
    ML__INT(P, freeze_layers, "0", ML__RANGE(0, ML__MLP_MAX_LAYERS), "first layers that do not learn"),               \
    ML__REAL(P, transfer_rate, "1", ML__RANGE_OPEN_HIGH(0, INFINITY),                                                 \
             "factor of the step size of transferred layers")
/* clang-format on */

#endif
