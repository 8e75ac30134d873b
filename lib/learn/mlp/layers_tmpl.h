/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forward and backward passes in one precision (a template, see network.h).
 *
 * Forward     Z_l = A_l W_l + 1 b_l',  H_l = f_l(Z_l),  A_{l+1} = M_l . H_l,  A_0 = X
 *             M_l is the mask of dropout (Srivastava et al. 2014): 0, or 1 / (1 - rate) for what is kept ("inverted")
 * Backward    D_{L-1} = dJ/dZ_{L-1} from the loss,  D_{l-1} = (D_l W_l') . M_{l-1} . f'_{l-1}(Z_{l-1})
 *             dJ/dW_l = A_l' D_l + penalty W_l + penalty_1 sign(W_l),  dJ/db_l = 1' D_l
 *             (Rumelhart, Hinton & Williams 1986; "." is element by element)
 * Tied        layer l has the weights of layer e transposed: Z_l = A_l W_e' + 1 b_l', and D_l' A_l is a part of dJ/dW_e
 * Complexity  layer c costs complexity Σ_i share_i Σ_j |h_ij|, whose derivative joins D_c
 */

void NAME(net_bind)(NAME(net) * net, R *theta)
{
    const size_t *n = net->shape.n;

    for (size_t l = 0; l < net->shape.L; l++) {
        const bool is_tied = net->shape.tied_to[l] != ML__MLP_NOT_TIED;

        net->W[l] = is_tied ? NULL : theta;
        theta += is_tied ? 0 : n[l] * n[l + 1];
        net->b[l] = theta;
        theta += n[l + 1];
    }
}

ml_status NAME(work_init)(const NAME(net) * net, size_t m, ml__arena *arena, NAME(work) * work)
{
    size_t widest = 0;
    ml_status st = ML_OK;

    for (size_t l = 0; l < net->shape.L; l++) {
        ML__NEW_MATRIX(arena, work->H[l], m, net->shape.n[l + 1]);
        if (net->f[l]->needs_z)
            ML__NEW_MATRIX(arena, work->Z[l], m, net->shape.n[l + 1]);
        if (l + 1 < net->shape.L && net->shape.n[l + 1] > widest)
            widest = net->shape.n[l + 1];
    }
    for (size_t i = 0; i < 2; i++)
        ML__NEW_MATRIX(arena, work->delta[i], m, widest);
    ML__NEW(arena, work->row, 2 * m);
    ML__NEW(arena, work->ones, m);
    for (size_t i = 0; i < m; i++)
        work->ones[i] = 1;
done:
    return st;
}

static ml_status NAME(tied_layer)(const CREW *crew, const NAME(net) * net, size_t l, size_t m, const R *A, R *Z)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];

    for (size_t i = 0; i < m; i++)
        memcpy(Z + i * n_out, net->b[l], n_out * sizeof *Z);
    return PRODUCT(gemm_nt)(crew, m, n_out, n_in, A, n_in, net->W[net->shape.tied_to[l]], n_in, 1, Z, n_out);
}

ml_status NAME(forward)(const CREW *crew, const NAME(net) * net, size_t m, const R *X, const NAME(work) * work)
{
    const R *A = X;
    ml_status st = ML_OK;

    for (size_t l = 0; l < net->shape.L; l++) {
        const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1], n_values = m * n_out;
        const ml__mlp_activation *f = net->f[l];
        R *H = work->H[l], *Z = work->Z[l] ? work->Z[l] : H;

        if (!net->W[l])
            ML__TRY(NAME(tied_layer)(crew, net, l, m, A, Z));
        else
            ML__TRY(PRODUCT(layer)(crew, m, n_out, n_in, A, n_in, net->W[l], n_out, net->b[l], f->fused, Z, n_out));
        if (!net->W[l] || f->fused == ML__IDENTITY)
            NAME(activate)(crew->k, f->id, n_values, Z, H);
        A = H;
        if (work->mask[l]) {
            for (size_t i = 0; i < n_values; i++)
                work->kept[l][i] = work->mask[l][i] * H[i];
            A = work->kept[l];
        }
    }
done:
    return st;
}

ml_status NAME(add_gradient)(const CREW *crew, const NAME(factors) * x, R *dW, R *db)
{
    const R penalty = (R)x->penalty, penalty_1 = (R)x->penalty_1;
    ml_status st = ML_OK;

    if (x->is_tied && !x->is_frozen) {
        ML__TRY(PRODUCT(gemm_tn)(crew, x->n_out, x->n_in, x->m, x->D, x->n_out, x->A, x->n_in, 1, dW, x->n_in));
    } else if (!x->is_tied) {
        if (penalty > 0)
            for (size_t i = 0; i < x->n_in * x->n_out; i++)
                dW[i] += penalty * x->W[i];
        if (penalty_1 > 0)
            for (size_t i = 0; i < x->n_in * x->n_out; i++)
                dW[i] += x->W[i] > 0 ? penalty_1 : x->W[i] < 0 ? -penalty_1 : 0;
        ML__TRY(PRODUCT(gemm_tn)(crew, x->n_in, x->n_out, x->m, x->A, x->n_in, x->D, x->n_out, 1, dW, x->n_out));
    }
    ML__TRY(PRODUCT(gemm_tn)(crew, 1, x->n_out, x->m, x->ones, 1, x->D, x->n_out, 1, db, x->n_out));
done:
    return st;
}

/* penalty / 2 ||W||² + penalty_1 Σ |w| */
static double NAME(penalties)(const KERNELS *k, const NAME(factors) * x)
{
    const size_t n = x->n_in * x->n_out;
    double J = 0, sum = 0;

    if (x->is_tied)
        return 0;
    if (x->penalty > 0)
        J = 0.5 * x->penalty * k->dot(n, x->W, x->W);
    if (x->penalty_1 > 0)
        for (size_t i = 0; i < n; i++)
            sum += fabs((double)x->W[i]);
    return J + x->penalty_1 * sum;
}

/* Adds to D [m x n] of the code's layer what its complexity costs; returns that. */
static double NAME(add_complexity)(const KERNELS *k, const NAME(objective) * o, const NAME(net) * net, size_t l,
                                   const NAME(batch) * x, const NAME(work) * work, R *D)
{
    const size_t n = net->shape.n[l + 1];
    R slope[NAME(CHUNK)];
    double J = 0;

    for (size_t i = 0; i < x->m; i++)
        for (size_t j = 0; j < n; j += NAME(CHUNK)) {
            const size_t at = i * n + j, c = n - j < NAME(CHUNK) ? n - j : NAME(CHUNK);
            const R *h = work->H[l] + at, cost = x->share[i] * (R)o->complexity;
            double sum = 0;

            for (size_t a = 0; a < c; a++) {
                sum += fabs((double)h[a]);
                slope[a] = h[a] > 0 ? cost : h[a] < 0 ? -cost : 0;
            }
            NAME(derive)(k, net->f[l]->id, c, work->Z[l] ? work->Z[l] + at : NULL, h, slope);
            for (size_t a = 0; a < c; a++)
                D[at + a] += slope[a];
            J += (double)cost * sum;
        }
    return J;
}

/* D_{l-1} from D_l */
static ml_status NAME(back)(const CREW *crew, const NAME(net) * net, size_t l, size_t m, const NAME(work) * work,
                            const R *D, R *out)
{
    const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1], n_values = m * n_in;
    const ml__mlp_activation *f = net->f[l - 1];
    const R *H = work->H[l - 1], *mask = work->mask[l - 1];
    ml_status st;

    if (net->W[l])
        ML__TRY(PRODUCT(layer_back)(crew, m, n_in, n_out, D, n_out, net->W[l], n_out, f->fused, H, n_in, out, n_in));
    else
        ML__TRY(PRODUCT(gemm_nn)(crew, m, n_in, n_out, D, n_out, net->W[net->shape.tied_to[l]], n_in, 0, out, n_in));
    if (!net->W[l] || f->fused == ML__IDENTITY)
        NAME(derive)(crew->k, f->id, n_values, work->Z[l - 1], H, out);
    for (size_t i = 0; mask && i < n_values; i++)
        out[i] *= mask[i];
done:
    return st;
}

static NAME(factors) NAME(factors_of)(const NAME(net) * net, size_t first_trained, size_t l, const NAME(batch) * x,
                                      const NAME(work) * work, const R *D)
{
    const R *below = l ? work->kept[l - 1] ? work->kept[l - 1] : work->H[l - 1] : x->X;

    return (NAME(factors)){.l = l,
                           .m = x->m,
                           .n_in = net->shape.n[l],
                           .n_out = net->shape.n[l + 1],
                           .A = below,
                           .D = D,
                           .ones = work->ones,
                           .W = net->W[l] ? net->W[l] : net->W[net->shape.tied_to[l]],
                           .b = net->b[l],
                           .is_tied = !net->W[l],
                           .is_frozen = net->shape.tied_to[l] < first_trained,
                           .penalty = x->penalty,
                           .penalty_1 = x->penalty_1};
}

ml_status NAME(backpropagate)(const CREW *crew, const NAME(net) * net, const NAME(objective) * o, const NAME(batch) * x,
                              const NAME(work) * work, NAME(use) * use, void *user, double *J)
{
    const size_t L = net->shape.L;
    R *D = work->H[L - 1];
    ml_status st;

    ML__TRY(NAME(forward)(crew, net, x->m, x->X, work));
    *J = NAME(loss)(crew->k, o, x, net->shape.n[L], D, work->row);
    for (size_t l = L; l-- > o->first_trained;) {
        const NAME(factors) layer = NAME(factors_of)(net, o->first_trained, l, x, work, D);

        *J += NAME(penalties)(crew->k, &layer);
        if (l > o->first_trained) {
            D = work->delta[l & 1];
            ML__TRY(NAME(back)(crew, net, l, x->m, work, layer.D, D));
            if (o->complexity > 0 && l - 1 == o->code)
                *J += NAME(add_complexity)(crew->k, o, net, l - 1, x, work, D);
        }
        ML__TRY(use(user, &layer));
    }
done:
    return st;
}
