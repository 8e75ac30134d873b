/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The losses in one precision (a template, see network.h). Each takes the outputs Z [m x n_out] of the last layer
 * before any output function, so that loss and derivative can be stable together; c_i is the row's share of the
 * batch's weight.
 */

/* J = Σ_i c_i (lse_k(z_ik) - z_iy),  dJ/dz_ik = c_i (softmax(z_i)_k - [k = y_i]) */
static double cross_entropy(const CREW *crew, const NAME(batch) * x, size_t n_out, R *Z, R *row)
{
    R *z_y = row, *lse = row + x->m;
    double J = 0;

    for (size_t i = 0; i < x->m; i++)
        z_y[i] = Z[i * n_out + (size_t)x->label[i]];
    crew->k->softmax(x->m, n_out, Z, n_out, lse);
    for (size_t i = 0; i < x->m; i++) {
        R *z = Z + i * n_out;

        J += (double)x->share[i] * ((double)lse[i] - (double)z_y[i]);
        z[x->label[i]] -= 1;
        for (size_t j = 0; j < n_out; j++)
            z[j] *= x->share[i];
    }
    return J;
}

/* J = Σ_i c_i Σ_j (z_ij - t_ij)² / 2,  dJ/dz_ij = c_i (z_ij - t_ij) */
static double squared_error(const CREW *crew, const NAME(batch) * x, size_t n_out, R *Z, R *row)
{
    double J = 0;

    (void)crew;
    (void)row;
    for (size_t i = 0; i < x->m; i++) {
        const R *t = x->target + i * n_out;
        R *z = Z + i * n_out;
        double e = 0;

        for (size_t j = 0; j < n_out; j++) {
            const R r = z[j] - t[j];
            e += (double)r * (double)r;
            z[j] = x->share[i] * r;
        }
        J += 0.5 * (double)x->share[i] * e;
    }
    return J;
}

const NAME(loss) NAME(losses)[ML__MLP_N_LOSSES] = {
    [ML__MLP_CROSS_ENTROPY] = {cross_entropy},
    [ML__MLP_SQUARED_ERROR] = {squared_error},
};
