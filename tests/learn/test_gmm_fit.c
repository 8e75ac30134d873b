/* SPDX-License-Identifier: Apache-2.0 */
/* Gaussian mixtures, how a fit ends: stop reasons, cancel, threads, failing allocations, tensors from a file. */
#include <pthread.h>

#include "gmm_toys.h"

/* ---- how a fit ends ---- */

typedef struct watch {
    uint64_t n_steps, stop_at, total;
    double last;
} watch;

static int32_t look(void *user, const ml_progress *p)
{
    watch *w = user;

    CHECK(!strcmp(p->metric, "log_likelihood") && !strcmp(p->stage, "gmm"));
    w->total = p->total;
    w->last = p->value;
    return ++w->n_steps == w->stop_at;
}

static char last_log[256];

static void keep_log(void *user, int32_t level, const char *message)
{
    (void)user;
    snprintf(last_log, sizeof last_log, "%d %s", (int)level, message);
}

TEST(gmm, stop_reasons_are_told)
{
    const ml_context_options options = {.struct_size = sizeof options, .log = keep_log};
    matrix m = blobs(100, 2, 4, 2, 3);
    ml_context *context;
    watch w = {0};
    ml_fit_options fit = {.struct_size = sizeof fit, .monitor = look, .monitor_user = &w};

    CHECK_OK(ml_context_create(&options, &context));
    ml_dataset *data = dataset(context, &m);
    ml_model *model = unfitted(context, SETTINGS("n_components=3", "tol=0", "max_iter=7", "n_init=2"));
    CHECK_OK(ml_model_fit(model, data, &fit));
    CHECK(ml_model_stop_reason(model) == ML_STOP_MAX_ITER);
    CHECK(count(model, "converged") == 0 && count(model, "n_iter") == 7);
    CHECK(w.n_steps == 14 && w.total == 14);
    CHECK_MSG(
        !strcmp(last_log, "2 gmm: no convergence in 7 iterations (max_iter); a larger max_iter or tol would help"),
        "%s", last_log);

    CHECK_OK(ml_model_set_real(model, "tol", 1e-3));
    CHECK_OK(ml_model_set_int(model, "max_iter", 1000));
    CHECK_OK(ml_model_fit(model, data, NULL));
    CHECK(ml_model_stop_reason(model) == ML_STOP_CONVERGED && count(model, "converged") == 1);
    size_t n;
    const double *L = tensor(model, "lower_bounds", &n);
    CHECK(fabs(L[n - 1] - L[n - 2]) < 1e-3 && fabs(L[n - 2] - L[n - 3]) >= 1e-3);

    fit = (ml_fit_options){.struct_size = sizeof fit, .deadline_seconds = 1e-9};
    CHECK_OK(ml_model_fit(model, data, &fit));
    CHECK(ml_model_stop_reason(model) == ML_STOP_DEADLINE && count(model, "n_iter") == 1);
    ml_model_free(model);
    ml_dataset_free(data);
    ml_context_free(context);
    free(m.X);
}

TEST(gmm, cancel_at_any_step_keeps_the_old_state)
{
    matrix m = blobs(60, 2, 2, 2, 3), other = blobs(60, 2, 3, 4, 4);
    ml_dataset *data = dataset(NULL, &other);
    ml_model *model = fitted(&m, SETTINGS("n_components=2")), *same = fitted(&m, SETTINGS("n_components=2"));
    ml_status st = ML_E_CANCELLED;

    CHECK_OK(ml_model_set_int(model, "n_init", 2));
    for (uint64_t stop_at = 1; st != ML_OK; stop_at++) {
        watch w = {.stop_at = stop_at};
        const ml_fit_options fit = {.struct_size = sizeof fit, .monitor = look, .monitor_user = &w};
        st = ml_model_fit(model, data, &fit);
        CHECK(st == ML_OK || (st == ML_E_CANCELLED && w.n_steps == stop_at));
        if (st != ML_OK)
            check_same_tensors(model, same);
    }
    ml_model_free(same);
    same = fitted(&other, SETTINGS("n_components=2", "n_init=2"));
    check_same_tensors(model, same);
    ml_dataset_free(data);
    ml_model_free(model);
    ml_model_free(same);
    free(m.X);
    free(other.X);
}

/* ---- threads and memory ---- */

static int32_t run_backwards(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument)
{
    (void)user;
    while (n_tasks-- > 0)
        task(argument, n_tasks);
    return 0;
}

enum { N_HOSTS = 3 };

/* Every N_HOSTS-th task of a job. */
typedef struct share {
    void (*task)(void *argument, size_t index);
    void *argument;
    size_t first, n_tasks;
} share;

static void *run_share(void *argument)
{
    const share *s = argument;

    for (size_t i = s->first; i < s->n_tasks; i += N_HOSTS)
        s->task(s->argument, i);
    return NULL;
}

/* At the same time, whatever n_threads is. */
static int32_t run_at_once(void *user, size_t n_tasks, void (*task)(void *argument, size_t index), void *argument)
{
    share shares[N_HOSTS];
    pthread_t threads[N_HOSTS];

    (void)user;
    for (size_t h = 0; h < N_HOSTS; h++) {
        shares[h] = (share){task, argument, h, n_tasks};
        CHECK(pthread_create(&threads[h], NULL, run_share, &shares[h]) == 0);
    }
    for (size_t h = 0; h < N_HOSTS; h++)
        pthread_join(threads[h], NULL);
    return 0;
}

/* Hosts' executors that run the tasks backwards, and more at a time than there are threads, too. */
TEST(gmm, threads_do_not_show)
{
    static const char *const STARTS[] = {"init_params=kmeans", "init_params=random", "init_params=random_from_data",
                                         "init_params=hierarchical"};
    const ml_context_options HOSTS[] = {
        {.struct_size = sizeof *HOSTS, .n_threads = 5, .executor = {run_backwards, NULL}},
        {.struct_size = sizeof *HOSTS, .n_threads = 1, .executor = {run_at_once, NULL}}};
    matrix m = blobs(3000, 3, 6, 2, 12);

    for (size_t s = 0; s < sizeof STARTS / sizeof *STARTS; s++) {
        const matrix_fit fit = {&m, "gmm", SETTINGS("n_components=5", "max_iter=12", STARTS[s])};

        for (size_t h = 0; h < 2; h++) {
            ml_context *context;
            size_t n;
            void *bytes;

            CHECK_OK(ml_context_create(&HOSTS[h], &context));
            bytes = fit_matrix(context, &fit, &n);
            test_any_threads_as(STARTS[s], bytes, n, fit_matrix, &fit);
            free(bytes);
            ml_context_free(context);
        }
    }
    free(m.X);
}

TEST(gmm, every_allocation_may_fail)
{
    matrix m = blobs(40, 2, 2, 5, 1), wide = blobs(40, 30, 2, 5, 1);

    check_every_allocation(&m, "gmm", SETTINGS("n_components=2", "init_params=kmeans"));
    check_every_allocation(&m, "gmm", SETTINGS("n_components=2", "init_params=random_from_data"));
    check_every_allocation(&m, "gmm", SETTINGS("n_components=2", "init_params=hierarchical"));
    check_every_allocation(&m, "gmm", SETTINGS("n_components=2", "precisions_init=1,0,0,1,2,0,0,2"));
    check_every_allocation(&wide, "gmm", SETTINGS("n_components=20", "init_params=random", "max_iter=2"));
    free(m.X);
    free(wide.X);
}

/* ---- tensors from a file ---- */

TEST(gmm, broken_tensors_are_refused)
{
    static const struct {
        const char *tensor;
        size_t element;
        double value;
        const char *text;
    } CASES[] = {
        {"weights", 0, -0.5, "tensor 'weights': element 0 is -0.5, negative"},
        {"weights", 1, NAN, "tensor 'weights': element 1 is nan"},
        {"weights", 1, 0.9, "tensor 'weights': the sum is"},
        {"means", 3, INFINITY, "tensor 'means': element 3 is inf"},
        {"covariances", 2, NAN, "tensor 'covariances': element 2"},
        {"precisions_cholesky", 0, 0, "component 0, row 0, column 0 is 0, expected a positive diagonal"},
        {"precisions_cholesky", 7, -1, "component 1, row 1, column 1 is -1, expected a positive diagonal"},
        {"precisions_cholesky", 6, 1e-300, "component 1, row 1, column 0 is 1e-300, expected 0 below the diagonal"},
        {"precisions_cholesky", 1, NAN, "tensor 'precisions_cholesky': element 1"},
        {"lower_bounds", 0, NAN, "tensor 'lower_bounds': element 0"},
        {"converged", 0, 2, "'converged' is 2, expected 0 or 1"},
    };
    matrix m = blobs(40, 2, 2, 5, 1);
    ml_model *model = fitted(&m, SETTINGS("n_components=2"));

    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++)
        CHECK_REFUSED_VALUE(model, CASES[c].tensor, CASES[c].element, CASES[c].value, CASES[c].text);
    CHECK_REFUSED_VALUE(model, "n_iter", 0, (double)(count(model, "n_iter") + 1), "lower bounds");
    CHECK_REFUSED_SIZE(model, "covariances", 0, 1, "'covariances': dimension 0 is 1");
    CHECK_REFUSED_SIZE(model, "means", 1, 3, "'means': dimension 1 is 3");
    CHECK_OK(ml__learned_validate(model, model->learned, false));
    ml_model_free(model);
    free(m.X);
}

TEST(gmm, a_saved_mixture_predicts_the_same_bits)
{
    matrix m = table("iris", 0, NULL);
    ml_model *model = fitted(&m, SETTINGS("n_components=3")), *loaded = check_loaded(model, &m);

    ml_model_free(loaded);
    ml_model_free(model);
    free(m.X);
}
