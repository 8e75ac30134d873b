#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Variational steps of scikit-learn 1.2 from given responsibilities: python3 tests/reference/make_bayesian_gmm.py

Row i of n starts in component i k // n, which tests/learn/test_bayesian_gmm.c repeats. For each prior of the weights and each
covariance type: the lower bound after each of 50 iterations, then weights, weight_concentration, mean_precision, means,
degrees_of_freedom and covariances, and score_samples of the first 10 rows. The last set has priors of its own.
"""
import os
import warnings

import numpy as np
from sklearn.mixture import BayesianGaussianMixture

from common import EXPECTED, features

N_STEPS = 50


class Started(BayesianGaussianMixture):
    def _initialize_parameters(self, X, random_state):
        n = len(X)
        resp = np.zeros((n, self.n_components))
        resp[np.arange(n), np.arange(n) * self.n_components // n] = 1
        self._initialize(X, resp)
        self.bounds = []

    def _compute_lower_bound(self, log_resp, log_prob_norm):
        self.bounds.append(super()._compute_lower_bound(log_resp, log_prob_norm))
        return self.bounds[-1]


def steps(X, k, prior_type, covariance, priors):
    gm = Started(n_components=k, covariance_type=covariance, weight_concentration_prior_type=prior_type, tol=0,
                 max_iter=N_STEPS, **priors).fit(X)
    assert len(gm.bounds) == N_STEPS
    parts = [gm.bounds, gm.weights_, np.ravel(gm.weight_concentration_), gm.mean_precision_, gm.means_.ravel(),
             np.ravel(gm.degrees_of_freedom_), gm.covariances_.ravel(), gm.score_samples(X[:10])]
    return np.concatenate(parts)


def own_priors(X, covariance):
    d = X.shape[1]
    scale = {"full": np.diag(1.0 + np.arange(d)) + 0.25, "tied": np.diag(1.0 + np.arange(d)) + 0.25,
             "diag": 1.0 + np.arange(d), "spherical": 1.5}
    return dict(weight_concentration_prior=0.5, mean_precision_prior=2.5, mean_prior=0.25 * np.arange(d) - 0.5,
                degrees_of_freedom_prior=d + 1.5, covariance_prior=scale[covariance], reg_covar=1e-3)


def main():
    warnings.simplefilter("ignore")
    boston = features("boston", [0, 4, 5, 6, 7, 12], standardise=True)
    sets = [
        (features("iris"), 3, False),
        (features("wine", standardise=True), 5, False),
        (features("digits", [10, 20, 21, 27, 28, 35, 42, 43]), 5, False),
        (boston, 4, True),
    ]
    with open(os.path.join(EXPECTED, "bayesian_gmm.txt"), "w", newline="\n") as f:
        f.write("# scikit-learn 1.2, tests/reference/make_bayesian_gmm.py\n")
        for prior_type in "dirichlet_process", "dirichlet_distribution":
            for covariance in "full", "tied", "diag", "spherical":
                for X, k, own in sets:
                    priors = own_priors(X, covariance) if own else {}
                    f.write(" ".join("%.17g" % v for v in steps(X, k, prior_type, covariance, priors)) + "\n")


main()
