/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of the perceptron's optimisers against float64 references (make_mlp.py), and a fit against its own steps. */
#include "mlp_toys.h"

/* A network of two hidden layers with all that one step needs. */
typedef struct workbench {
    ml__mlp_net net;
    ml__mlp_work work;
    ml__mlp_head head;
    float theta[ROOM], H[3][ROOM], delta[2][ROOM], row[ROOM], ones[ROOM], scale[ROOM];
    size_t n_theta;
} workbench;

static ml__crew_f32 best_crew(void)
{
    return (ml__crew_f32){.k = &ml__kernels_best()->f32};
}

static void build(workbench *w, const ml__mlp_shape *shape, int activation)
{
    w->net.shape = *shape;
    for (size_t l = 0; l < shape->L; l++) {
        w->net.f[l] = &ml__mlp_activations[l + 1 < shape->L ? activation : ML__MLP_IDENTITY];
        w->net.shape.tied_to[l] = ML__MLP_NOT_TIED;
        w->work.H[l] = w->H[l];
    }
    w->work.delta[0] = w->delta[0];
    w->work.delta[1] = w->delta[1];
    w->work.row = w->row;
    w->work.ones = w->ones;
    for (size_t i = 0; i < ROOM; i++)
        w->ones[i] = w->scale[i] = 1;
    CHECK_OK(ml__mlp_theta_length(&w->net.shape, &w->n_theta));
    ml__mlp_net_bind(&w->net, w->theta);
}

/* All columns are one head. */
static ml__mlp_objective objective_of(workbench *w, bool classify)
{
    const size_t n_out = w->net.shape.n[w->net.shape.L];

    w->head = (ml__mlp_head){.loss = classify ? ML__MLP_CROSS_ENTROPY : ML__MLP_SQUARED_ERROR,
                             .is_label = classify,
                             .is_uniform = true,
                             .n = n_out,
                             .scale = w->scale};
    return (ml__mlp_objective){
        .n_heads = 1, .n_labels = classify, .n_targets = classify ? 0 : n_out, .heads = &w->head};
}

/* The parts of an expected file, see make_mlp.py. */
typedef struct steps {
    size_t n, d, n_out, B, n_epochs, n_theta;
    double alpha;
    const double *X, *y, *w, *theta0, *results;
} steps;

static void to_float(float *out, const double *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)in[i];
}

static void run_steps(workbench *b, const steps *s, const ml__mlp_params *p, bool classify, bool weighted)
{
    static float X[ROOM], target[ROOM], share[ROOM];
    static int32_t label[ROOM];
    const ml__crew_f32 crew = best_crew();
    const ml__mlp_objective objective = objective_of(b, classify);
    ml__arena arena;
    ml__mlp_solver solver;

    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__mlp_solver_init(&solver, p, &crew, &b->net, b->n_theta, b->theta, &arena));
    CHECK(solver.n == s->n_theta);
    to_float(b->theta, s->theta0, s->n_theta);
    to_float(X, s->X, s->n * s->d);
    for (size_t i = 0; i < s->n * (classify ? 1 : s->n_out); i++) {
        target[i] = (float)s->y[i];
        label[i] = classify ? (int32_t)s->y[i] : 0;
    }
    for (size_t step = 0; step < s->n_epochs * ((s->n + s->B - 1) / s->B); step++) {
        const size_t first = step * s->B % ((s->n + s->B - 1) / s->B * s->B);
        const size_t m = s->n - first < s->B ? s->n - first : s->B;
        ml__mlp_batch batch = {
            .m = m, .X = X + first * s->d, .label = label + first, .target = target + first * s->n_out, .share = share};
        double W = 0, J;

        for (size_t i = 0; i < s->n; i++) /* m times the mean weight of all rows */
            W += (weighted ? s->w[i] : 1) * (double)m / (double)s->n;
        for (size_t i = 0; i < m; i++)
            share[i] = (float)((weighted ? s->w[first + i] : 1) / W);
        batch.penalty = p->alpha / W;
        CHECK_OK(ml__mlp_step(&solver, &objective, &batch, &b->work, &J));
    }
    ml__arena_free(&arena);
}

static void check_steps(const char *file, bool classify)
{
    static const struct {
        int solver, nesterov, weighted;
        double rate;
    } RUNS[] = {
        {ML__MLP_ADAM, 0, 0, 0.01}, {ML__MLP_SGD, 0, 0, 0.05}, {ML__MLP_SGD, 1, 0, 0.05}, {ML__MLP_ADAM, 0, 1, 0.01}};
    static workbench b;
    size_t n_numbers;
    double *x = test_read_numbers(test_expected_path(file), &n_numbers), worst = 0;
    const ml__mlp_shape shape = {.L = 3, .n = {(size_t)x[1], (size_t)x[2], (size_t)x[3], (size_t)x[4]}};
    steps s = {
        .n = (size_t)x[0], .d = (size_t)x[1], .n_out = (size_t)x[4], .B = (size_t)x[5], .n_epochs = (size_t)x[6]};

    build(&b, &shape, classify ? ML__MLP_RELU : ML__MLP_TANH);
    s.alpha = x[7];
    s.n_theta = b.n_theta;
    s.X = x + 8;
    s.y = s.X + s.n * s.d;
    s.w = s.y + s.n * (classify ? 1 : s.n_out);
    s.theta0 = s.w + s.n;
    s.results = s.theta0 + s.n_theta;
    CHECK(s.results + 4 * s.n_theta == x + n_numbers);
    for (size_t r = 0; r < 4; r++) {
        const ml__mlp_params p = {.solver = RUNS[r].solver,
                                  .alpha = s.alpha,
                                  .learning_rate_init = RUNS[r].rate,
                                  .momentum = 0.9,
                                  .nesterovs_momentum = RUNS[r].nesterov,
                                  .beta_1 = 0.9,
                                  .beta_2 = 0.999,
                                  .epsilon = 1e-8};

        run_steps(&b, &s, &p, classify, RUNS[r].weighted);
        for (size_t i = 0; i < s.n_theta; i++) {
            const double want = s.results[r * s.n_theta + i];
            CHECK_CLOSE((double)b.theta[i], want, 2e-5);
            worst = fmax(worst, fabs((double)b.theta[i] - want) / fmax(1, fabs(want)));
        }
    }
    if (getenv("INVAR_VERBOSE"))
        printf("    %s: worst difference %g\n", file, worst);
    free(x);
}

TEST(mlp_steps, hundred_steps_of_a_classifier_equal_float64)
{
    check_steps("mlp_classes.txt", true);
}

TEST(mlp_steps, hundred_steps_of_a_regressor_equal_float64)
{
    check_steps("mlp_reals.txt", false);
}

/* A learning rate below the resolution of float leaves the initial weights. */
TEST(mlp_steps, a_fit_is_its_steps_in_order)
{
    static workbench b;
    static float X[N * D], share[N], got[ROOM];
    static int32_t label[N];
    bench c;
    open_context(&c, 1);
    ml_dataset *data = toy_classes(c.context);
    ml_model *start = make(c.context, WITH("hidden_layer_sizes=5,4", "learning_rate_init=1e-30", "max_iter=1"));
    ml_model *model = make(c.context, WITH("hidden_layer_sizes=5,4", "shuffle=false", "max_iter=3", "batch_size=16",
                                           "solver=sgd", "learning_rate_init=0.1"));
    const ml__mlp_shape shape = {.L = 3, .n = {D, 5, 4, 3}};
    const ml__crew_f32 crew = best_crew();
    ml__mlp_objective objective;
    ml__mlp_solver solver;
    ml__arena arena;

    CHECK_OK(ml_model_fit(start, data, NULL));
    CHECK_OK(ml_model_fit(model, data, NULL));
    build(&b, &shape, ML__MLP_RELU);
    objective = objective_of(&b, true);
    CHECK(weights_of(start, b.theta, ROOM) == b.n_theta);
    for (size_t i = 0; i < b.n_theta; i++)
        CHECK(fabsf(b.theta[i]) <= (float)sqrt(6.0 / 7)); /* the smallest layer has the widest bound */
    ml__arena_init(&arena, NULL);
    CHECK_OK(ml__mlp_solver_init(&solver, model->params, &crew, &b.net, b.n_theta, b.theta, &arena));
    CHECK_OK(ml__dataset_read(data, 0, N, ML_FLOAT32, X));
    ml__dataset_read_labels(data, 0, label);
    for (size_t epoch = 0; epoch < 3; epoch++)
        for (size_t first = 0; first < N; first += 16) {
            const size_t m = N - first < 16 ? N - first : 16;
            const ml__mlp_batch batch = {
                .m = m, .X = X + first * D, .label = label + first, .share = share, .penalty = 0.0001 / (double)m};
            double J;

            for (size_t i = 0; i < m; i++)
                share[i] = (float)(1 / (double)m);
            CHECK_OK(ml__mlp_step(&solver, &objective, &batch, &b.work, &J));
        }
    CHECK(weights_of(model, got, ROOM) == b.n_theta);
    CHECK_SAME_BYTES(got, b.n_theta * sizeof(float), b.theta, b.n_theta * sizeof(float));
    ml__arena_free(&arena);
    ml_model_free(start);
    ml_model_free(model);
    ml_dataset_free(data);
    close_context(&c);
}

/* A solver of one weight, only for its learning rate. */
static ml__mlp_solver rate_of(const ml__mlp_params *p, workbench *b, ml__arena *arena)
{
    const ml__mlp_shape shape = {.L = 1, .n = {1, 1}};
    const ml__crew_f32 crew = best_crew();
    ml__mlp_solver solver;

    build(b, &shape, ML__MLP_RELU);
    CHECK_OK(ml__mlp_solver_init(&solver, p, &crew, &b->net, b->n_theta, b->theta, arena));
    CHECK(ml__mlp_rate(&solver) == p->learning_rate_init || p->warmup_epochs > 0);
    solver.steps_per_epoch = 10;
    return solver;
}

TEST(mlp_steps, schedules_are_their_formulas)
{
    static workbench b;
    ml__mlp_params p = {.solver = ML__MLP_SGD,
                        .learning_rate = ML__MLP_INVSCALING,
                        .learning_rate_init = 0.5,
                        .power_t = 0.5,
                        .max_iter = 8,
                        .decay_rate = 0.25,
                        .decay_epochs = 2};
    ml__arena arena;
    ml__mlp_solver solver;

    ml__arena_init(&arena, NULL);
    solver = rate_of(&p, &b, &arena);
    ml__mlp_epoch_ends(&solver, 12);
    ml__mlp_epoch_ends(&solver, 12);
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.1, 1e-15); /* 0.5 / sqrt(24 + 1) */
    CHECK(ml__mlp_stalled(&solver));
    p.learning_rate = ML__MLP_ADAPTIVE;
    solver = rate_of(&p, &b, &arena);
    CHECK(!ml__mlp_stalled(&solver));
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.1, 1e-15);
    p.learning_rate = ML__MLP_COSINE;
    solver = rate_of(&p, &b, &arena);
    solver.epochs = 4;
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.25, 1e-15);
    solver.epochs = 1;
    solver.part = 1;
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.25 * (1 + sqrt(0.5)), 1e-15);
    p.learning_rate = ML__MLP_STEP;
    solver = rate_of(&p, &b, &arena);
    solver.epochs = 1.75;
    CHECK(ml__mlp_rate(&solver) == 0.5);
    solver.part = 0.25;
    CHECK(ml__mlp_rate(&solver) == 0.125);
    p.warmup_epochs = 3;
    solver = rate_of(&p, &b, &arena);
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.5 / 30, 1e-15);
    solver.epochs = 1;
    solver.part = 0.4;
    CHECK_CLOSE(ml__mlp_rate(&solver), 0.25, 1e-15);
    ml__arena_free(&arena);
}
