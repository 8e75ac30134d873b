/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the multi-layer perceptron share.
 *
 *     mlp.c         theory and glossary; parameters, tensors, predictors, the kind
 *     train.c       data, batches, the loop over epochs, early stopping
 *     optimisers.c  one row per optimiser
 *     network.c     activations; forward and backward passes: layers_tmpl.h and losses_tmpl.h for float
 */
#ifndef ML__LEARN_MLP_MLP_H
#define ML__LEARN_MLP_MLP_H

#include "kernel/product.h"
#include "model/model.h"

enum { ML__MLP_MAX_LAYERS = ML__MAX_INTS + 1 };

/* Ids are positions in the parameter's choices and are stored in model files: append only. */
#define ML__MLP_ACTIVATIONS "relu|tanh|logistic|identity"
enum { ML__MLP_RELU, ML__MLP_TANH, ML__MLP_LOGISTIC, ML__MLP_IDENTITY, ML__MLP_N_ACTIVATIONS };
#define ML__MLP_OPTIMISERS "adam|sgd"
enum { ML__MLP_ADAM, ML__MLP_SGD, ML__MLP_N_OPTIMISERS };
enum { ML__MLP_CROSS_ENTROPY, ML__MLP_SQUARED_ERROR, ML__MLP_N_LOSSES };
#define ML__MLP_RATES "constant|invscaling|adaptive"
enum { ML__MLP_CONSTANT, ML__MLP_INVSCALING, ML__MLP_ADAPTIVE };

typedef struct ml__mlp_params {
    ml__ints hidden_layer_sizes;
    int64_t activation, solver;
    double alpha;
    ml__size batch_size;
    double learning_rate_init;
    int64_t learning_rate;
    double power_t;
    int64_t max_iter, shuffle, random_state;
    double tol, momentum;
    int64_t nesterovs_momentum, early_stopping;
    double validation_fraction;
    int64_t n_iter_no_change;
    double beta_1, beta_2, epsilon;
} ml__mlp_params;

/* Widths of the layers: n[0] = d features, n[l + 1] outputs of layer l, l < L. */
typedef struct ml__mlp_shape {
    size_t L, n[ML__MLP_MAX_LAYERS + 1];
} ml__mlp_shape;

/* A choice of activation: its function, and how far its initial weights go: they are uniform in
 * +-sqrt(init / (n_in + n_out)). */
typedef struct ml__mlp_activation {
    ml__activation f;
    double init;
} ml__mlp_activation;

extern const ml__mlp_activation ml__mlp_activations[ML__MLP_N_ACTIVATIONS]; /* network.c */

#define R float
#define NAME(name) ml__mlp_##name
#define CREW ml__crew_f32
#include "learn/mlp/network.h"
#undef R
#undef NAME
#undef CREW

/* ---- optimisers.c ---- */

typedef struct ml__mlp_solver ml__mlp_solver;

typedef struct ml__mlp_optimiser {
    size_t n_vectors; /* of state, each as long as theta */
    bool stores_gradient;
    void (*begin_step)(ml__mlp_solver *solver);
    /* A layer moves against its gradient: an ml__mlp_use of the solver. */
    ml_status (*move)(void *solver, const ml__mlp_factors *layer);
    /* n_seen rows have been used since the start, counting repetitions. */
    void (*epoch_ends)(ml__mlp_solver *solver, double n_seen);
    /* There is no progress any more: true to stop, false when a smaller learning rate shall try. */
    bool (*stalled)(ml__mlp_solver *solver);
} ml__mlp_optimiser;

enum { ML__MLP_MAX_VECTORS = 2 };

struct ml__mlp_solver {
    const ml__mlp_optimiser *kind;
    const ml__mlp_params *p;
    ml__crew_f32 crew;
    double rate; /* learning rate now */
    uint64_t t;  /* steps made */
    float *theta;
    size_t n;                            /* length of theta */
    float *vectors[ML__MLP_MAX_VECTORS]; /* n each */
    float *g;                            /* gradient of the largest layer, if stored */
};

extern const ml__mlp_optimiser ml__mlp_optimisers[ML__MLP_N_OPTIMISERS];
/* For the net whose weights are theta. */
ml_status ml__mlp_solver_init(ml__mlp_solver *solver, const ml__mlp_params *p, const ml__crew_f32 *crew,
                              const ml__mlp_shape *shape, float *theta, ml__arena *arena);
/* One step on a batch; J is its objective before. */
ml_status ml__mlp_step(ml__mlp_solver *solver, const ml__mlp_net *net, const ml__mlp_loss *loss, const ml__mlp_batch *x,
                       const ml__mlp_work *work, double *J);

/* ---- train.c ---- */

/* What training leaves, in f->scratch. */
typedef struct ml__mlp_trained {
    ml__mlp_net net;
    size_t n_epochs;
    double *loss_curve;        /* n_epochs */
    double *validation_scores; /* n_epochs, or NULL without early stopping */
} ml__mlp_trained;

/* Sets f->learned->stop_reason too. */
ml_status ml__mlp_train(ml__fit *f, const ml__mlp_shape *shape, ml__mlp_trained *out);

#endif
