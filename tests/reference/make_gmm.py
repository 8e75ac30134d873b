#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""EM steps of scikit-learn 1.2 from a given start: python3 tests/reference/make_gmm.py

Each set starts with equal weights, rows (2c+1) n / 2k as means and the features' variances as covariances, all of which
tests/learn/test_gmm.c repeats. 50 single steps by warm start give the lower bound of each; then the final parameters.
"""
import os
import warnings

import numpy as np
from sklearn.mixture import GaussianMixture

HERE = os.path.dirname(os.path.abspath(__file__))
N_STEPS = 50


def table(name, columns=None, standardise=False):
    path = os.path.join(HERE, "..", "..", "examples", "data", name + ".csv")
    with open(path) as f:
        rows = [line.rstrip("\n").split(",")[:-1] for line in f][1:]
    X = np.array(rows, dtype=float)
    X = X[:, columns] if columns else X
    return (X - X.mean(axis=0)) / X.std(axis=0) if standardise else X


def blobs(n, d, k):
    """Sums of 12 uniform numbers around k corners, from a 64-bit linear congruential generator."""
    state, X = 1, np.zeros((n, d))
    for i in range(n):
        for j in range(d):
            for _ in range(12):
                state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
                X[i, j] += (state >> 32) / 2**32 - 0.5
            X[i, j] += 2.5 * ((i % k) >> j & 1)
    return X


def steps(X, k):
    n, d = X.shape
    rows = [(2 * c + 1) * n // (2 * k) for c in range(k)]
    gm = GaussianMixture(k, tol=0, max_iter=1, warm_start=True, init_params="random", random_state=0,
                         weights_init=np.full(k, 1 / k), means_init=X[rows],
                         precisions_init=np.array([np.diag(1 / X.var(axis=0))] * k))
    bounds = [gm.fit(X).lower_bound_ for _ in range(N_STEPS)]
    return np.concatenate([bounds, gm.weights_, gm.means_.ravel(), gm.covariances_.ravel()])


def main():
    warnings.simplefilter("ignore")
    sets = [
        (table("iris"), 3),
        (table("wine", standardise=True), 3),
        (table("boston", [0, 4, 5, 6, 7, 12], standardise=True), 4),
        (blobs(400, 3, 4), 4),
        (table("digits", [10, 20, 21, 27, 28, 35, 42, 43]), 5),
    ]
    with open(os.path.join(HERE, "..", "expected", "gmm_steps.txt"), "w", newline="\n") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_gmm.py\n")
        for X, k in sets:
            f.write(" ".join("%.17g" % v for v in steps(X, k)) + "\n")


main()
