/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network's passes in double: the very source that trains in float, so that gradients can be held against central
 * differences more sharply than single precision allows.
 */
#include "base/random.h"
#include "learn/mlp/mlp.h"
#include "test.h"

#define R double
#define NAME(name) check_##name
#define CREW ml__crew_f64
#define PRODUCT(name) ML__PRODUCT_F64(name)
#include "learn/mlp/network.h"

#include "learn/mlp/layers_tmpl.h"
#include "learn/mlp/losses_tmpl.h"

enum { MAX_ROWS = 16, MAX_WIDTH = 12, MAX_THETA = 1024 };

/* A network with a batch, all on the caller's stack. */
typedef struct setting {
    check_net net;
    check_batch batch;
    check_work work;
    const check_loss *loss;
    size_t n_theta;
    double theta[MAX_THETA], g[MAX_THETA];
    double X[MAX_ROWS * MAX_WIDTH], target[MAX_ROWS * MAX_WIDTH], share[MAX_ROWS];
    int32_t label[MAX_ROWS];
    double H[4][MAX_ROWS * MAX_WIDTH], delta[2][MAX_ROWS * MAX_WIDTH], row[2 * MAX_ROWS], ones[MAX_ROWS];
} setting;

static void make_net(setting *s, const size_t *widths, size_t L, int activation, ml__rng *rng)
{
    s->net.shape.L = L;
    s->n_theta = 0;
    for (size_t l = 0; l <= L; l++)
        s->net.shape.n[l] = widths[l];
    for (size_t l = 0; l < L; l++) {
        s->net.f[l] = &ml__mlp_activations[l + 1 < L ? activation : ML__MLP_IDENTITY];
        s->work.H[l] = s->H[l];
        s->n_theta += widths[l] * widths[l + 1] + widths[l + 1];
    }
    s->work.delta[0] = s->delta[0];
    s->work.delta[1] = s->delta[1];
    s->work.row = s->row;
    s->work.ones = s->ones;
    for (size_t i = 0; i < MAX_ROWS; i++)
        s->ones[i] = 1;
    CHECK(s->n_theta <= MAX_THETA);
    for (size_t i = 0; i < s->n_theta; i++)
        s->theta[i] = 0.7 * ml__rng_normal(rng);
    check_net_bind(&s->net, s->theta);
}

static void make_batch(setting *s, size_t m, bool weighted, double alpha, ml__rng *rng)
{
    const size_t L = s->net.shape.L, d = s->net.shape.n[0], n_out = s->net.shape.n[L];
    double W = 0;

    for (size_t i = 0; i < m; i++)
        W += s->share[i] = weighted ? 3 * ml__rng_uniform(rng) : 1;
    for (size_t i = 0; i < m; i++) {
        s->share[i] /= W;
        s->label[i] = (int32_t)ml__rng_below(rng, n_out);
    }
    for (size_t i = 0; i < m * d; i++)
        s->X[i] = ml__rng_normal(rng);
    for (size_t i = 0; i < m * n_out; i++)
        s->target[i] = 2 * ml__rng_normal(rng);
    s->batch = (check_batch){m, s->X, s->label, s->target, s->share, alpha / W};
}

static const ml__crew_f64 *crew(void)
{
    static ml__crew_f64 alone;

    alone.k = &ml__kernels_rowwise()->f64;
    return &alone;
}

/* Each layer's gradient goes where g has its weights. */
static ml_status keep_gradient(void *user, const check_factors *layer)
{
    setting *s = user;

    return check_multiply_out(crew(), layer, s->g + (layer->W - s->theta), s->g + (layer->b - s->theta));
}

static double objective(setting *s)
{
    double J = NAN;

    CHECK_OK(check_backpropagate(crew(), &s->net, s->loss, &s->batch, &s->work, keep_gradient, s, &J));
    return J;
}

/* Largest |analytic - central difference| in each tensor, relative to the tensor's largest gradient. */
static double worst_difference(setting *s)
{
    double analytic[MAX_THETA], worst = 0;
    size_t at = 0;

    (void)objective(s);
    memcpy(analytic, s->g, sizeof analytic);
    for (size_t piece = 0; piece < 2 * s->net.shape.L; piece++) {
        const size_t *n = s->net.shape.n + piece / 2, count = piece % 2 ? n[1] : n[0] * n[1];
        double scale_of = 1e-4, difference = 0;

        for (size_t i = at; i < at + count; i++) {
            const double h = 1e-5, old = s->theta[i];
            double up, down;

            s->theta[i] = old + h;
            up = objective(s);
            s->theta[i] = old - h;
            down = objective(s);
            s->theta[i] = old;
            difference = fmax(difference, fabs((up - down) / (2 * h) - analytic[i]));
            scale_of = fmax(scale_of, fabs(analytic[i]));
        }
        worst = fmax(worst, difference / scale_of);
        at += count;
    }
    return worst;
}

static const struct {
    size_t L, n[5];
} SHAPES[] = {
    {1, {3, 2}},          /* no hidden layer */
    {1, {1, 1}},          /* smallest there is */
    {2, {4, 7, 3}},       /* the usual one */
    {2, {5, 1, 4}},       /* bottleneck */
    {3, {7, 5, 11, 3}},   /* odd sizes */
    {4, {3, 9, 2, 6, 5}}, /* deep */
};

TEST(mlp_gradients, equal_central_differences)
{
    static setting s;
    double worst = 0;

    for (size_t shape = 0; shape < sizeof SHAPES / sizeof *SHAPES; shape++)
        for (int variant = 0; variant < ML__MLP_N_ACTIVATIONS * ML__MLP_N_LOSSES * 4; variant++) {
            const int activation = variant % ML__MLP_N_ACTIVATIONS, rest = variant / ML__MLP_N_ACTIVATIONS;
            const int loss = rest % ML__MLP_N_LOSSES, options = rest / ML__MLP_N_LOSSES;
            ml__rng rng = ml__rng_make(7 + (uint64_t)variant, shape);
            double difference;

            make_net(&s, SHAPES[shape].n, SHAPES[shape].L, activation, &rng);
            make_batch(&s, 5 + shape, options & 1, options & 2 ? 0.3 : 0, &rng);
            s.loss = &check_losses[loss];
            difference = worst_difference(&s);
            CHECK_MSG(difference < 1e-6, "shape %zu, activation %d, loss %d, weights %d, alpha %d: %g", shape,
                      activation, loss, options & 1, options & 2, difference);
            worst = fmax(worst, difference);
        }
    if (getenv("INVAR_VERBOSE"))
        printf("    worst relative difference %g\n", worst);
}

TEST(mlp_gradients, objective_is_the_formula)
{
    /* one row, one feature, two classes, worked by hand */
    static setting s;
    ml__rng rng = ml__rng_make(1, 1);
    const double theta[] = {0.5, -1, 0.25, 2}, z0 = 3 * 0.5 + 0.25, z1 = 3 * -1 + 2;
    const double p0 = exp(z0) / (exp(z0) + exp(z1)), J = -log(1 - p0) + 0.5 * 0.2 * (0.5 * 0.5 + 1);

    make_net(&s, (const size_t[]){1, 2}, 1, ML__MLP_RELU, &rng);
    make_batch(&s, 1, false, 0.2, &rng);
    memcpy(s.theta, theta, sizeof theta);
    s.X[0] = 3;
    s.label[0] = 1;
    s.loss = &check_losses[ML__MLP_CROSS_ENTROPY];
    CHECK_CLOSE(objective(&s), J, 1e-14);
    CHECK_CLOSE(s.g[0], 3 * p0 + 0.2 * 0.5, 1e-14);
    CHECK_CLOSE(s.g[1], -3 * p0 - 0.2, 1e-14);
    CHECK_CLOSE(s.g[2], p0, 1e-14);
    CHECK_CLOSE(s.g[3], -p0, 1e-14);
    s.target[0] = 1;
    s.target[1] = -2;
    s.loss = &check_losses[ML__MLP_SQUARED_ERROR];
    CHECK_CLOSE(objective(&s), 0.5 * ((z0 - 1) * (z0 - 1) + (z1 + 2) * (z1 + 2)) + 0.1 * 1.25, 1e-14);
    CHECK_CLOSE(s.g[2], z0 - 1, 1e-14);
    CHECK_CLOSE(s.g[3], z1 + 2, 1e-14);
}

TEST(mlp_gradients, weight_two_is_a_row_given_twice)
{
    static setting once, twice;
    ml__rng rng = ml__rng_make(3, 3);
    const size_t widths[] = {4, 6, 3}, m = 6;
    double J;

    for (int loss = 0; loss < ML__MLP_N_LOSSES; loss++) {
        make_net(&once, widths, 2, ML__MLP_TANH, &rng);
        make_batch(&once, m, false, 0, &rng);
        make_net(&twice, widths, 2, ML__MLP_TANH, &rng);
        memcpy(twice.theta, once.theta, sizeof once.theta);
        for (size_t i = 0; i < 2 * m; i++) { /* every row twice, but the first half of them with weight 2 in `once` */
            memcpy(twice.X + i * 4, once.X + i % m * 4, 4 * sizeof(double));
            memcpy(twice.target + i * 3, once.target + i % m * 3, 3 * sizeof(double));
            twice.label[i] = once.label[i % m];
        }
        for (size_t i = 0; i < m + 3; i++)
            twice.share[i] = 1.0 / 9;
        for (size_t i = 0; i < m; i++)
            once.share[i] = (i < 3 ? 2 : 1) / 9.0;
        twice.batch = (check_batch){m + 3, twice.X, twice.label, twice.target, twice.share, 0.3 / 9};
        once.batch.penalty = 0.3 / 9;
        once.loss = twice.loss = &check_losses[loss];
        J = objective(&once);
        CHECK_CLOSE(J, objective(&twice), 1e-14);
        for (size_t i = 0; i < once.n_theta; i++)
            CHECK_CLOSE(once.g[i], twice.g[i], 1e-14);
    }
}

TEST(mlp_gradients, large_logits_are_stable)
{
    /* float, as in training: logits of +-1e4 on the right and on the wrong class */
    float Z[] = {1e4f, -1e4f, 0, 1e4f, -1e4f, 0}, row[4];
    const int32_t label[] = {0, 1};
    const float share[] = {0.5f, 0.5f};
    const ml__mlp_batch batch = {2, NULL, label, NULL, share, 0};
    const ml__crew_f32 best = {.k = &ml__kernels_best()->f32};
    const double J = ml__mlp_losses[ML__MLP_CROSS_ENTROPY].evaluate(&best, &batch, 3, Z, row);

    CHECK_CLOSE(J, 0.5 * 2e4, 1e-6);
    CHECK(Z[0] == 0 && Z[1] == 0 && Z[2] == 0);
    CHECK(Z[3] == 0.5f && Z[4] == -0.5f && Z[5] == 0);
}

TEST(mlp_gradients, relu_passes_nan_on)
{
    float x[] = {-1, 0, 2, NAN, -INFINITY, INFINITY}, one = 1, zero = 0, h[6];
    const ml__mlp_net net = {{1, {1, 1}}, {&one}, {&zero}, {&ml__mlp_activations[ML__MLP_RELU]}};
    const ml__crew_f32 best = {.k = &ml__kernels_best()->f32};

    CHECK_OK(ml__mlp_forward(&best, &net, 6, x, (float *[]){h}));
    CHECK(h[0] == 0 && h[1] == 0 && h[2] == 2 && isnan(h[3]) && h[4] == 0 && isinf(h[5]));
}
