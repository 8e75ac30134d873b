/* SPDX-License-Identifier: Apache-2.0 */
/* ln Γ and its derivative. Reference: mpmath (tests/reference/make_gamma.py), and their recurrences. */
#include "test.h"

#include <float.h>

#include "base/gamma.h"

TEST(gamma, values_are_those_of_mpmath)
{
    size_t n;
    double *numbers = test_read_numbers(test_expected_path("gamma.txt"), &n);

    CHECK(n > 1000 && n % 3 == 0);
    for (size_t i = 0; i < n; i += 3) {
        const double x = numbers[i], psi = ml__digamma(x), log_gamma = ml__log_gamma(x);
        CHECK_MSG(fabs(psi - numbers[i + 1]) <= 4 * DBL_EPSILON * fabs(numbers[i + 1]),
                  "digamma(%.17g) is %.17g, expected %.17g", x, psi, numbers[i + 1]);
        CHECK_MSG(fabs(log_gamma - numbers[i + 2]) <= 1.5e-15 * fmax(10, fabs(numbers[i + 2])),
                  "ln gamma(%.17g) is %.17g, expected %.17g", x, log_gamma, numbers[i + 2]);
    }
    free(numbers);
}

TEST(gamma, recurrences_hold_across_the_seams)
{
    static const double SEAMS[] = {1, 2, 3, 9, 10, 11};

    for (size_t s = 0; s < sizeof SEAMS / sizeof *SEAMS; s++)
        for (int side = -1; side <= 1; side++) {
            const double x = SEAMS[s] + side * 1e-9;
            CHECK_CLOSE(ml__digamma(x + 1) - ml__digamma(x), 1 / x, 2e-15);
            CHECK_CLOSE(ml__log_gamma(x + 1) - ml__log_gamma(x), log(x), 3e-14);
        }
}

TEST(gamma, the_ends_of_the_range_are_finite)
{
    CHECK_CLOSE(ml__digamma(1e-307) / -1e307, 1, 1e-15);
    CHECK_CLOSE(ml__log_gamma(DBL_MIN) / -log(DBL_MIN), 1, 1e-15);
    CHECK_CLOSE(ml__digamma(DBL_MAX), log(DBL_MAX), 1e-12);
    CHECK(isfinite(ml__log_gamma(1e305)));
}
