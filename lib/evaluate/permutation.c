/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Permutation importance (Breiman 2001, section 10; as scikit-learn's permutation_importance).
 *
 *     mean_j = 1/R Σ_r g_jr      std_j = sqrt(1/R Σ_r (g_jr − mean_j)²)
 *     g_jr   = what the score loses when the values of feature j are shuffled among the rows for the r-th time
 *
 * The order of a shuffle depends on seed, j and r only, so features and repeats may be added without changing the others.
 */
#include <string.h>

#include "evaluate/score.h"

typedef struct {
    const ml_model *model;
    const ml_dataset *data;
    const char *metric;
    size_t n, d, n_repeats;
    uint64_t seed;
    double sign; /* -1 when less is better */
    double score;
    double *x;      /* [n x d] */
    double *column; /* [n] as it was */
    size_t *order;  /* [n] */
    double *losses; /* [n_repeats] */
} permutation;

/* Score with column j in the order of its r-th shuffle. */
static ml_status score_shuffled(const permutation *p, size_t j, size_t r, double *score)
{
    ml__rng rng = ml__rng_make(ml__seed_mix(p->seed, j), r);
    ml_dataset *shuffled = NULL;
    ml_status st;

    for (size_t i = 0; i < p->n; i++)
        p->order[i] = i;
    ml__rng_shuffle(&rng, p->order, p->n);
    for (size_t i = 0; i < p->n; i++)
        p->x[i * p->d + j] = p->column[p->order[i]];
    ML__TRY(ml__dataset_with_features(p->data, p->x, ml__dataset_schema(p->data), &shuffled));
    ML__TRY(ml_model_score(p->model, shuffled, p->metric, score));
done:
    ml_dataset_free(shuffled);
    return st;
}

static ml_status weigh_feature(const permutation *p, size_t j, double *mean, double *std)
{
    double sum = 0, squares = 0, score;
    ml_status st = ML_OK;

    for (size_t i = 0; i < p->n; i++)
        p->column[i] = p->x[i * p->d + j];
    for (size_t r = 0; r < p->n_repeats; r++) {
        ML__TRY(score_shuffled(p, j, r, &score));
        sum += p->losses[r] = p->sign * (p->score - score);
    }
    for (size_t i = 0; i < p->n; i++)
        p->x[i * p->d + j] = p->column[i];
    *mean = sum / (double)p->n_repeats;
    for (size_t r = 0; r < p->n_repeats; r++)
        squares += (p->losses[r] - *mean) * (p->losses[r] - *mean);
    *std = sqrt(squares / (double)p->n_repeats);
done:
    return st;
}

static ml_status check_request(const permutation *p, const double *mean, size_t n_features)
{
    ml_status st = ML_OK;

    ML__CHECK(p->model && p->data && mean, ML_E_ARGUMENT, "%s is NULL",
              !p->model  ? "model"
              : !p->data ? "data"
                         : "mean");
    ML__CHECK(p->n_repeats, ML_E_ARGUMENT, "n_repeats is 0");
    ML__CHECK(p->model->learned, ML_E_STATE, "%s is not fitted", p->model->kind->name);
    ML__CHECK(n_features == p->model->learned->schema.n_features, ML_E_SHAPE,
              "room for %zu features, the model has %zu", n_features, p->model->learned->schema.n_features);
done:
    return st;
}

static ml_status weigh_features(permutation *p, ml__arena *arena, double *mean, double *std)
{
    double *means, *stds;
    size_t n_cells;
    bool less_is_better;
    ml_status st;

    ML__TRY(ml__metric_direction(p->model, p->metric, &less_is_better));
    p->sign = less_is_better ? -1 : 1;
    ML__TRY(ml_model_score(p->model, p->data, p->metric, &p->score));
    ML__CHECK(ml__size_mul(p->n, p->d, &n_cells), ML_E_MEMORY, "%zu x %zu values do not fit in memory", p->n, p->d);
    ML__NEW(arena, p->x, n_cells);
    ML__NEW(arena, p->column, p->n);
    ML__NEW(arena, p->order, p->n);
    ML__NEW(arena, p->losses, p->n_repeats);
    ML__NEW(arena, means, p->d);
    ML__NEW(arena, stds, p->d);
    ML__TRY(ml__dataset_read(p->data, 0, p->n, ML_FLOAT64, p->x));
    for (size_t j = 0; j < p->d; j++)
        ML__TRY(weigh_feature(p, j, &means[j], &stds[j]));
    memcpy(mean, means, p->d * sizeof *mean);
    if (std)
        memcpy(std, stds, p->d * sizeof *std);
done:
    return st;
}

ml_status ml_permutation_importance(const ml_model *model, const ml_dataset *data, const char *metric, size_t n_repeats,
                                    uint64_t seed, double *mean, double *std, size_t n_features)
{
    const ml__float_state host = ml__float_begin();
    permutation p = {.model = model, .data = data, .metric = metric, .n_repeats = n_repeats, .seed = seed};
    ml__arena arena;
    ml_status st;

    ml__arena_init(&arena, model ? model->context : NULL);
    ML__TRY(check_request(&p, mean, n_features));
    p.n = ml_dataset_n_rows(data);
    p.d = n_features;
    ML__TRY(weigh_features(&p, &arena, mean, std));
done:
    ml__arena_free(&arena);
    return ml__float_end(host, st);
}
