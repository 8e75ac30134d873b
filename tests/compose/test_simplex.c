/* SPDX-License-Identifier: Apache-2.0 */
#include "compose/simplex.h"
#include "test.h"

typedef ml_status (*solver)(ml__arena *, size_t, size_t, const double *, const double *, double *, double *);

static double solve(solver f, size_t n, size_t m, const double *P, const double *omega, double *w)
{
    double *ones = malloc(n * sizeof *ones), gap, sum = 0;
    ml__arena arena;

    for (size_t i = 0; i < n; i++)
        ones[i] = 1;
    ml__arena_init(&arena, NULL);
    CHECK_OK(f(&arena, n, m, P, omega ? omega : ones, w, &gap));
    ml__arena_free(&arena);
    free(ones);
    for (size_t k = 0; k < m; k++) {
        CHECK(w[k] >= 0);
        sum += w[k];
    }
    CHECK_CLOSE(sum, 1, 1e-14);
    return gap;
}

static void check_file(const char *name, solver f, double tolerance)
{
    size_t n_expected;
    double *expected = test_read_numbers(test_expected_path(name), &n_expected), *e = expected, w[16];
    const int n_problems = (int)*e++;

    for (int p = 0; p < n_problems; p++) {
        const size_t n = (size_t)e[0], m = (size_t)e[1];
        const double gap = solve(f, n, m, e + 2 + n, e + 2, w);

        CHECK_MSG(gap >= -1e-14 && gap <= 1e-9, "problem %d: gap %g", p, gap);
        e += 2 + n + n * m;
        for (size_t k = 0; k < m; k++)
            CHECK_CLOSE(w[k], e[k], tolerance);
        e += m;
    }
    CHECK(e == expected + n_expected);
    free(expected);
}

TEST(simplex, log_loss_agrees_with_expectation_maximisation)
{
    check_file("simplex_log_loss.txt", ml__simplex_log_loss, 1e-8);
}

TEST(simplex, squares_agree_with_the_conditions_of_every_support)
{
    check_file("simplex_squares.txt", ml__simplex_squares, 1e-10);
}

/* ---- known answers ---- */

TEST(simplex, two_members_have_a_closed_form)
{
    /* errors a and b: w = <b, b - a> / |a - b|^2 for a, inside [0, 1] or at its end */
    static const double CASES[][6] = {
        {1, -1, 2, -1, 1, 1}, {1, 2, 3, 2, 4, 7}, {0.1, 0, 0, 5, 5, 5}, {-1, 2, 1, 1, -2, -1}};

    for (int c = 0; c < 4; c++) {
        double R[6], w[2], above = 0, below = 0;

        for (int i = 0; i < 3; i++) {
            const double a = CASES[c][i], b = CASES[c][3 + i];
            R[2 * i] = a;
            R[2 * i + 1] = b;
            above += b * (b - a);
            below += (a - b) * (a - b);
        }
        solve(ml__simplex_squares, 3, 2, R, NULL, w);
        CHECK_CLOSE(w[0], fmin(1, fmax(0, above / below)), 1e-12);
    }
}

TEST(simplex, a_perfect_member_gets_everything)
{
    double P[30], R[30], w[3];

    for (int i = 0; i < 10; i++)
        for (int k = 0; k < 3; k++) {
            P[3 * i + k] = k == 1 ? 1 : 0.5 + 0.04 * ((i * 3 + k * 5) % 10);
            R[3 * i + k] = k == 1 ? 0 : sin(i + 2 * k);
        }
    solve(ml__simplex_log_loss, 10, 3, P, NULL, w);
    CHECK(w[1] == 1);
    solve(ml__simplex_squares, 10, 3, R, NULL, w);
    CHECK_CLOSE(w[1], 1, 1e-12);
}

TEST(simplex, equal_members_share)
{
    double P[80], R[80], w[4];

    for (int i = 0; i < 20; i++)
        for (int k = 0; k < 4; k++) {
            const int member = k == 3 ? 0 : k;
            P[4 * i + k] = 0.1 + 0.08 * ((i * 7 + member * 3) % 11);
            R[4 * i + k] = cos(i * (member + 1));
        }
    CHECK(solve(ml__simplex_log_loss, 20, 4, P, NULL, w) <= 1e-9);
    CHECK(w[0] == w[3] && w[0] > 0);
    solve(ml__simplex_squares, 20, 4, R, NULL, w);
    CHECK(w[0] == w[3] && w[0] > 0);
    for (int v = 0; v < 80; v++) {
        P[v] = 0.25;
        R[v] = -3;
    }
    CHECK_CLOSE(solve(ml__simplex_log_loss, 20, 4, P, NULL, w), 0, 1e-15);
    for (int k = 0; k < 4; k++)
        CHECK_CLOSE(w[k], 0.25, 1e-15);
    solve(ml__simplex_squares, 20, 4, R, NULL, w);
    for (int k = 0; k < 4; k++)
        CHECK_CLOSE(w[k], 0.25, 1e-15);
}

TEST(simplex, members_that_are_always_wrong)
{
    double P[40], w[2];

    for (int i = 0; i < 20; i++) {
        P[2 * i] = 1e-15;
        P[2 * i + 1] = i % 2 ? 0.9 : 1e-15; /* half the rows nobody foresaw */
    }
    CHECK(solve(ml__simplex_log_loss, 20, 2, P, NULL, w) <= 1e-9);
    CHECK_CLOSE(w[1], 1, 1e-9);
    for (int i = 0; i < 20; i++)
        P[2 * i + 1] = 1e-15;
    solve(ml__simplex_log_loss, 20, 2, P, NULL, w);
    CHECK(w[0] == 0.5 && w[1] == 0.5);
}

TEST(simplex, disjoint_experts_divide_by_frequency)
{
    /* member k is right on its own rows only; the optimum is the share of those rows, to about 1e-15 */
    double P[300], w[3];

    for (int i = 0; i < 100; i++)
        for (int k = 0; k < 3; k++)
            P[3 * i + k] = (i < 20 ? 0 : i < 50 ? 1 : 2) == k ? 1 : 1e-15;
    CHECK_CLOSE(solve(ml__simplex_log_loss, 100, 3, P, NULL, w), 0, 1e-9);
    CHECK_CLOSE(w[0], 0.2, 1e-9);
    CHECK_CLOSE(w[1], 0.3, 1e-9);
    CHECK_CLOSE(w[2], 0.5, 1e-9);
}

TEST(simplex, weights_of_rows_are_repetitions)
{
    double P[40], Q[120], omega[20], w[2], v[2];
    size_t n = 0;

    for (int i = 0; i < 20; i++) {
        P[2 * i] = 0.05 + 0.9 * ((i * 7) % 20) / 20;
        P[2 * i + 1] = 0.05 + 0.9 * ((i * 11 + 5) % 20) / 20;
        omega[i] = i % 4;
        for (int r = 0; r < i % 4; r++, n++) {
            Q[2 * n] = P[2 * i];
            Q[2 * n + 1] = P[2 * i + 1];
        }
    }
    solve(ml__simplex_log_loss, 20, 2, P, omega, w);
    solve(ml__simplex_log_loss, n, 2, Q, NULL, v);
    CHECK_CLOSE(w[0], v[0], 1e-8);
    solve(ml__simplex_squares, 20, 2, P, omega, w);
    solve(ml__simplex_squares, n, 2, Q, NULL, v);
    CHECK_CLOSE(w[0], v[0], 1e-12);
}

TEST(simplex, many_random_problems_reach_the_certificate)
{
    static double P[200 * 12];
    double w[12];

    for (uint32_t seed = 1; seed <= 300; seed++) {
        const size_t n = 1 + seed % 200, m = 1 + seed % 12;
        uint32_t state = seed;
        double largest = 0;

        for (size_t v = 0; v < n * m; v++) {
            state = state * 1664525u + 1013904223u;
            P[v] = pow((double)((state >> 8) + 1) / 16777216, 1 + seed % 7); /* down to about 1e-50 */
            P[v] = fmax(P[v], 1e-15);
            largest = fmax(largest, P[v] * P[v]);
        }
        const double gap = solve(ml__simplex_log_loss, n, m, P, NULL, w);
        CHECK_MSG(gap <= 1e-9, "log-loss %u: gap %g", seed, gap);
        const double square_gap = solve(ml__simplex_squares, n, m, P, NULL, w);
        CHECK_MSG(square_gap <= 1e-9 * largest, "squares %u: gap %g", seed, square_gap);
    }
}
