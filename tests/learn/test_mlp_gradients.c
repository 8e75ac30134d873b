/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network's passes in double, as L-BFGS uses them and from the very source that trains in float, against central
 * differences: every activation, loss, penalty, mask of dropout, tied weights, complexity of a code, and several heads.
 */
#include "base/random.h"
#include "learn/mlp/mlp.h"
#include "test.h"

enum { MAX_ROWS = 16, MAX_WIDTH = 12, MAX_THETA = 1024, MAX_LAYERS = 4, MAX_HEADS = 4 };

/* A network with a batch, all on the caller's stack. */
typedef struct setting {
    ml__mlp64_net net;
    ml__mlp64_objective objective;
    ml__mlp64_head heads[MAX_HEADS];
    ml__mlp64_batch batch;
    ml__mlp64_work work;
    size_t n_theta;
    double theta[MAX_THETA], g[MAX_THETA], scale[MAX_HEADS][MAX_WIDTH];
    double X[MAX_ROWS * MAX_WIDTH], target[MAX_ROWS * MAX_WIDTH], share[MAX_ROWS];
    int32_t label[MAX_ROWS * MAX_HEADS];
    double H[MAX_LAYERS][MAX_ROWS * MAX_WIDTH], Z[MAX_LAYERS][MAX_ROWS * MAX_WIDTH];
    double mask[MAX_LAYERS][MAX_ROWS * MAX_WIDTH], kept[MAX_LAYERS][MAX_ROWS * MAX_WIDTH];
    double delta[2][MAX_ROWS * MAX_WIDTH], row[2 * MAX_ROWS], ones[MAX_ROWS];
} setting;

static const ml__crew_f64 *crew(void)
{
    static ml__crew_f64 alone;

    alone.k = &ml__kernels_rowwise()->f64;
    return &alone;
}

static void make_net(setting *s, const size_t *widths, size_t L, int activation, ml__rng *rng)
{
    memset(s, 0, sizeof *s);
    s->net.shape.L = L;
    for (size_t l = 0; l <= L; l++)
        s->net.shape.n[l] = widths[l];
    for (size_t l = 0; l < L; l++) {
        s->net.f[l] = &ml__mlp_activations[l + 1 < L ? activation : ML__MLP_IDENTITY];
        s->net.shape.tied_to[l] = ML__MLP_NOT_TIED;
        s->work.H[l] = s->H[l];
        s->work.Z[l] = s->net.f[l]->needs_z ? s->Z[l] : NULL;
    }
    s->work.delta[0] = s->delta[0];
    s->work.delta[1] = s->delta[1];
    s->work.row = s->row;
    s->work.ones = s->ones;
    for (size_t i = 0; i < MAX_ROWS; i++)
        s->ones[i] = 1;
    for (size_t i = 0; i < MAX_THETA; i++)
        s->theta[i] = 0.7 * ml__rng_normal(rng);
}

static void bind(setting *s)
{
    CHECK_OK(ml__mlp_theta_length(&s->net.shape, &s->n_theta));
    CHECK(s->n_theta <= MAX_THETA);
    ml__mlp64_net_bind(&s->net, s->theta);
}

/* One head for all columns of the last layer; reals in [0, 1] for the loss that wants them so. */
static void make_head(setting *s, int loss, bool is_label, bool is_logistic, bool is_uniform, ml__rng *rng)
{
    const size_t n_out = s->net.shape.n[s->net.shape.L];
    ml__mlp64_head *h = s->heads + s->objective.n_heads;

    for (size_t j = 0; j < MAX_WIDTH; j++)
        s->scale[s->objective.n_heads][j] = is_uniform ? 0.8 : 0.5 + ml__rng_uniform(rng);
    *h = (ml__mlp64_head){.loss = loss,
                          .is_label = is_label,
                          .is_logistic = is_logistic || loss == ML__MLP_BINARY_CROSS_ENTROPY,
                          .is_uniform = is_uniform,
                          .n = n_out,
                          .scale = s->scale[s->objective.n_heads],
                          .huber_delta = 0.9};
    s->objective.heads = s->heads;
    s->objective.n_heads++;
    s->objective.n_labels = is_label ? 1 : 0;
    s->objective.n_targets = is_label ? 0 : n_out;
}

static void make_batch(setting *s, size_t m, bool weighted, bool missing, ml__rng *rng)
{
    const size_t d = s->net.shape.n[0], n_out = s->net.shape.n[s->net.shape.L];
    const bool unit = s->heads[0].is_logistic && !s->heads[0].is_label;
    double W = 0;

    for (size_t i = 0; i < m; i++)
        W += s->share[i] = weighted ? 3 * ml__rng_uniform(rng) : 1;
    for (size_t i = 0; i < m; i++) {
        s->share[i] /= W;
        s->label[i] = missing && i % 3 == 1 ? -1 : (int32_t)ml__rng_below(rng, n_out == 1 ? 2 : n_out);
    }
    for (size_t i = 0; i < m * d; i++)
        s->X[i] = ml__rng_normal(rng);
    for (size_t i = 0; i < m * n_out; i++)
        s->target[i] = missing && i % 4 == 2 ? NAN : unit ? ml__rng_uniform(rng) : 2 * ml__rng_normal(rng);
    s->batch = (ml__mlp64_batch){.m = m, .X = s->X, .label = s->label, .target = s->target, .share = s->share};
}

/* Each layer's gradient goes where g has its weights. */
static ml_status keep_gradient(void *user, const ml__mlp64_factors *layer)
{
    setting *s = user;

    return ml__mlp64_add_gradient(crew(), layer, s->g + (layer->W - s->theta), s->g + (layer->b - s->theta));
}

static double objective(setting *s)
{
    double J = NAN;

    memset(s->g, 0, sizeof s->g);
    CHECK_OK(ml__mlp64_backpropagate(crew(), &s->net, &s->objective, &s->batch, &s->work, keep_gradient, s, &J));
    return J;
}

static double central_difference(setting *s, size_t i, double h)
{
    const double old = s->theta[i];
    double up, down;

    s->theta[i] = old + h;
    up = objective(s);
    s->theta[i] = old - h;
    down = objective(s);
    s->theta[i] = old;
    return (up - down) / (2 * h);
}

/* Largest |analytic - central difference|, relative to the largest gradient, from weight `first` on. A difference across a
 * kink (of a ReLU, a magnitude) says nothing: then a smaller step decides. */
static double worst_difference(setting *s, size_t first)
{
    double analytic[MAX_THETA], worst = 0, scale_of = 1e-4;

    (void)objective(s);
    memcpy(analytic, s->g, sizeof analytic);
    for (size_t i = first; i < s->n_theta; i++)
        scale_of = fmax(scale_of, fabs(analytic[i]));
    for (size_t i = first; i < s->n_theta; i++) {
        double error = fabs(central_difference(s, i, 1e-5) - analytic[i]) / scale_of;

        if (error > 1e-6)
            error = fabs(central_difference(s, i, 1e-7) - analytic[i]) / scale_of;
        worst = fmax(worst, error);
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
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES };

static const struct {
    int loss;
    bool is_label, is_logistic, is_uniform;
} HEADS[] = {
    {ML__MLP_CROSS_ENTROPY, true, false, false},
    {ML__MLP_SQUARED_ERROR, false, false, true},
    {ML__MLP_SQUARED_ERROR, false, false, false},
    {ML__MLP_SQUARED_ERROR, false, true, true},
    {ML__MLP_ABSOLUTE_ERROR, false, false, false},
    {ML__MLP_HUBER, false, false, false},
    {ML__MLP_HUBER, false, true, false},
    {ML__MLP_ABSOLUTE_ERROR, false, true, false},
    {ML__MLP_BINARY_CROSS_ENTROPY, false, true, false},
};
enum { N_HEADS = sizeof HEADS / sizeof *HEADS };

/* options: bit 0 weights, 1 L2, 2 L1, 3 dropout, 4 missing outputs */
static void set_options(setting *s, int options, ml__rng *rng)
{
    s->batch.penalty = options & 2 ? 0.3 : 0;
    s->batch.penalty_1 = options & 4 ? 0.05 : 0;
    for (size_t l = 0; l + 1 < s->net.shape.L && options & 8; l++) {
        for (size_t i = 0; i < MAX_ROWS * MAX_WIDTH; i++)
            s->mask[l][i] = ml__rng_uniform(rng) < 0.3 ? 0 : 1 / 0.7;
        s->work.mask[l] = s->mask[l];
        s->work.kept[l] = s->kept[l];
    }
}

TEST(mlp_gradients, equal_central_differences)
{
    static setting s;
    double worst = 0;

    for (size_t shape = 0; shape < N_SHAPES; shape++)
        for (int variant = 0; variant < ML__MLP_N_ACTIVATIONS * N_HEADS * 32; variant++) {
            const int activation = variant % ML__MLP_N_ACTIVATIONS, rest = variant / ML__MLP_N_ACTIVATIONS;
            const int head = rest % N_HEADS, options = rest / N_HEADS;
            ml__rng rng = ml__rng_make(7 + (uint64_t)variant, shape);
            double difference;

            make_net(&s, SHAPES[shape].n, SHAPES[shape].L, activation, &rng);
            bind(&s);
            make_head(&s, HEADS[head].loss, HEADS[head].is_label, HEADS[head].is_logistic, HEADS[head].is_uniform,
                      &rng);
            if (HEADS[head].is_label && s.heads[0].n == 1)
                s.heads[0].loss = ML__MLP_BINARY_CROSS_ENTROPY;
            make_batch(&s, 5 + shape, options & 1, options & 16, &rng);
            set_options(&s, options, &rng);
            difference = worst_difference(&s, 0);
            CHECK_MSG(difference < 2e-6, "shape %zu, activation %d, head %d, options %d: %g", shape, activation, head,
                      options, difference);
            worst = fmax(worst, difference);
        }
    if (getenv("INVAR_VERBOSE"))
        printf("    worst relative difference %g\n", worst);
}

/* Classes, a binary label and two reals on one trunk, each with rows that lack it. */
TEST(mlp_gradients, of_several_heads_equal_central_differences)
{
    static setting s;

    for (int options = 0; options < 32; options++) {
        ml__rng rng = ml__rng_make(99, (uint64_t)options);

        make_net(&s, (const size_t[]){4, 6, 5, 6}, 3, ML__MLP_TANH, &rng);
        bind(&s);
        for (int head = 0; head < 3; head++)
            make_head(&s,
                      head == 0   ? ML__MLP_CROSS_ENTROPY
                      : head == 1 ? ML__MLP_BINARY_CROSS_ENTROPY
                                  : ML__MLP_SQUARED_ERROR,
                      head < 2, false, false, &rng);
        s.heads[0].n = 3;
        s.heads[1].n = 1;
        s.heads[1].first = 3;
        s.heads[1].column = 1;
        s.heads[2].n = 2;
        s.heads[2].first = 4;
        make_batch(&s, 9, options & 1, options & 16, &rng);
        s.objective.n_labels = s.objective.n_targets = 2;
        for (size_t i = 0; i < 9; i++) {
            s.label[2 * i] = options & 16 && i % 4 == 0 ? -1 : (int32_t)(i % 3);
            s.label[2 * i + 1] = options & 16 && i % 3 == 0 ? -1 : (int32_t)(i % 2);
        }
        set_options(&s, options, &rng);
        CHECK_MSG(worst_difference(&s, 0) < 1e-6, "options %d", options);
    }
}

/* 6-4-2-4-6 with a code that costs, decoder free or tied to the encoder. */
TEST(mlp_gradients, of_tied_autoencoders_equal_central_differences)
{
    static setting s;

    for (int variant = 0; variant < 2 * 32 * ML__MLP_N_ACTIVATIONS; variant++) {
        const int options = variant % 32, activation = variant / 64;
        const bool tied = variant & 32;
        ml__rng rng = ml__rng_make(31, (uint64_t)variant);
        double difference;

        make_net(&s, (const size_t[]){6, 4, 2, 4, 6}, 4, activation, &rng);
        for (size_t l = 2; tied && l < 4; l++)
            s.net.shape.tied_to[l] = 3 - l;
        bind(&s);
        make_head(&s, ML__MLP_SQUARED_ERROR, false, false, true, &rng);
        make_batch(&s, 7, options & 1, false, &rng);
        set_options(&s, options, &rng);
        s.objective.code = 1;
        s.objective.complexity = 0.3;
        difference = worst_difference(&s, 0);
        CHECK_MSG(difference < 2e-6, "options %d, activation %d, tied %d: %g", options, activation, tied, difference);
    }
}

TEST(mlp_gradients, frozen_layers_have_none)
{
    static setting s;
    ml__rng rng = ml__rng_make(5, 5);

    make_net(&s, (const size_t[]){4, 6, 5, 3}, 3, ML__MLP_TANH, &rng);
    bind(&s);
    make_head(&s, ML__MLP_SQUARED_ERROR, false, false, true, &rng);
    make_batch(&s, 8, true, false, &rng);
    s.batch.penalty = 0.2;
    s.objective.first_trained = 2;
    CHECK(worst_difference(&s, 4 * 6 + 6 + 6 * 5 + 5) < 1e-6);
    (void)objective(&s);
    for (size_t i = 0; i < 4 * 6 + 6 + 6 * 5 + 5; i++)
        CHECK(s.g[i] == 0);
}

TEST(mlp_gradients, objective_is_the_formula)
{
    /* one row, one feature, two classes, worked by hand */
    static setting s;
    ml__rng rng = ml__rng_make(1, 1);
    const double theta[] = {0.5, -1, 0.25, 2}, z0 = 3 * 0.5 + 0.25, z1 = 3 * -1 + 2;
    const double p0 = exp(z0) / (exp(z0) + exp(z1)), J = -log(1 - p0) + 0.5 * 0.2 * (0.5 * 0.5 + 1) + 0.1 * 1.5;

    make_net(&s, (const size_t[]){1, 2}, 1, ML__MLP_RELU, &rng);
    bind(&s);
    make_head(&s, ML__MLP_CROSS_ENTROPY, true, false, true, &rng);
    s.scale[0][0] = s.scale[0][1] = 1;
    make_batch(&s, 1, false, false, &rng);
    s.batch.penalty = 0.2;
    s.batch.penalty_1 = 0.1;
    memcpy(s.theta, theta, sizeof theta);
    s.X[0] = 3;
    s.label[0] = 1;
    CHECK_CLOSE(objective(&s), J, 1e-14);
    CHECK_CLOSE(s.g[0], 3 * p0 + 0.2 * 0.5 + 0.1, 1e-14);
    CHECK_CLOSE(s.g[1], -3 * p0 - 0.2 - 0.1, 1e-14);
    CHECK_CLOSE(s.g[2], p0, 1e-14);
    CHECK_CLOSE(s.g[3], -p0, 1e-14);
    s.target[0] = 1;
    s.target[1] = -2;
    s.heads[0].loss = ML__MLP_SQUARED_ERROR;
    s.heads[0].is_label = false;
    s.objective.n_targets = 2;
    s.batch.penalty_1 = 0;
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

    for (int head = 0; head < N_HEADS; head++) {
        make_net(&once, widths, 2, ML__MLP_TANH, &rng);
        bind(&once);
        make_head(&once, HEADS[head].loss, HEADS[head].is_label, HEADS[head].is_logistic, true, &rng);
        make_batch(&once, m, false, false, &rng);
        make_net(&twice, widths, 2, ML__MLP_TANH, &rng);
        bind(&twice);
        make_head(&twice, HEADS[head].loss, HEADS[head].is_label, HEADS[head].is_logistic, true, &rng);
        make_batch(&twice, m + 3, false, false, &rng);
        memcpy(twice.theta, once.theta, sizeof once.theta);
        for (size_t i = 0; i < m + 3; i++) { /* the first half of the rows again, with weight 2 in `once` */
            memcpy(twice.X + i * 4, once.X + i % m * 4, 4 * sizeof(double));
            memcpy(twice.target + i * 3, once.target + i % m * 3, 3 * sizeof(double));
            twice.label[i] = once.label[i % m];
            twice.share[i] = 1.0 / 9;
        }
        for (size_t i = 0; i < m; i++)
            once.share[i] = (i < 3 ? 2 : 1) / 9.0;
        twice.batch.penalty = once.batch.penalty = 0.3 / 9;
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
    const float share[] = {0.5f, 0.5f}, scale[] = {1, 1, 1}, target[] = {1, 0};
    ml__mlp_head head = {.loss = ML__MLP_CROSS_ENTROPY, .is_label = true, .n = 3, .scale = scale};
    ml__mlp_objective o = {.n_heads = 1, .n_labels = 1, .n_targets = 1, .heads = &head};
    const ml__mlp_batch batch = {.m = 2, .label = label, .target = target, .share = share};
    const ml__kernels_f32 *k = &ml__kernels_best()->f32;
    double J = ml__mlp_loss(k, &o, &batch, 3, Z, row);

    CHECK_CLOSE(J, 0.5 * 2e4, 1e-6);
    CHECK(Z[0] == 0 && Z[1] == 0 && Z[2] == 0);
    CHECK(Z[3] == 0.5f && Z[4] == -0.5f && Z[5] == 0);
    for (int is_label = 0; is_label < 2; is_label++) { /* the same two outputs as one logistic column */
        Z[0] = Z[1] = 1e4f;
        head = (ml__mlp_head){.loss = ML__MLP_BINARY_CROSS_ENTROPY,
                              .is_label = is_label == 1,
                              .is_logistic = true,
                              .n = 1,
                              .scale = scale};
        J = ml__mlp_loss(k, &o, &batch, 1, Z, row);
        CHECK_CLOSE(J, 0.5 * 1e4, 1e-6);
        CHECK(is_label ? Z[0] == 0.5f && Z[1] == 0 : Z[0] == 0 && Z[1] == 0.5f);
    }
}

TEST(mlp_gradients, activations_pass_nan_on_and_saturate)
{
    const ml__kernels_f32 *k = &ml__kernels_best()->f32;

    for (int f = 0; f < ML__MLP_N_ACTIVATIONS; f++) {
        float x[] = {-1, 0, 2, NAN, -1e30f, 1e30f}, h[6];

        ml__mlp_activate(k, f, 6, x, h);
        CHECK_MSG(isnan(h[3]), "activation %d", f);
        CHECK_MSG(f == ML__MLP_IDENTITY || f == ML__MLP_LEAKY_RELU || fabsf(h[4]) <= 1, "activation %d: %g", f,
                  (double)h[4]);
        CHECK_MSG(f == ML__MLP_TANH || f == ML__MLP_LOGISTIC ? h[5] == 1 : h[5] == 1e30f, "activation %d: %g", f,
                  (double)h[5]);
    }
}
