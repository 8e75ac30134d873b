/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forward and backward passes in one precision (a template, see network.h).
 *
 * Forward     Z_l = H_{l-1} W_l + 1 b_l',  H_l = f_l(Z_l),  H_{-1} = X
 * Backward    D_{L-1} = dJ/dZ_{L-1} from the loss,  D_{l-1} = (D_l W_l') . f'_{l-1}(Z_{l-1})
 *             dJ/dW_l = H_{l-1}' D_l + penalty W_l,  dJ/db_l = 1' D_l
 *             (Rumelhart, Hinton & Williams 1986; "." is element by element)
 */

void NAME(net_bind)(NAME(net) * net, R *theta)
{
    const size_t *n = net->shape.n;

    for (size_t l = 0; l < net->shape.L; l++) {
        net->W[l] = theta;
        net->b[l] = theta + n[l] * n[l + 1];
        theta = net->b[l] + n[l + 1];
    }
}

ml_status NAME(forward)(const CREW *crew, const NAME(net) * net, size_t m, const R *X, R *const *H)
{
    ml_status st = ML_OK;

    for (size_t l = 0; l < net->shape.L; l++) {
        const size_t n_in = net->shape.n[l], n_out = net->shape.n[l + 1];
        const R *A = l ? H[l - 1] : X;

        ML__TRY(PRODUCT(layer)(crew, m, n_out, n_in, A, n_in, net->W[l], n_out, net->b[l], net->f[l]->f, H[l], n_out));
    }
done:
    return st;
}

ml_status NAME(multiply_out)(const CREW *crew, const NAME(factors) * x, R *dW, R *db)
{
    ml_status st;

    for (size_t i = 0; i < x->n_in * x->n_out; i++)
        dW[i] = (R)x->penalty * x->W[i];
    ML__TRY(PRODUCT(gemm_tn)(crew, x->n_in, x->n_out, x->m, x->A, x->n_in, x->D, x->n_out, 1, dW, x->n_out));
    ML__TRY(PRODUCT(gemm_tn)(crew, 1, x->n_out, x->m, x->ones, 1, x->D, x->n_out, 0, db, x->n_out));
done:
    return st;
}

ml_status NAME(backpropagate)(const CREW *crew, const NAME(net) * net, const NAME(loss) * loss, const NAME(batch) * x,
                              const NAME(work) * work, NAME(use) * use, void *user, double *J)
{
    const size_t L = net->shape.L, *n = net->shape.n, m = x->m;
    R *D = work->H[L - 1];
    ml_status st;

    ML__TRY(NAME(forward)(crew, net, m, x->X, work->H));
    *J = loss->evaluate(crew, x, n[L], D, work->row);
    for (size_t l = L; l-- > 0;) {
        const NAME(factors)
            layer = {m, n[l], n[l + 1], l ? work->H[l - 1] : x->X, D, work->ones, net->W[l], net->b[l], x->penalty};

        *J += 0.5 * x->penalty * crew->k->dot(n[l] * n[l + 1], net->W[l], net->W[l]);
        if (l) {
            R *H = work->H[l - 1];

            D = work->delta[l & 1];
            ML__TRY(PRODUCT(layer_back)(crew, m, n[l], n[l + 1], layer.D, n[l + 1], net->W[l], n[l + 1],
                                        net->f[l - 1]->f, H, n[l], D, n[l]));
        }
        ML__TRY(use(user, &layer));
    }
done:
    return st;
}
