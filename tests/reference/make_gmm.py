#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""EM steps of scikit-learn 1.2 from a given start: python3 tests/reference/make_gmm.py

Each set starts with equal weights, rows (2c+1) n / 2k as means and the features' variances as covariances (spherical: their
mean), all of which tests/learn/test_gmm_em.c repeats, for each covariance type. 50 single steps by warm start give the lower
bound of each; then the final parameters, BIC and AIC. Of iris and wine also the median BIC of ten starts by k-means.

gmm_given.txt is what weights_init, means_init and precisions_init do, for each covariance type in turn: all three of them, then
for one component, whose responsibilities are known, only means and only precisions. Each line begins with the numbers given.
"""
import os
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from common import EXPECTED, features

N_STEPS = 50
SCALES = 1, 10, 2, 0.5, 400, 1, 8, 40


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


def uniform(state):
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    return state, (state >> 32) / 2**32


def houses(n):
    """Skewed, correlated features on scales from 1 to 1000, as a census has them."""
    state, X = 7, np.zeros((n, 8))
    for i in range(n):
        before = 0.0
        for j in range(8):
            z = 0.0
            for _ in range(12):
                state, u = uniform(state)
                z += u - 0.5
            before = 0.6 * before + z
            X[i, j] = SCALES[j] * (3 + before + 0.25 * before * before)
    return X


def components(X, k):
    """Scores of the first principal components, the largest element of each positive."""
    m = PCA(k, svd_solver="full").fit(X)
    largest = m.components_[np.arange(k), np.argmax(np.abs(m.components_), axis=1)]
    return m.transform(X) * np.sign(largest)


def precisions(X, k, covariance):
    variances = X.var(axis=0)
    if covariance == "full":
        return np.array([np.diag(1 / variances)] * k)
    if covariance == "tied":
        return np.diag(1 / variances)
    return np.array([1 / variances] * k) if covariance == "diag" else np.full(k, 1 / variances.mean())


def steps(X, k, covariance):
    n, d = X.shape
    rows = [(2 * c + 1) * n // (2 * k) for c in range(k)]
    gm = GaussianMixture(k, covariance_type=covariance, tol=0, max_iter=1, warm_start=True, init_params="random",
                         random_state=0, weights_init=np.full(k, 1 / k), means_init=X[rows],
                         precisions_init=precisions(X, k, covariance))
    bounds = [gm.fit(X).lower_bound_ for _ in range(N_STEPS)]
    return np.concatenate([bounds, gm.weights_, gm.means_.ravel(), gm.covariances_.ravel(), [gm.bic(X), gm.aic(X)]])


def given_precisions(X, k, covariance):
    """None of them diagonal where it need not be, no two the same."""
    P, variances = np.linalg.inv(np.cov(X.T)), X.var(axis=0)
    if covariance == "full":
        return np.array([(1 + c) * P + 0.5 * np.eye(X.shape[1]) for c in range(k)])
    if covariance == "tied":
        return 2 * P
    if covariance == "diag":
        return np.array([(1 + c) / variances for c in range(k)])
    return (1 + np.arange(k)) / variances.mean()


def given(X, k, covariance, names, n_steps):
    init = {"weights_init": np.arange(k, 0, -1) / (k * (k + 1) / 2), "means_init": X[10:10 + 50 * k:50] + 0.25,
            "precisions_init": given_precisions(X, k, covariance)}
    init = {name: init[name] for name in names}
    gm = GaussianMixture(k, covariance_type=covariance, tol=0, max_iter=1, warm_start=True, random_state=0, **init)
    bounds = [gm.fit(X).lower_bound_ for _ in range(n_steps)]
    return np.concatenate([np.ravel(init[name]) for name in names]
                          + [bounds, gm.weights_, gm.means_.ravel(), gm.covariances_.ravel()])


def median_bic(X, covariance):
    """Of ten single starts by k-means, as a test of the starts."""
    return np.median([GaussianMixture(3, covariance_type=covariance, tol=1e-6, max_iter=1000, random_state=seed).fit(X).bic(X)
                      for seed in range(10)])


def main():
    warnings.simplefilter("ignore")
    sets = [
        (features("iris"), 3),
        (features("wine", standardise=True), 3),
        (features("boston", [0, 4, 5, 6, 7, 12], standardise=True), 4),
        (blobs(400, 3, 4), 4),
        (features("digits", [10, 20, 21, 27, 28, 35, 42, 43]), 5),
        (features("breast_cancer", list(range(8)), standardise=True), 2),
        (features("diabetes", [0, 2, 3, 4, 5, 6, 7, 8, 9], standardise=True), 3),
        (houses(2000), 4),
        (components(features("digits"), 8), 5),
    ]
    with open(os.path.join(EXPECTED, "gmm_steps.txt"), "w", newline="\n") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_gmm.py\n")
        for covariance in "full", "tied", "diag", "spherical":
            for X, k in sets:
                f.write(" ".join("%.17g" % v for v in steps(X, k, covariance)) + "\n")
    with open(os.path.join(EXPECTED, "gmm_given.txt"), "w", newline="\n") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_gmm.py\n")
        X = sets[0][0]
        for covariance in "full", "tied", "diag", "spherical":
            for line in (given(X, 3, covariance, ["weights_init", "means_init", "precisions_init"], N_STEPS),
                         given(X, 1, covariance, ["means_init"], 2), given(X, 1, covariance, ["precisions_init"], 2)):
                f.write(" ".join("%.17g" % v for v in line) + "\n")
    with open(os.path.join(EXPECTED, "gmm_bic.txt"), "w", newline="\n") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_gmm.py\n")
        for X, _ in sets[:2]:
            f.write(" ".join("%.17g" % median_bic(X, c) for c in ("full", "tied", "diag", "spherical")) + "\n")


main()
