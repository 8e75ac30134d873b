#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Digamma and ln Γ by mpmath: python3 tests/reference/make_gamma.py

Writes tests/expected/gamma.txt, x, digamma(x), ln Γ(x) in each line, and prints the zero of digamma as a sum of two doubles and
the coefficients of lib/base/gamma.c: digamma(x) / (x - zero) on [1, 2] as a polynomial in 2 x - 3, highest power first.
"""
import os
import random

from mpmath import chebyfit, digamma, findroot, loggamma, mp, mpf, nstr

mp.dps = 60
HERE = os.path.dirname(os.path.abspath(__file__))
N_COEFFICIENTS = 22

zero = findroot(digamma, mpf("1.46163214496836"))
near = mpf(float(zero))
print(float(near).hex(), float(zero - near).hex())
poly, error = chebyfit(lambda t: digamma((3 + t) / 2) / ((3 + t) / 2 - zero), [-1, 1], N_COEFFICIENTS, error=True)
print("largest error", nstr(error, 3))
print(", ".join("%.17g" % float(c) for c in poly))

random.seed(1)
X = [float(zero), 1.46, 1.463, 0.5, 1.0, 2.0, 3.0, 1.9999999999999998, 9.999999999999998, 10.0, 1e-300, 1e-10, 1e10, 1e300]
X += [zero_near for zero_near in (float(near) * (1 + s * 2.0**-e) for s in (-1, 1) for e in range(5, 52, 3))]
for low, high in (1e-3, 1), (1, 2), (2, 10), (9.5, 10.5), (10, 1e3):
    X += [random.uniform(low, high) for _ in range(60)]
X += [10.0 ** random.uniform(-12, 12) for _ in range(100)]
with open(os.path.join(HERE, "..", "expected", "gamma.txt"), "w", newline="\n") as f:
    f.write("# mpmath, tests/reference/make_gamma.py\n")
    for x in X:
        f.write("%.17g %.17g %.17g\n" % (x, float(digamma(mpf(x))), float(loggamma(mpf(x)))))
