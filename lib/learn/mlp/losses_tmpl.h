/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The losses in one precision (a template, see network.h). Each takes some columns z of the outputs of the last layer,
 * before any output function, so that loss and derivative can be stable together. c_i is the row's share of the batch's
 * weight, s what its class or column counts; a row whose output is unknown has neither loss nor derivative.
 */

/* J = Σ_i c_i s_y (lse_k(z_ik) - z_iy),  dJ/dz_ik = c_i s_y (softmax(z_i)_k - [k = y_i]) */
static double NAME(cross_entropy)(const KERNELS *k, const NAME(objective) * o, const NAME(head) * h,
                                  const NAME(batch) * x, size_t ldz, R *Z, R *row)
{
    R *z_y = row, *lse = row + x->m;
    const int32_t *label = x->label + h->column;
    double J = 0;

    for (size_t i = 0; i < x->m; i++)
        z_y[i] = label[i * o->n_labels] < 0 ? 0 : Z[i * ldz + (size_t)label[i * o->n_labels]];
    k->softmax(x->m, h->n, Z, ldz, lse);
    for (size_t i = 0; i < x->m; i++) {
        const int32_t y = label[i * o->n_labels];
        const R share = y < 0 ? 0 : x->share[i] * h->scale[y];
        R *z = Z + i * ldz;

        if (y >= 0) {
            J += (double)share * ((double)lse[i] - (double)z_y[i]);
            z[y] -= 1;
        }
        for (size_t j = 0; j < h->n; j++)
            z[j] *= share;
    }
    return J;
}

/* J = Σ_i c_i s_y (log(1 + exp(z_i)) - y_i z_i),  dJ/dz_i = c_i s_y (logistic(z_i) - y_i);  y_i is 0 or 1 */
static double NAME(binary_cross_entropy)(const KERNELS *k, const NAME(objective) * o, const NAME(head) * h,
                                         const NAME(batch) * x, size_t ldz, R *Z, R *row)
{
    const int32_t *label = x->label + h->column;
    R *p = row, *log_term = row + x->m;
    double J = 0;

    for (size_t i = 0; i < x->m; i++)
        p[i] = Z[i * ldz];
    NAME(activate)(k, ML__MLP_SOFTPLUS, x->m, p, log_term);
    k->vlogistic(x->m, p, p);
    for (size_t i = 0; i < x->m; i++) {
        const int32_t y = label[i * o->n_labels];
        const R share = y < 0 ? 0 : x->share[i] * h->scale[y];

        if (y >= 0)
            J += (double)share * ((double)log_term[i] - (y ? (double)Z[i * ldz] : 0));
        Z[i * ldz] = y < 0 ? 0 : share * (p[i] - (R)y);
    }
    return J;
}

/* Σ_j (z_j - t_j)² of c values of one row, and z becomes share (z - t). Unknown targets are looked for when the sum is NaN
 * only, so that the usual loop has no branches. */
static double NAME(squares_of_chunk)(const KERNELS *k, size_t c, const R *t, R share, R *z)
{
    R e[NAME(CHUNK)];
    double sum;

    for (size_t j = 0; j < c; j++) {
        e[j] = z[j] - t[j];
        z[j] = share * e[j];
    }
    sum = c == 1 ? (double)e[0] * (double)e[0] : k->dot(c, e, e);
    if (sum == sum)
        return sum;
    for (size_t j = 0; j < c; j++)
        if (t[j] != t[j])
            e[j] = z[j] = 0;
    return k->dot(c, e, e);
}

/* J = Σ_i c_i s Σ_j (z_ij - t_ij)² / 2 with one s for all: the usual loss of reals */
static double NAME(squared_error)(const KERNELS *k, const NAME(objective) * o, const NAME(head) * h,
                                  const NAME(batch) * x, size_t ldz, R *Z)
{
    double J = 0;

    for (size_t i = 0; i < x->m; i++) {
        const R *t = x->target + i * o->n_targets + h->column, share = x->share[i] * h->scale[0];
        R *z = Z + i * ldz;

        for (size_t j = 0; j < h->n; j += NAME(CHUNK)) {
            const size_t c = h->n - j < NAME(CHUNK) ? h->n - j : NAME(CHUNK);

            J += 0.5 * (double)share * NAME(squares_of_chunk)(k, c, t + j, share, z + j);
        }
    }
    return J;
}

/* Loss of an error e and in *slope its derivative: e² / 2, |e|, or Huber's e² / 2 up to delta and then linear. */
static double NAME(loss_of_error)(const NAME(head) * h, R e, R *slope)
{
    const R size = e < 0 ? -e : e;

    if (h->loss == ML__MLP_ABSOLUTE_ERROR) {
        *slope = (R)((e > 0) - (e < 0));
        return e == e ? (double)size : (double)e;
    }
    if (h->loss == ML__MLP_HUBER && size > h->huber_delta) {
        *slope = e < 0 ? -h->huber_delta : h->huber_delta;
        return (double)h->huber_delta * ((double)size - 0.5 * (double)h->huber_delta);
    }
    *slope = e;
    return 0.5 * (double)e * (double)e;
}

/* c values of one row: predictions p_j, z_j or logistic(z_j); Σ_j s_j loss(p_j, t_j), and z becomes its derivative. */
static double NAME(loss_of_chunk)(const KERNELS *k, const NAME(head) * h, size_t c, const R *t, const R *scale, R share,
                                  R *z)
{
    const bool is_bce = h->loss == ML__MLP_BINARY_CROSS_ENTROPY;
    R p[NAME(CHUNK)], log_term[NAME(CHUNK)];
    double J = 0;

    NAME(activate)(k, h->is_logistic ? ML__MLP_LOGISTIC : ML__MLP_IDENTITY, c, z, p);
    if (is_bce)
        NAME(activate)(k, ML__MLP_SOFTPLUS, c, z, log_term);
    for (size_t j = 0; j < c; j++) {
        R slope = p[j] - t[j];
        double loss;

        if (t[j] != t[j]) {
            z[j] = 0;
            continue;
        }
        if (is_bce) {
            loss = (double)log_term[j] - (double)t[j] * (double)z[j];
        } else {
            loss = NAME(loss_of_error)(h, slope, &slope);
            if (h->is_logistic)
                slope *= p[j] * (1 - p[j]);
        }
        J += (double)scale[j] * loss;
        z[j] = share * scale[j] * slope;
    }
    return J;
}

/* J = Σ_i c_i Σ_j s_j loss(z_ij, t_ij) */
static double NAME(real_loss)(const KERNELS *k, const NAME(objective) * o, const NAME(head) * h, const NAME(batch) * x,
                              size_t ldz, R *Z)
{
    double J = 0;

    for (size_t i = 0; i < x->m; i++) {
        const R *t = x->target + i * o->n_targets + h->column;
        R *z = Z + i * ldz;
        double e = 0;

        for (size_t j = 0; j < h->n; j += NAME(CHUNK)) {
            const size_t c = h->n - j < NAME(CHUNK) ? h->n - j : NAME(CHUNK);

            e += NAME(loss_of_chunk)(k, h, c, t + j, h->scale + j, x->share[i], z + j);
        }
        J += (double)x->share[i] * e;
    }
    return J;
}

double NAME(loss)(const KERNELS *k, const NAME(objective) * o, const NAME(batch) * x, size_t n_out, R *Z, R *row)
{
    double J = 0;

    for (size_t i = 0; i < o->n_heads; i++) {
        const NAME(head) *h = o->heads + i;
        R *z = Z + h->first;

        if (h->loss == ML__MLP_CROSS_ENTROPY)
            J += NAME(cross_entropy)(k, o, h, x, n_out, z, row);
        else if (h->loss == ML__MLP_BINARY_CROSS_ENTROPY && h->is_label)
            J += NAME(binary_cross_entropy)(k, o, h, x, n_out, z, row);
        else if (h->loss == ML__MLP_SQUARED_ERROR && h->is_uniform && !h->is_logistic)
            J += NAME(squared_error)(k, o, h, x, n_out, z);
        else
            J += NAME(real_loss)(k, o, h, x, n_out, z);
    }
    return J;
}
