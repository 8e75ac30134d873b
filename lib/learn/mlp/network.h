/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network in one precision: types and functions of layers_tmpl.h and losses_tmpl.h. A template, so without include
 * guard. mlp.h instantiates it for float; the gradient check of the tests does so for double. Before including define
 *
 *     R          float or double
 *     NAME(x)    the name of what is called x here
 *     KERNELS    ml__kernels_f32 or ml__kernels_f64
 *
 * Symbols as in mlp.c.
 */

typedef struct NAME(activation) {
    /* h[i] = f(h[i]) */
    void (*apply)(const KERNELS *k, size_t n, R *h);
    /* delta[i] *= f'(z[i]), by way of h[i] = f(z[i]) */
    void (*chain)(size_t n, const R *h, R *delta);
    double init; /* initial weights are uniform in +-sqrt(init / (n_in + n_out)) */
} NAME(activation);

/* Where the weights are: in one vector theta while training, in tensors when predicting. */
typedef struct NAME(net) {
    ml__mlp_shape shape;
    R *W[ML__MLP_MAX_LAYERS];                       /* n[l] x n[l + 1] */
    R *b[ML__MLP_MAX_LAYERS];                       /* n[l + 1] */
    const NAME(activation) * f[ML__MLP_MAX_LAYERS]; /* the last one is the identity */
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
} NAME(work);

typedef struct NAME(loss) {
    /* From the outputs Z of the last layer: returns the mean loss (weighted by share), and Z becomes its derivative. */
    double (*evaluate)(const KERNELS *k, const NAME(batch) * x, size_t n_out, R *Z, R *row);
} NAME(loss);

extern const NAME(activation) NAME(activations)[ML__MLP_N_ACTIVATIONS];
extern const NAME(loss) NAME(losses)[ML__MLP_N_LOSSES];

/* Point the net's weights into a vector: W[0], b[0], W[1], … */
void NAME(net_bind)(NAME(net) * net, R *theta);

/* Outputs of every layer for m rows X: H[l] is m x n[l + 1]; H[l] and H[l + 2] may be the same memory when only the
 * last one is wanted. */
void NAME(forward)(const KERNELS *k, const NAME(net) * net, size_t m, const R *X, R *const *H);

/* The objective J on a batch; its gradient goes where `g` points. */
double NAME(gradient)(const KERNELS *k, const NAME(net) * net, const NAME(loss) * loss, const NAME(batch) * x,
                      const NAME(work) * work, const NAME(net) * g);
