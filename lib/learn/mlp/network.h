/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network in one precision: types and functions of activations_tmpl.h, losses_tmpl.h and layers_tmpl.h. A template, so
 * without include guard: mlp.h instantiates it for float, in which networks are trained by steps and predict, and for
 * double, in which L-BFGS searches and gradients are checked. Before including define
 *
 *     R          float or double
 *     NAME(x)    the name of what is called x here
 *     CREW       ml__crew_f32 or ml__crew_f64
 *
 * and for the sources
 *
 *     PRODUCT(x) the product x of that crew
 *     KERNELS    its table: ml__kernels_f32 or ml__kernels_f64
 *
 * Symbols as in mlp.c.
 */

/* Where the weights are: in one vector theta while training, in tensors when predicting. */
typedef struct NAME(net) {
    ml__mlp_shape shape;
    R *W[ML__MLP_MAX_LAYERS];                        /* n[l] x n[l + 1]; of a tied layer NULL */
    R *b[ML__MLP_MAX_LAYERS];                        /* n[l + 1] */
    const ml__mlp_activation *f[ML__MLP_MAX_LAYERS]; /* the last one is the identity: see heads */
} NAME(net);

/* Some columns of the last layer's outputs Z, and how they are held against an output of the data. */
typedef struct NAME(head) {
    int32_t loss;     /* ML__MLP_CROSS_ENTROPY, … */
    bool is_label;    /* else reals */
    bool is_logistic; /* the prediction is logistic(z), not z */
    bool is_uniform;  /* all of scale are the same */
    size_t output;    /* of the data, the first of n for reals */
    size_t first, n;  /* columns of Z */
    size_t column;    /* of the labels or (the first one) of the targets */
    const R *scale;   /* what counts how much: of labels the classes, of reals the columns */
    R huber_delta;
} NAME(head);

/* What training minimises, beside the penalties on the weights. */
typedef struct NAME(objective) {
    size_t n_heads, n_labels, n_targets; /* labels and targets per row */
    const NAME(head) * heads;
    size_t code;          /* layer whose outputs cost `complexity` each per unit of magnitude */
    double complexity;    /* 0: none does */
    size_t first_trained; /* layers below are frozen: they have no gradient */
} NAME(objective);

typedef struct NAME(batch) {
    size_t m;
    const R *X;           /* m x d */
    const int32_t *label; /* m x n_labels; -1: unknown */
    const R *target;      /* m x n_targets; NaN: unknown */
    const R *share;       /* m: w_i / W, W the number of rows times their mean weight */
    double penalty;       /* alpha / W, of the squares */
    double penalty_1;     /* l1 / W, of the magnitudes */
} NAME(batch);

/* Workspace for m rows. */
typedef struct NAME(work) {
    R *H[ML__MLP_MAX_LAYERS];          /* m x n[l + 1]: output of layer l */
    R *Z[ML__MLP_MAX_LAYERS];          /* the same before the activation, where its derivative needs it; else NULL */
    const R *mask[ML__MLP_MAX_LAYERS]; /* m x n[l + 1]: what dropout multiplies the output with; NULL: nothing */
    R *kept[ML__MLP_MAX_LAYERS];       /* mask . H, input of the next layer; NULL without mask */
    R *delta[2];                       /* m x largest hidden width */
    R *row;                            /* 2 m */
    R *ones;                           /* m: each is 1, the input that the biases are weights of */
} NAME(work);

/* The gradient of a layer, in factors: dJ/dW = A' D + penalty W + penalty_1 sign(W), dJ/db = 1' D; for a tied layer
 * D' A belongs to the weights that it is tied to, W, unless these are frozen. */
typedef struct NAME(factors) {
    size_t l, m, n_in, n_out;
    const R *A, *D, *ones; /* m x n_in: input of the layer; m x n_out: dJ/dZ; m */
    R *W, *b;
    bool is_tied, is_frozen;
    double penalty, penalty_1;
} NAME(factors);

typedef ml_status NAME(use)(void *user, const NAME(factors) * layer);

/* Point the net's weights into a vector of ml__mlp_theta_length() values: W[0], b[0], W[1], … (a tied layer has no W there). */
void NAME(net_bind)(NAME(net) * net, R *theta);
/* The workspace of a bound net for batches of m rows, without masks. */
ml_status NAME(work_init)(const NAME(net) * net, size_t m, ml__arena *arena, NAME(work) * work);

/* H = f(Z), n values; the same array is allowed. */
void NAME(activate)(const KERNELS *k, int32_t activation, size_t n, const R *Z, R *H);
/* D *= f'(Z), from H = f(Z), and where the activation needs it Z; no array is another. */
void NAME(derive)(const KERNELS *k, int32_t activation, size_t n, const R *Z, const R *H, R *D);

/* From the outputs Z [m x n_out] of the last layer: returns the loss of all heads, and Z becomes its derivative. */
double NAME(loss)(const KERNELS *k, const NAME(objective) * o, const NAME(batch) * x, size_t n_out, R *Z, R *row);

/* Outputs of every layer for m rows X: work->H[l] is m x n[l + 1]; H[l] and H[l + 2] may be the same memory when only the
 * last one is wanted. */
ml_status NAME(forward)(const CREW *crew, const NAME(net) * net, size_t m, const R *X, const NAME(work) * work);

/* The objective J on a batch. The gradient of each layer goes to `use`, from the last layer to the first trained one, when
 * nothing needs the layer's weights any more (unless layers are tied): it may change them. */
ml_status NAME(backpropagate)(const CREW *crew, const NAME(net) * net, const NAME(objective) * o, const NAME(batch) * x,
                              const NAME(work) * work, NAME(use) * use, void *user, double *J);

/* A layer's gradient multiplied out and added to dW (as W lies) and db, which have a value. */
ml_status NAME(add_gradient)(const CREW *crew, const NAME(factors) * layer, R *dW, R *db);
