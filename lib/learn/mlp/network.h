/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network in one precision: types and functions of layers_tmpl.h and losses_tmpl.h. A template, so without include
 * guard. mlp.h instantiates it for float; the gradient check of the tests does so for double. Before including define
 *
 *     R          float or double
 *     NAME(x)    the name of what is called x here
 *     CREW       ml__crew_f32 or ml__crew_f64
 *
 * and for layers_tmpl.h
 *
 *     PRODUCT(x) the product x of that crew
 *
 * Symbols as in mlp.c.
 */

/* Where the weights are: in one vector theta while training, in tensors when predicting. */
typedef struct NAME(net) {
    ml__mlp_shape shape;
    R *W[ML__MLP_MAX_LAYERS];                        /* n[l] x n[l + 1] */
    R *b[ML__MLP_MAX_LAYERS];                        /* n[l + 1] */
    const ml__mlp_activation *f[ML__MLP_MAX_LAYERS]; /* the last one is the identity */
} NAME(net);

typedef struct NAME(batch) {
    size_t m;
    const R *X;           /* m x d */
    const int32_t *label; /* m, for losses of classes */
    const R *target;      /* m x n[L], for losses of reals */
    const R *share;       /* m: w_i / W, they sum to 1 */
    double penalty;       /* alpha / W */
} NAME(batch);

/* Workspace for m rows. */
typedef struct NAME(work) {
    R *H[ML__MLP_MAX_LAYERS]; /* m x n[l + 1]: output of layer l */
    R *delta[2];              /* m x largest hidden width */
    R *row;                   /* 2 m */
    R *ones;                  /* m: each is 1, the input that the biases are weights of */
} NAME(work);

/* The gradient of a layer, in factors: dJ/dW = A' D + penalty W, dJ/db = 1' D. */
typedef struct NAME(factors) {
    size_t m, n_in, n_out;
    const R *A, *D, *ones; /* m x n_in: input of the layer; m x n_out: dJ/dZ; m */
    R *W, *b;
    double penalty;
} NAME(factors);

typedef ml_status NAME(use)(void *user, const NAME(factors) * layer);

typedef struct NAME(loss) {
    /* From the outputs Z of the last layer: returns the mean loss (weighted by share), and Z becomes its derivative. */
    double (*evaluate)(const CREW *crew, const NAME(batch) * x, size_t n_out, R *Z, R *row);
} NAME(loss);

extern const NAME(loss) NAME(losses)[ML__MLP_N_LOSSES];

/* Point the net's weights into a vector: W[0], b[0], W[1], … */
void NAME(net_bind)(NAME(net) * net, R *theta);

/* Outputs of every layer for m rows X: H[l] is m x n[l + 1]; H[l] and H[l + 2] may be the same memory when only the
 * last one is wanted. */
ml_status NAME(forward)(const CREW *crew, const NAME(net) * net, size_t m, const R *X, R *const *H);

/* The objective J on a batch. The gradient of each layer goes to `use`, from the last layer to the first, when nothing needs
 * the layer's weights any more: it may change them. */
ml_status NAME(backpropagate)(const CREW *crew, const NAME(net) * net, const NAME(loss) * loss, const NAME(batch) * x,
                              const NAME(work) * work, NAME(use) * use, void *user, double *J);

/* A layer's gradient multiplied out. */
ml_status NAME(multiply_out)(const CREW *crew, const NAME(factors) * layer, R *dW, R *db);
