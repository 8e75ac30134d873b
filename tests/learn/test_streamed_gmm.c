/* SPDX-License-Identifier: Apache-2.0 */
/* gmm and gmm_classifier on rows that are not in memory: the bytes of a fit in memory, failing reads, bounded memory. */
#include "streamed_toys.h"

static const char *const TYPES[] = {"covariance_type=full", "covariance_type=tied", "covariance_type=diag",
                                    "covariance_type=spherical"};
static const char *const INITS[] = {"init_params=kmeans", "init_params=k-means++", "init_params=random",
                                    "init_params=random_from_data", "init_params=hierarchical"};

TEST(streamed_gmm, same_bytes_from_every_start)
{
    toy t = toy_blobs(3001, 4, 4, 1);

    for (size_t type = 0; type < 4; type++)
        for (size_t init = 0; init < 5; init++)
            toy_check("gmm",
                      SETTINGS(TYPES[type], INITS[init], "n_components=4", "n_init=2", "max_iter=12", "random_state=3"),
                      &t, 1);
    toy_free(&t);
}

/* Statistics that are kept, statistics in blocks, and features too many for them. */
TEST(streamed_gmm, same_bytes_whatever_the_size)
{
    static const size_t WIDTHS[] = {1, 9, 40, 3}, ROWS[] = {30000, 4000, 700, 300};

    for (size_t i = 0; i < 4; i++) {
        toy t = toy_blobs(ROWS[i], WIDTHS[i], 3, 5);
        for (size_t type = 0; type < 4; type++)
            toy_check("gmm", SETTINGS(TYPES[type], "n_components=3", "max_iter=6"), &t, 1);
        toy_free(&t);
    }
}

TEST(streamed_gmm, same_bytes_with_weights)
{
    for (size_t skip = 0; skip <= 4; skip += 4) {
        toy t = toy_blobs(2000, 3, 3, 8);

        toy_weigh(&t, true, skip);
        for (size_t type = 0; type < 4; type++)
            for (size_t init = 0; init < 5; init++)
                toy_check("gmm", SETTINGS(TYPES[type], INITS[init], "n_components=3", "max_iter=8"), &t, 1);
        toy_free(&t);
    }
}

/* Entries go missing: few patterns, or about one for each row. */
static void lose(toy *t, bool few_patterns)
{
    uint64_t state = 17;

    for (size_t i = 0; i < t->n; i++)
        for (size_t j = 0; j < t->d; j++)
            if (few_patterns ? i % 3 == 0 && j % 5 == i % 5 : toy_uniform(&state) < 0.2)
                t->x[i * t->d + j] = NAN;
}

TEST(streamed_gmm, same_bytes_with_missing_entries)
{
    for (int few_patterns = 0; few_patterns < 2; few_patterns++)
        for (int weighted = 0; weighted < 2; weighted++) {
            toy t = toy_blobs(1501, 5, 3, 8);

            lose(&t, few_patterns);
            if (weighted)
                toy_weigh(&t, true, 4);
            for (size_t type = 0; type < 4; type += 2)
                for (size_t init = 0; init < 5; init++)
                    toy_check("gmm", SETTINGS(TYPES[type], INITS[init], "n_components=3", "max_iter=5"), &t, 1);
            toy_free(&t);
        }
}

/* Patterns of more features than a word has bits. */
TEST(streamed_gmm, same_bytes_with_many_features_missing)
{
    toy t = toy_blobs(400, 70, 2, 8);

    lose(&t, false);
    toy_check("gmm", SETTINGS("covariance_type=full", "n_components=2", "max_iter=2", "reg_covar=0.1"), &t, 1);
    toy_free(&t);
}

TEST(streamed_gmm, same_bytes_from_a_warm_start)
{
    toy t = toy_blobs(2500, 4, 3, 2);

    for (size_t type = 0; type < 4; type++)
        toy_check("gmm", SETTINGS(TYPES[type], "n_components=3", "max_iter=4", "tol=0", "warm_start=true"), &t, 2);
    toy_free(&t);
}

/* Components far from 0 in their own measure, as statistics cannot hold; components on one point. */
TEST(streamed_gmm, same_bytes_where_moments_are_taken_again)
{
    for (int collapsed = 0; collapsed < 2; collapsed++) {
        toy t = toy_blobs(1200, 3, 2, 6);

        for (size_t i = 0; i < t.n; i++)
            for (size_t j = 0; j < t.d; j++)
                t.x[i * t.d + j] =
                    collapsed ? floor(t.x[i * t.d + j] / 4) : 1e-4 * t.x[i * t.d + j] + 100 * (double)(i % 2);
        for (size_t type = 0; type < 4; type++)
            toy_check("gmm", SETTINGS(TYPES[type], "n_components=4", "max_iter=6"), &t, 1);
        toy_free(&t);
    }
}

TEST(streamed_gmm, reads_that_fail_change_nothing)
{
    toy t = toy_blobs(2000, 6, 3, 2);

    for (size_t init = 0; init < 5; init++)
        toy_check_failures("gmm", SETTINGS(TYPES[init % 4], INITS[init], "n_components=3", "max_iter=5"), &t, 3);
    toy_weigh(&t, true, 3);
    lose(&t, false);
    toy_check_failures("gmm", SETTINGS("covariance_type=full", "n_components=2", "max_iter=2"), &t, 2);
    toy_check_failures("gmm", SETTINGS("covariance_type=diag", "n_components=2", "max_iter=4"), &t, 2);
    toy_free(&t);
}

TEST(streamed_gmm, out_of_memory_anywhere)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    toy t = toy_blobs(300, 3, 2, 2);
    ml_dataset *data;

    lose(&t, false);
    data = toy_streamed(context, &t, NULL, 0);
    CHECK(test_failing_allocations(&allocator, context, "gmm", test_fit_new,
                                   &(test_fit){"gmm", SETTINGS("n_components=2", "max_iter=2"), data}) > 20);
    ml_dataset_free(data);
    ml_context_free(context);
    toy_free(&t);
}

/* Beyond 20 bytes per row, 32 while patterns of missing entries are sorted, what a fit takes does not grow with n; shares of
 * all components would be 32 more. */
TEST(streamed_gmm, memory_is_bounded)
{
    for (int missing = 0; missing < 2; missing++)
        for (size_t init = 0; init < 5; init++) {
            const char *const *settings = SETTINGS("covariance_type=full", INITS[init], "n_components=4", "max_iter=1");
            toy few = toy_blobs(60000, 6, 4, 4), many = toy_blobs(150000, 6, 4, 4);
            const size_t of_row = missing ? 32 : 20;
            size_t least, most;

            if (missing) {
                lose(&few, true);
                lose(&many, true);
            }
            least = toy_peak("gmm", settings, &few, true);
            most = toy_peak("gmm", settings, &many, true);
            CHECK_MSG(most - least <= of_row * (many.n - few.n) + TOY_SLACK, "%s: %zu bytes for %zu rows, %zu for %zu",
                      INITS[init], least, few.n, most, many.n);
            CHECK(toy_peak("gmm", settings, &many, false) > most + many.n * many.d * sizeof(double) / 2);
            toy_free(&few);
            toy_free(&many);
        }
}

/* ---- gmm_classifier ---- */

static void *fit_classifier(ml_context *context, const void *argument, size_t *n_bytes)
{
    const toy_fit *f = argument;
    ml_dataset *data = toy_rows(context, f->rows, f->streamed);
    int64_t *labels = malloc(f->rows->n * sizeof *labels);

    for (size_t i = 0; i < f->rows->n; i++)
        labels[i] = (int64_t)(i / 5 % 3);
    CHECK_OK(ml_dataset_set_labels(data, "y", labels, f->rows->n, -1));
    free(labels);
    return test_fitted_bytes(test_model(context, f->kind, f->settings), data, n_bytes);
}

TEST(streamed_gmm, classifier_same_bytes)
{
    toy t = toy_blobs(2000, 4, 3, 2);

    for (size_t type = 0; type < 4; type++) {
        toy_fit fit = {"gmm_classifier", SETTINGS(TYPES[type], "n_components=2", "max_iter=5"), &t, false, 1};
        size_t n;
        void *want = test_made(1, fit_classifier, &fit, &n);

        fit.streamed = true;
        test_any_threads_as(TYPES[type], want, n, fit_classifier, &fit);
        free(want);
    }
    toy_free(&t);
}

/* ---- bayesian_gmm ---- */

TEST(streamed_gmm, bayesian_same_bytes)
{
    toy t = toy_blobs(2000, 4, 3, 2);

    for (size_t type = 0; type < 4; type++)
        for (size_t init = 0; init < 5; init++)
            toy_check("bayesian_gmm", SETTINGS(TYPES[type], INITS[init], "n_components=4", "max_iter=6"), &t, 1);
    toy_free(&t);
}
