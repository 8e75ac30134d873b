/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forward and backward passes, and the activations, in one precision (a template, see network.h).
 *
 * Forward     Z_l = H_{l-1} W_l + 1 b_l',  H_l = f_l(Z_l),  H_{-1} = X
 * Backward    D_{L-1} = dJ/dZ_{L-1} from the loss,  D_{l-1} = (D_l W_l') . f'_{l-1}(Z_{l-1})
 *             dJ/dW_l = H_{l-1}' D_l + penalty W_l,  dJ/db_l = column sums of D_l
 *             (Rumelhart, Hinton & Williams 1986; "." is element by element)
 */

/* ---- activations: f' is a function of h = f(z) for each of them ---- */

/* A NaN stays one, so that the loss shows it. */
static void relu(const KERNELS *k, size_t n, R *h)
{
    (void)k;
    for (size_t i = 0; i < n; i++)
        h[i] = h[i] < 0 ? 0 : h[i];
}

static void relu_chain(size_t n, const R *h, R *delta)
{
    for (size_t i = 0; i < n; i++)
        delta[i] = h[i] > 0 ? delta[i] : 0;
}

static void hyperbolic_tangent(const KERNELS *k, size_t n, R *h)
{
    k->vtanh(n, h, h);
}

static void hyperbolic_tangent_chain(size_t n, const R *h, R *delta)
{
    for (size_t i = 0; i < n; i++)
        delta[i] *= 1 - h[i] * h[i];
}

static void logistic(const KERNELS *k, size_t n, R *h)
{
    k->vlogistic(n, h, h);
}

static void logistic_chain(size_t n, const R *h, R *delta)
{
    for (size_t i = 0; i < n; i++)
        delta[i] *= h[i] * (1 - h[i]);
}

static void identity(const KERNELS *k, size_t n, R *h)
{
    (void)k;
    (void)n;
    (void)h;
}

static void identity_chain(size_t n, const R *h, R *delta)
{
    (void)n;
    (void)h;
    (void)delta;
}

/* init: 6 as Glorot & Bengio 2010, eq. 16; scikit-learn takes 2 for the logistic function. */
const NAME(activation) NAME(activations)[ML__MLP_N_ACTIVATIONS] = {
    [ML__MLP_RELU] = {relu, relu_chain, 6},
    [ML__MLP_TANH] = {hyperbolic_tangent, hyperbolic_tangent_chain, 6},
    [ML__MLP_LOGISTIC] = {logistic, logistic_chain, 2},
    [ML__MLP_IDENTITY] = {identity, identity_chain, 6},
};

/* ---- passes ---- */

void NAME(net_bind)(NAME(net) * net, R *theta)
{
    const size_t *n = net->shape.n;

    for (size_t l = 0; l < net->shape.L; l++) {
        net->W[l] = theta;
        net->b[l] = theta + n[l] * n[l + 1];
        theta = net->b[l] + n[l + 1];
    }
}

void NAME(forward)(const KERNELS *k, const NAME(net) * net, size_t m, const R *X, R *const *H)
{
    for (size_t l = 0; l < net->shape.L; l++) {
        const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];

        for (size_t i = 0; i < m; i++)
            memcpy(H[l] + i * n_out, net->b[l], n_out * sizeof(R));
        k->gemm_nn(m, n_out, n_in, l ? H[l - 1] : X, n_in, net->W[l], n_out, 1, H[l], n_out);
        net->f[l]->apply(k, m * n_out, H[l]);
    }
}

static void sum_columns(size_t m, size_t n, const R *A, R *sums)
{
    memset(sums, 0, n * sizeof(R));
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            sums[j] += A[i * n + j];
}

static void scale(size_t n, R a, const R *x, R *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

double NAME(gradient)(const KERNELS *k, const NAME(net) * net, const NAME(loss) * loss, const NAME(batch) * x,
                      const NAME(work) * work, const NAME(net) * g)
{
    const size_t L = net->shape.L, *n = net->shape.n, m = x->m;
    R *D = work->H[L - 1];
    double J;

    NAME(forward)(k, net, m, x->X, work->H);
    J = loss->evaluate(k, x, n[L], D, work->row);
    for (size_t l = L; l-- > 0;) {
        const size_t n_in = n[l], n_out = n[l + 1];

        J += 0.5 * x->penalty * k->dot(n_in * n_out, net->W[l], net->W[l]);
        scale(n_in * n_out, (R)x->penalty, net->W[l], g->W[l]);
        k->gemm_tn(n_in, n_out, m, l ? work->H[l - 1] : x->X, n_in, D, n_out, 1, g->W[l], n_out);
        sum_columns(m, n_out, D, g->b[l]);
        if (l) {
            R *D_before = work->delta[l & 1];
            k->gemm_nt(m, n_in, n_out, D, n_out, net->W[l], n_out, 0, D_before, n_in);
            net->f[l - 1]->chain(m * n_in, work->H[l - 1], D_before);
            D = D_before;
        }
    }
    return J;
}
