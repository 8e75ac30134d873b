/* SPDX-License-Identifier: Apache-2.0 */
/* Fitted networks: layers as tensors, and outputs for rows. What the kinds of networks have in common. */
#ifndef ML__LEARN_MLP_LAYERED_H
#define ML__LEARN_MLP_LAYERED_H

#include "learn/mlp/mlp.h"

/* How an output follows from its columns of the last layer; stored in model files: append only. */
enum { ML__MLP_SOFTMAX, ML__MLP_LOGISTIC_OUTPUT, ML__MLP_LINEAR, ML__MLP_N_LINKS };

/* The state of a fitted model. */
typedef struct ml__mlp_fitted {
    ml__mlp_net net;
    size_t n_outputs;
    const int32_t *links; /* n_outputs */
    size_t n_transferred; /* first layers that came from another model */
    bool is_autoencoder;
    size_t code; /* of an autoencoder: the layer whose outputs are the code */
} ml__mlp_fitted;

/* clang-format off */
#define ML__MLP_TENSORS                                                                             \
    {"weights.*", ML_FLOAT32, "**", ML__FINITE},                                                    \
    {"biases.*", ML_FLOAT32, "*", ML__FINITE},                                                      \
    {"activations", ML_INT32, "*", ML__NON_NEGATIVE},                                               \
    {"links", ML_INT32, "*", ML__NON_NEGATIVE},                                                     \
    {"transferred", ML_INT32, "1", ML__NON_NEGATIVE | ML__OPTIONAL},                                \
    {"loss_curve", ML_FLOAT64, "*", ML__FINITE},                                                    \
    {"validation_loss", ML_FLOAT64, "*", ML__ANY | ML__OPTIONAL},                                   \
    {"validation_scores", ML_FLOAT64, "*", ML__ANY | ML__OPTIONAL},                                 \
    {"optimiser.progress", ML_FLOAT64, "*", ML__FINITE | ML__NON_NEGATIVE | ML__OPTIONAL},          \
    {"optimiser.vectors.0", ML_FLOAT32, "*", ML__FINITE | ML__OPTIONAL},                            \
    {"optimiser.vectors.1", ML_FLOAT32, "*", ML__FINITE | ML__NON_NEGATIVE | ML__OPTIONAL}
/* clang-format on */

/* Parameters that do not go together: the kinds' `check`. */
ml_status ml__mlp_check(const ml_model *model);
/* Tensors of what was trained; links [n_links]. keeps: the optimiser's state too. */
ml_status ml__mlp_publish(ml__fit *f, const ml__mlp_trained *trained, const int32_t *links, size_t n_links, bool keeps);
/* Checks the tensors and fills in `fitted`, with n_links links; is_autoencoder and code are set before. The net has n_in
 * inputs. */
ml_status ml__mlp_link(const ml_model *model, const ml__learned *learned, size_t n_in, size_t n_links,
                       ml__mlp_fitted *fitted);
/* Outputs of layers [first, end) for n rows of x, as doubles; scratch as ml__mlp_scratch() says. ML_E_NUMERIC when one is
 * not finite. */
ml_status ml__mlp_outputs(const ml_model *model, size_t first, size_t end, size_t n, const float *x, double *out,
                          ml__scratch scratch);
/* The same for a row that is alone: in an order of summation of its own (layer_row of the kernels), *out in the scratch,
 * which is moved behind it. */
ml_status ml__mlp_row_outputs(const ml_model *model, size_t first, size_t end, const float *x, ml__scratch *scratch,
                              const float **out);
size_t ml__mlp_scratch(const ml_model *model, size_t n);

#endif
