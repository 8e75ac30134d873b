/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the networks share.
 *
 *     mlp.c          theory and glossary; the kind "mlp": parameters, tensors, predictors
 *     autoencoder.c  the kind "autoencoder"
 *     layered.c      layers as tensors and back again, outputs for rows
 *     data.c         rows as the training wants them, batches, heads
 *     start.c        the weights at the start: drawn, learned before, or another model's; curves that go on
 *     train.c        the loop over epochs, early stopping
 *     held_out.c     loss and score of held-out rows
 *     search.c       training by L-BFGS
 *     optimisers.c   steps: one row per optimiser; learning rates
 *     network.c      the passes for float and double: activations_tmpl.h, losses_tmpl.h, layers_tmpl.h
 */
#ifndef ML__LEARN_MLP_MLP_H
#define ML__LEARN_MLP_MLP_H

#include "kernel/product.h"
#include "model/model.h"

enum { ML__MLP_MAX_LAYERS = ML__MAX_INTS + 1 };

/* Ids are positions in the parameter's choices; those of activations and losses are stored in model files: append only. */
#define ML__MLP_ACTIVATIONS "relu|tanh|logistic|identity|leaky_relu|elu|gelu|softplus"
enum {
    ML__MLP_RELU,
    ML__MLP_TANH,
    ML__MLP_LOGISTIC,
    ML__MLP_IDENTITY,
    ML__MLP_LEAKY_RELU,
    ML__MLP_ELU,
    ML__MLP_GELU,
    ML__MLP_SOFTPLUS,
    ML__MLP_N_ACTIVATIONS
};
#define ML__MLP_OPTIMISERS "adam|sgd|adamw|lbfgs"
enum { ML__MLP_ADAM, ML__MLP_SGD, ML__MLP_ADAMW, ML__MLP_LBFGS, ML__MLP_N_OPTIMISERS };
#define ML__MLP_LOSSES "auto|cross_entropy|binary_cross_entropy|squared_error|absolute_error|huber"
enum {
    ML__MLP_AUTO,
    ML__MLP_CROSS_ENTROPY,
    ML__MLP_BINARY_CROSS_ENTROPY,
    ML__MLP_SQUARED_ERROR,
    ML__MLP_ABSOLUTE_ERROR,
    ML__MLP_HUBER,
    ML__MLP_N_LOSSES
};
#define ML__MLP_OUTPUT_ACTIVATIONS "identity|logistic"
#define ML__MLP_NOISES "gaussian|masking"
enum { ML__MLP_GAUSSIAN, ML__MLP_MASKING };
#define ML__MLP_RATES "constant|invscaling|adaptive|cosine|step"
enum { ML__MLP_CONSTANT, ML__MLP_INVSCALING, ML__MLP_ADAPTIVE, ML__MLP_COSINE, ML__MLP_STEP };
#define ML__MLP_CLASS_WEIGHTS "none|balanced"
enum { ML__MLP_EQUAL, ML__MLP_BALANCED };
#define ML__MLP_TRANSFERS "auto|encoder|all"
enum { ML__MLP_TRANSFER_AUTO, ML__MLP_TRANSFER_ENCODER, ML__MLP_TRANSFER_ALL };

/* Parameters of all kinds of networks; a kind's table says which it has, the others stay 0. */
typedef struct ml__mlp_params {
    ml__ints hidden_layer_sizes;
    int64_t activation, output_activation, loss;
    double huber_delta;
    ml__reals loss_weights;
    ml__weights class_weight;
    int64_t solver;
    double alpha, l1;
    ml__reals dropout;
    ml__size batch_size;
    double learning_rate_init;
    int64_t learning_rate;
    double power_t, decay_rate, warmup_epochs;
    int64_t decay_epochs;
    int64_t max_iter, max_fun, shuffle, random_state, warm_start;
    double tol, momentum;
    int64_t nesterovs_momentum, early_stopping;
    double validation_fraction;
    int64_t n_iter_no_change;
    double beta_1, beta_2, epsilon, weight_decay, clip_norm;
    ml__size transfer_layers;
    int64_t freeze_layers;
    double transfer_rate;
    /* of autoencoders, whose encoder_layer_sizes are hidden_layer_sizes */
    ml__ints decoder_layer_sizes;
    int64_t code_size, code_activation, tied_weights, noise_kind;
    double reconstruction_weight, complexity_weight, noise;
} ml__mlp_params;

/* Widths of the layers: n[0] = d features, n[l + 1] outputs of layer l, l < L. A layer's weights may be those of an
 * earlier one transposed. */
enum { ML__MLP_NOT_TIED = ML__MLP_MAX_LAYERS };
typedef struct ml__mlp_shape {
    size_t L, n[ML__MLP_MAX_LAYERS + 1], tied_to[ML__MLP_MAX_LAYERS];
} ml__mlp_shape;

/* An activation: the function of the kernels that does it inside a product (else the identity); whether its derivative needs
 * z; and how far the initial weights go: they are uniform in +-sqrt(init / (n_in + n_out)). */
typedef struct ml__mlp_activation {
    int32_t id;
    ml__activation fused;
    bool needs_z;
    double init;
} ml__mlp_activation;

extern const ml__mlp_activation ml__mlp_activations[ML__MLP_N_ACTIVATIONS]; /* network.c */

/* Number of weights and biases, tied ones counted once; ML_E_MEMORY when it is beyond the address space. */
ml_status ml__mlp_theta_length(const ml__mlp_shape *shape, size_t *length);

/* pointer = a * b elements, or leave through `done:` */
#define ML__NEW_MATRIX(arena, pointer, a, b)                                                                     \
    do {                                                                                                         \
        size_t ml__n_elements;                                                                                   \
        ML__CHECK(ml__size_mul((a), (b), &ml__n_elements), ML_E_MEMORY, "%zu x %zu values do not fit in memory", \
                  (size_t)(a), (size_t)(b));                                                                     \
        ML__NEW(arena, pointer, ml__n_elements);                                                                 \
    } while (0)

#define R float
#define NAME(name) ml__mlp_##name
#define CREW ml__crew_f32
#define KERNELS ml__kernels_f32
#include "learn/mlp/network.h"
#undef R
#undef NAME
#undef CREW
#undef KERNELS

#define R double
#define NAME(name) ml__mlp64_##name
#define CREW ml__crew_f64
#define KERNELS ml__kernels_f64
#include "learn/mlp/network.h"
#undef R
#undef NAME
#undef CREW
#undef KERNELS

/* ---- data.c ---- */

/* Rows as the training reads them. */
typedef struct ml__mlp_rows {
    size_t n, d, n_labels, n_targets;
    const float *X;       /* n x d */
    const int32_t *label; /* n x n_labels, -1: unknown */
    const float *target;  /* n x n_targets, NaN: unknown; of an autoencoder X */
    const double *w;      /* n */
    double W;             /* sum of w */
} ml__mlp_rows;

/* What is trained, beside what the parameters say: the same for all kinds of networks. */
typedef struct ml__mlp_plan {
    ml__mlp_shape shape;
    bool is_autoencoder; /* targets are the features */
    size_t code;         /* of an autoencoder: the layer whose outputs are the code */
    int32_t loss;        /* of an autoencoder: ML__MLP_SQUARED_ERROR, … */
    bool continues;      /* from f->model->learned */
    bool is_partial;     /* one epoch, with the optimiser's state from before */
    const ml__mlp_activation *f[ML__MLP_MAX_LAYERS];
} ml__mlp_plan;

/* One batch's memory, of B rows. */
typedef struct ml__mlp_room {
    size_t B;
    float *X, *target, *share;
    int32_t *label;
} ml__mlp_room;

/* The rows of a dataset, which must live as long; `use` is for messages. */
ml_status ml__mlp_read_rows(const ml__fit *f, const ml__mlp_plan *plan, const ml_dataset *data, const char *use,
                            ml__mlp_rows *rows);
/* That the parameter `loss` suits all rows of a dataset; `use` is for messages. */
ml_status ml__mlp_check_loss(const ml__fit *f, const ml_dataset *data, const char *use);
/* The heads of the outputs, with weights of tasks and classes (balanced as in `training`); the objective lives in
 * f->scratch. When the rows are not those of the training an output may be lacking. */
ml_status ml__mlp_make_objective(const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *rows,
                                 const ml__mlp_rows *training, ml__mlp_objective *objective);
/* Has this output of labels one column, and the logistic function? Two classes, unless the loss is cross_entropy. */
bool ml__mlp_is_binary(const ml__mlp_params *p, const ml__output *output);
/* How many columns the heads need: one per class, real or binary output. */
size_t ml__mlp_n_columns(const ml__mlp_params *p, const ml__schema *schema);
/* Columns of one output. is_logistic: of labels, one for two classes */
size_t ml__mlp_columns_of(const ml__output *output, bool is_logistic);
/* is_disturbed: inputs get noise, so that they are no longer the targets of an autoencoder. */
ml_status ml__mlp_room_init(const ml__mlp_rows *rows, bool is_disturbed, size_t B, ml__arena *arena,
                            ml__mlp_room *room);
/* The given rows side by side, with shares w_i / W. */
ml__mlp_batch ml__mlp_gather(const ml__mlp_room *room, const ml__mlp_rows *rows, const size_t *order, size_t m,
                             double W);

/* ---- start.c ---- */

/* Weights at the start, into the bound net. *n_transferred: first layers that come from another model, in this fit or in the
 * one that it goes on from. */
ml_status ml__mlp_start(const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_net *net, size_t *n_transferred);
/* What an earlier fit recorded, if this one goes on; or NULL. */
const ml__named_tensor *ml__mlp_earlier(const ml__fit *f, const ml__mlp_plan *plan, const char *name);
/* Epochs, or iterations of L-BFGS, that it recorded. */
size_t ml__mlp_epochs_before(const ml__fit *f, const ml__mlp_plan *plan);
/* In f->scratch a curve of n epochs that begins with what was recorded before, NaN where nothing was; none when nothing ever
 * was and nothing is going to be (goes_on). */
ml_status ml__mlp_plan_curve(const ml__fit *f, const ml__mlp_plan *plan, const char *name, size_t n, bool goes_on,
                             double **curve);
/* starts_from of the networks' kinds. */
ml_status ml__mlp_starts_from(const ml_model *model, const ml_model *from);

/* ---- optimisers.c ---- */

typedef struct ml__mlp_solver ml__mlp_solver;

typedef struct ml__mlp_optimiser {
    size_t n_vectors; /* of state, each as long as theta */
    /* The factor of the rate in step t, from 1. */
    double (*correct)(const ml__mlp_params *p, double t);
    /* Theta [n] moves against the gradient g; `state` are the vectors at the same place. decays: weights, not biases. */
    void (*move)(const ml__mlp_solver *solver, size_t n, const float *g, double factor, bool decays, float *theta,
                 float *const *state);
    /* The same for a layer whose gradient is in factors, or NULL. factor: of the rate */
    ml_status (*move_layer)(const ml__mlp_solver *solver, const ml__mlp_factors *layer, double factor);
} ml__mlp_optimiser;

enum { ML__MLP_MAX_VECTORS = 2 };
/* Numbers in the tensor "optimiser.progress": steps, rows seen, solver, epochs. */
enum { ML__MLP_PROGRESS = 4 };

struct ml__mlp_solver {
    const ml__mlp_optimiser *kind;
    const ml__mlp_params *p;
    ml__crew_f32 crew;
    const ml__mlp_net *net;
    double rate;                            /* learning rate before schedules by epoch */
    double now, corrected;                  /* of this step; and as the optimiser applies it */
    double epochs, part;                    /* made before this one, whole or in parts; and of this one so far */
    double steps_per_epoch;                 /* of this one */
    double layer_rates[ML__MLP_MAX_LAYERS]; /* factors of the rate */
    uint64_t t;                             /* steps made */
    double n_seen;                          /* rows, counting repetitions */
    float *theta;                           /* n */
    size_t n;
    float *vectors[ML__MLP_MAX_VECTORS]; /* n each */
    float *g;                            /* n; NULL when layers move by their factors */
};

extern const ml__mlp_optimiser ml__mlp_optimisers[ML__MLP_N_OPTIMISERS];
/* For a bound net whose weights are theta [n]. */
ml_status ml__mlp_solver_init(ml__mlp_solver *solver, const ml__mlp_params *p, const ml__crew_f32 *crew,
                              const ml__mlp_net *net, size_t n, float *theta, ml__arena *arena);
/* One step on a batch; J is its objective before. */
ml_status ml__mlp_step(ml__mlp_solver *solver, const ml__mlp_objective *objective, const ml__mlp_batch *x,
                       const ml__mlp_work *work, double *J);
/* The learning rate of the next step. */
double ml__mlp_rate(const ml__mlp_solver *solver);
/* After an epoch, or the part of one that is done, of n rows. */
void ml__mlp_epoch_ends(ml__mlp_solver *solver, size_t n);
/* There is no progress any more: true to stop, false when a smaller learning rate shall try. */
bool ml__mlp_stalled(ml__mlp_solver *solver);

/* 1 / (1 + exp(-z)) */
static inline double ml__mlp_logistic(double z)
{
    return 1 / (1 + exp(-z));
}

/* ---- noise.c ---- */

/* The mask of a layer's n outputs in a step: 0 with probability `rate`, else 1 / (1 - rate). */
void ml__mlp_draw_mask(uint64_t seed, uint64_t step, size_t layer, double rate, size_t n, float *mask);
/* Adds normal noise of a standard deviation to n values. */
void ml__mlp_add_noise(const ml__kernels_f32 *k, uint64_t seed, uint64_t step, double deviation, size_t n, float *x);
/* Sets each of n values to 0 with probability `rate`. */
void ml__mlp_blank(uint64_t seed, uint64_t step, double rate, size_t n, float *x);

/* ---- held_out.c ---- */

typedef struct ml__mlp_held {
    const ml__mlp_rows *rows;
    ml__mlp_objective objective;   /* means over these rows */
    const size_t *order;           /* 0, 1, 2, … */
    bool scores_by_loss;           /* minus the loss is the score */
    struct ml__mlp_tally *tallies; /* n_out */
    double *totals;                /* n_targets: squares about the mean; -1: no row has the target */
} ml__mlp_held;

/* training: rows that the weights of balanced classes follow from. Memory is of f->scratch. */
ml_status ml__mlp_held_init(ml__mlp_held *held, const ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *rows,
                            const ml__mlp_rows *training);
/* Mean loss without penalties, and score: see held_out.c. */
ml_status ml__mlp_held_out(const ml__mlp_held *held, const ml__crew_f32 *crew, const ml__mlp_net *net,
                           const ml__mlp_work *work, const ml__mlp_room *room, double *loss, double *score);

/* ---- train.c and search.c ---- */

/* What training leaves, in f->scratch. */
typedef struct ml__mlp_trained {
    ml__mlp_net net;
    size_t n_epochs;
    double *loss_curve;           /* n_epochs */
    double *validation_loss;      /* n_epochs, NaN for those without held-out rows; NULL when there never were any */
    double *validation_scores;    /* the same */
    const ml__mlp_solver *solver; /* state to continue from */
    size_t n_transferred;         /* first layers that came from another model */
} ml__mlp_trained;

/* Sets f->learned->stop_reason too. */
ml_status ml__mlp_train(ml__fit *f, const ml__mlp_plan *plan, ml__mlp_trained *out);
/* The same by L-BFGS, from the weights that the net has. */
ml_status ml__mlp_search(ml__fit *f, const ml__mlp_plan *plan, const ml__mlp_rows *rows,
                         const ml__mlp_objective *objective, ml__mlp_trained *out);

#endif
