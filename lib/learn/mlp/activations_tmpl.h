/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Activations and their derivatives in one precision (a template, see network.h), element by element.
 *
 * relu         max(z, 0)                         f' = [h > 0]
 * tanh, logistic                                 f' = 1 - h²,  h (1 - h)
 * leaky_relu   z, or 0.01 z below 0              f' = 1 or 0.01
 * elu          z, or exp(z) - 1 below 0          f' = 1 or h + 1              (Clevert, Unterthiner & Hochreiter 2016)
 * gelu         z (1 + tanh u) / 2,  u = c (z + 0.044715 z³),  c = sqrt(2 / pi)      (Hendrycks & Gimpel 2016, section 2)
 *              f' = (1 + t) / 2 + z (1 - t²) u' / 2,  t = tanh u; 1 - t² is 0 long before z² u' leaves the range
 * softplus     log(1 + exp(z)), as max(z, 0) + log(1 + exp(-|z|))      f' = 1 - exp(-h)
 */

/* Values at a time, on the stack. */
enum { NAME(CHUNK) = 256 };

static const R NAME(LEAK) = (R)0.01;

#define FOR_CHUNKS(n, i, c) \
    for (size_t i = 0, c = (n) < NAME(CHUNK) ? (n) : NAME(CHUNK); i < (n); i += c, c = (n)-i < c ? (n)-i : c)

static void NAME(gelu_tanh)(const KERNELS *k, size_t n, const R *Z, R *t)
{
    for (size_t i = 0; i < n; i++)
        t[i] = (R)0.79788456080286535588 * (Z[i] + (R)0.044715 * Z[i] * Z[i] * Z[i]);
    k->vtanh(n, t, t);
}

static void NAME(elu)(const KERNELS *k, size_t n, const R *Z, R *H)
{
    R e[NAME(CHUNK)];

    FOR_CHUNKS(n, i, c)
    {
        for (size_t j = 0; j < c; j++)
            e[j] = Z[i + j] < 0 ? Z[i + j] : 0;
        k->vexp(c, e, e);
        for (size_t j = 0; j < c; j++)
            H[i + j] = Z[i + j] < 0 ? e[j] - 1 : Z[i + j];
    }
}

static void NAME(gelu)(const KERNELS *k, size_t n, const R *Z, R *H)
{
    R t[NAME(CHUNK)];

    FOR_CHUNKS(n, i, c)
    {
        NAME(gelu_tanh)(k, c, Z + i, t);
        for (size_t j = 0; j < c; j++)
            H[i + j] = (R)0.5 * Z[i + j] * (1 + t[j]);
    }
}

static void NAME(softplus)(const KERNELS *k, size_t n, const R *Z, R *H)
{
    R e[NAME(CHUNK)];

    FOR_CHUNKS(n, i, c)
    {
        for (size_t j = 0; j < c; j++)
            e[j] = Z[i + j] > 0 ? -Z[i + j] : Z[i + j];
        k->vexp(c, e, e);
        for (size_t j = 0; j < c; j++)
            e[j] += 1;
        k->vlog(c, e, e);
        for (size_t j = 0; j < c; j++)
            H[i + j] = (Z[i + j] < 0 ? 0 : Z[i + j]) + e[j];
    }
}

void NAME(activate)(const KERNELS *k, int32_t activation, size_t n, const R *Z, R *H)
{
    switch (activation) {
    case ML__MLP_RELU:
        for (size_t i = 0; i < n; i++)
            H[i] = Z[i] < 0 ? 0 : Z[i];
        break;
    case ML__MLP_TANH:
        k->vtanh(n, Z, H);
        break;
    case ML__MLP_LOGISTIC:
        k->vlogistic(n, Z, H);
        break;
    case ML__MLP_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            H[i] = Z[i] < 0 ? NAME(LEAK) * Z[i] : Z[i];
        break;
    case ML__MLP_ELU:
        NAME(elu)(k, n, Z, H);
        break;
    case ML__MLP_GELU:
        NAME(gelu)(k, n, Z, H);
        break;
    case ML__MLP_SOFTPLUS:
        NAME(softplus)(k, n, Z, H);
        break;
    default:
        if (H != Z)
            memcpy(H, Z, n * sizeof *H);
    }
}

static void NAME(derive_gelu)(const KERNELS *k, size_t n, const R *Z, R *D)
{
    R t[NAME(CHUNK)];

    FOR_CHUNKS(n, i, c)
    {
        NAME(gelu_tanh)(k, c, Z + i, t);
        for (size_t j = 0; j < c; j++) {
            const R z = Z[i + j], du = (R)0.79788456080286535588 * (1 + (R)(3 * 0.044715) * z * z), s = 1 - t[j] * t[j];

            D[i + j] *= (R)0.5 * (1 + t[j] + (s == 0 ? 0 : z * s * du));
        }
    }
}

static void NAME(derive_softplus)(const KERNELS *k, size_t n, const R *H, R *D)
{
    R e[NAME(CHUNK)];

    FOR_CHUNKS(n, i, c)
    {
        for (size_t j = 0; j < c; j++)
            e[j] = -H[i + j];
        k->vexp(c, e, e);
        for (size_t j = 0; j < c; j++)
            D[i + j] *= 1 - e[j];
    }
}

void NAME(derive)(const KERNELS *k, int32_t activation, size_t n, const R *Z, const R *H, R *D)
{
    switch (activation) {
    case ML__MLP_RELU:
        for (size_t i = 0; i < n; i++)
            D[i] = H[i] > 0 ? D[i] : 0;
        break;
    case ML__MLP_TANH:
        for (size_t i = 0; i < n; i++)
            D[i] *= 1 - H[i] * H[i];
        break;
    case ML__MLP_LOGISTIC:
        for (size_t i = 0; i < n; i++)
            D[i] *= H[i] * (1 - H[i]);
        break;
    case ML__MLP_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            D[i] *= H[i] < 0 ? NAME(LEAK) : 1;
        break;
    case ML__MLP_ELU:
        for (size_t i = 0; i < n; i++)
            D[i] *= H[i] < 0 ? H[i] + 1 : 1;
        break;
    case ML__MLP_GELU:
        NAME(derive_gelu)(k, n, Z, D);
        break;
    case ML__MLP_SOFTPLUS:
        NAME(derive_softplus)(k, n, H, D);
        break;
    default:
        break;
    }
}

#undef FOR_CHUNKS
