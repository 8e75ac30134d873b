/* SPDX-License-Identifier: Apache-2.0 */
/* kmeans on rows that are not in memory: the bytes of a fit in memory, failing reads, bounded memory. */
#include "streamed_toys.h"

TEST(streamed_kmeans, same_bytes_from_every_start)
{
    static const char *const INITS[] = {"init=k-means++", "init=random"};

    for (size_t i = 0; i < 2; i++) {
        toy t = toy_blobs(5003, 5, 6, 1 + i);
        toy_check("kmeans", SETTINGS(INITS[i], "n_clusters=6", "n_init=3", "random_state=5"), &t, 1);
        toy_check("kmeans", SETTINGS(INITS[i], "n_clusters=23", "n_init=1", "tol=0"), &t, 1);
        toy_free(&t);
        t = toy_blobs(6007, 5, 30, 1 + i);
        toy_check("kmeans", SETTINGS(INITS[i], "n_clusters=30", "n_init=2", "tol=0"), &t, 1);
        toy_free(&t);
    }
}

TEST(streamed_kmeans, same_bytes_from_given_centres)
{
    toy t = toy_blobs(3003, 2, 3, 4);

    toy_check("kmeans", SETTINGS("n_clusters=3", "centers_init=0,0,1,3,-2,5", "n_init=4"), &t, 1);
    toy_check("mini_batch_kmeans", SETTINGS("n_clusters=3", "centers_init=0,0,1,3,-2,5"), &t, 1);
    toy_weigh(&t, true, 3);
    toy_check("kmeans", SETTINGS("n_clusters=3", "centers_init=0,0,1,3,-2,5"), &t, 1);
    toy_free(&t);
}

/* One feature: windows of many blocks; 200: windows of less than a block. */
TEST(streamed_kmeans, same_bytes_whatever_the_width)
{
    static const size_t WIDTHS[] = {1, 17, 200}, ROWS[] = {20000, 3000, 1500};

    for (size_t i = 0; i < 3; i++) {
        toy t = toy_blobs(ROWS[i], WIDTHS[i], 5, 3);
        toy_check("kmeans", SETTINGS("n_clusters=5"), &t, 1);
        toy_free(&t);
    }
}

TEST(streamed_kmeans, same_bytes_with_weights)
{
    static const struct {
        bool vary;
        size_t skip;
    } CASES[] = {{true, 0}, {true, 3}, {false, 0}, {false, 5}};

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        toy t = toy_blobs(3001, 4, 5, 11);
        toy_weigh(&t, CASES[i].vary, CASES[i].skip);
        toy_check("kmeans", SETTINGS("n_clusters=5", "n_init=2"), &t, 1);
        toy_check("kmeans", SETTINGS("n_clusters=9", "init=random", "n_init=2"), &t, 1);
        toy_free(&t);
    }
}

/* More clusters than distinct points; and clusters that run empty, as with centres that few rows are near. */
TEST(streamed_kmeans, same_bytes_with_empty_clusters)
{
    for (int weighted = 0; weighted < 2; weighted++) {
        toy t = toy_blobs(2000, 3, 4, 7);

        if (weighted)
            toy_weigh(&t, true, 0);
        for (size_t v = 0; v < t.n * t.d; v++)
            t.x[v] = floor(t.x[v] / 4);
        toy_check("kmeans", SETTINGS("n_clusters=100"), &t, 1);
        toy_check("kmeans", SETTINGS("init=random", "n_clusters=64", "n_init=3"), &t, 1);
        toy_free(&t);
    }
}

/* Offsets and scales at which single precision decides nothing. */
TEST(streamed_kmeans, same_bytes_at_all_scales)
{
    static const double SCALES[] = {1e-150, 1e150, 1e9};

    for (size_t s = 0; s < 3; s++) {
        toy t = toy_blobs(1200, 2, 4, 9);

        for (size_t v = 0; v < t.n * t.d; v++)
            t.x[v] = SCALES[s] == 1e9 ? t.x[v] + 1e9 : t.x[v] * SCALES[s];
        toy_check("kmeans", SETTINGS("n_clusters=4"), &t, 1);
        toy_free(&t);
    }
}

TEST(streamed_kmeans, reads_that_fail_change_nothing)
{
    toy t = toy_blobs(4000, 3, 5, 2);

    for (uint32_t n_threads = 1; n_threads <= 3; n_threads += 2) {
        toy_check_failures("kmeans", SETTINGS("n_clusters=5", "n_init=2"), &t, n_threads);
        toy_check_failures("kmeans", SETTINGS("n_clusters=5", "init=random", "n_init=1"), &t, n_threads);
    }
    for (size_t v = 0; v < t.n * t.d; v++) /* empty clusters are filled */
        t.x[v] = floor(t.x[v] / 4);
    toy_check_failures("kmeans", SETTINGS("n_clusters=80"), &t, 2);
    toy_weigh(&t, true, 3);
    toy_check_failures("kmeans", SETTINGS("n_clusters=5"), &t, 2);
    toy_free(&t);
}

TEST(streamed_kmeans, out_of_memory_anywhere)
{
    test_allocator allocator = {0};
    ml_context *context = test_context(&allocator, 1);
    toy t = toy_blobs(600, 3, 4, 2);
    ml_dataset *data = toy_streamed(context, &t, NULL, 0);

    CHECK(test_failing_allocations(&allocator, context, "kmeans", test_fit_new,
                                   &(test_fit){"kmeans", SETTINGS("n_clusters=4"), data}) > 20);
    ml_dataset_free(data);
    ml_context_free(context);
    toy_free(&t);
}

/* Beyond 20 bytes per row, and 8 more with weights, what a fit takes does not grow with n. */
TEST(streamed_kmeans, memory_is_bounded)
{
    const char *const *settings = SETTINGS("n_clusters=8", "max_iter=3", "n_init=2");

    for (int weighted = 0; weighted < 2; weighted++) {
        toy few = toy_blobs(20000, 24, 8, 4), many = toy_blobs(90000, 24, 8, 4);
        const size_t of_row = weighted ? 28 : 20;
        size_t least, most;

        if (weighted) {
            toy_weigh(&few, true, 0);
            toy_weigh(&many, true, 0);
        }
        least = toy_peak("kmeans", settings, &few, true);
        most = toy_peak("kmeans", settings, &many, true);
        CHECK_MSG(most - least <= of_row * (many.n - few.n) + TOY_SLACK, "%zu bytes for %zu rows, %zu for %zu", least,
                  few.n, most, many.n);
        CHECK_MSG(most < many.n * many.d * sizeof(float) / 2, "%zu bytes", most);
        CHECK(toy_peak("kmeans", settings, &many, false) > many.n * many.d * sizeof(float));
        toy_free(&few);
        toy_free(&many);
    }
}
