#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference AdaBoost.

tests/expected/adaboost_samme.txt  scikit-learn's AdaBoostClassifier(algorithm="SAMME") on stumps: errors and weights of
                                   the rounds, training error after each round, decision and shares of some rows; the
                                   same for 10 orders of features, so no split hangs on a tie
tests/expected/adaboost_samme_r.txt  the same for algorithm="SAMME.R", on stumps and on trees of depth 2
tests/expected/adaboost_r2.txt     scikit-learn's AdaBoostRegressor (R2, Drucker 1997) on the rows that the library draws:
                                   its random numbers (Philox4x32-10) are computed here
"""
import os

import numpy as np
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from common import EXPECTED, numbers


# ---- SAMME ----


def samme(X, y, n_rounds, rate, weights, seed, algorithm="SAMME", depth=1):
    model = AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=depth, random_state=seed),
        n_estimators=n_rounds,
        learning_rate=rate,
        algorithm=algorithm,
        random_state=seed,
    )
    return model.fit(X, y, sample_weight=weights)


def two_columns(decision, algorithm):
    """One row of class 1 against class 0 as votes of both, which sum to 1, or for SAMME.R to 0."""
    total = int(algorithm == "SAMME")
    return decision if decision.ndim == 2 else np.column_stack([(total - decision) / 2, (total + decision) / 2])


def samme_data():
    rng = np.random.RandomState(11)
    n, d = 180, 4
    X = np.round(rng.normal(size=(n, d)) * 1024) / 1024
    line = X[:, 0] + 0.7 * X[:, 1]
    noisy = line + 0.8 * rng.normal(size=n)
    sets = [
        ("separable", (line > 0.1).astype(int), 60, 1.0, None),
        ("noisy", (noisy > 0.1).astype(int), 60, 1.0, None),
        ("noisy, 4 classes, weights", np.digitize(noisy, [-1, 0, 1]), 60, 0.5, rng.randint(0, 9, size=n) / 4),
    ]
    return X, sets


def write_samme(name, X, sets, algorithm, depths):
    n, d = X.shape
    text = "# n, d, number of sets; X\n" + numbers([n, d, len(sets)]) + "".join(numbers(row) for row in X)
    for (title, y, n_rounds, rate, weights), depth in zip(sets, depths):
        models = [samme(X, y, n_rounds, rate, weights, seed, algorithm, depth) for seed in range(10)]
        for other in models[1:]:
            assert np.allclose(models[0].estimator_errors_, other.estimator_errors_, rtol=0, atol=1e-13), title
        model = models[0]
        rounds = len(model.estimators_)
        curve = [np.mean(prediction != y) for prediction in model.staged_predict(X)]
        text += f"# {title}: classes, rounds, learning rate, weighted; labels; weights; errors, weights, training error\n"
        text += "# after each round; decision and shares of the first 20 rows\n"
        text += numbers([y.max() + 1, rounds, rate, weights is not None])
        text += numbers(y) + numbers(np.ones(n) if weights is None else weights)
        text += numbers(model.estimator_errors_[:rounds]) + numbers(model.estimator_weights_[:rounds]) + numbers(curve)
        text += numbers(two_columns(model.decision_function(X[:20]), algorithm)) + numbers(model.predict_proba(X[:20]))
    with open(os.path.join(EXPECTED, name), "w") as file:
        file.write(text)


def make_samme():
    np.seterr(divide="ignore")  # scikit-learn takes the logarithm of weights that are 0
    X, sets = samme_data()
    write_samme("adaboost_samme.txt", X, sets, "SAMME", [1, 1, 1])
    # labels with noise everywhere: the logarithms of shares of pure leaves would leave nothing to compare
    rng = np.random.RandomState(3)
    flip = [np.where(rng.uniform(size=len(y)) < 0.2, rng.randint(0, y.max() + 1, size=len(y)), y) for _, y, _, _, _ in sets]
    sets = [(set[0], y, 10, set[3], set[4]) for set, y in zip(sets, flip)]
    write_samme("adaboost_samme_r.txt", X, sets, "SAMME.R", [1, 2, 1])


# ---- the library's random numbers ----

MASK32, MASK64 = 2**32 - 1, 2**64 - 1


def philox_block(key, counter):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK32
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def uniforms(seed, n):
    """n numbers in [0, 1) of stream 0."""
    key, words, block = (seed & MASK32, seed >> 32), [], 0
    while len(words) < 2 * n:
        words += philox_block(key, (block, 0, 0, 0))
        block += 1
    return np.array([((words[2 * i] | words[2 * i + 1] << 32) >> 11) * 2.0**-53 for i in range(n)])


def scramble(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def seed_mix(seed, label):
    golden = 0x9E3779B97F4A7C15
    return scramble((scramble((seed + golden) & MASK64) + label + golden) & MASK64)


# ---- R2 ----


class InvarDraws(np.random.RandomState):
    """What scikit-learn draws with: the samples of each round are the library's, only seeds of bases are its own."""

    def __init__(self, random_state, seed):
        super().__init__(seed)
        self.invar_seed, self.t = seed_mix(0, random_state), 0

    def choice(self, a, size=None, replace=True, p=None):
        cdf = np.cumsum(p)
        self.t += 1
        return a[cdf.searchsorted(uniforms(seed_mix(self.invar_seed, self.t - 1), size) * cdf[-1], side="right")]


def r2(X, y, base, loss, rate, n_rounds, random_state, seed):
    model = AdaBoostRegressor(
        base, loss=loss, learning_rate=rate, n_estimators=n_rounds, random_state=InvarDraws(random_state, seed)
    ).fit(X, y)
    n_kept = len(model.estimators_)
    return model.estimator_errors_[:n_kept], model.estimator_weights_[:n_kept], model.predict(X)


def make_r2():
    rng = np.random.RandomState(5)
    n, d = 150, 3
    X = np.round(rng.normal(size=(n, d)) * 1024) / 1024
    y = X[:, 0] - 2 * X[:, 1] + np.sin(2 * X[:, 2]) + 0.3 * rng.standard_t(3, size=n)
    y = np.round(y * 4096) / 4096
    bases = [LinearRegression(), DecisionTreeRegressor(max_depth=2, min_samples_leaf=10)]
    text = "# n, d; X; y; then for base linear_regression and a tree (max_depth 2, min_samples_leaf 10), for each loss\n"
    text += "# (linear, square, exponential): rounds, learning rate, random_state; errors; weights; predictions of all rows\n"
    text += numbers([n, d]) + "".join(numbers(row) for row in X) + numbers(y)
    for base in bases:
        for loss, rate, random_state in (("linear", 1.0, 0), ("square", 0.5, 3), ("exponential", 1.0, 12345)):
            runs = [r2(X, y, base, loss, rate, 20, random_state, seed) for seed in range(5)]
            assert all(np.allclose(run[2], runs[0][2], rtol=1e-12) for run in runs), loss  # no ties
            errors, alphas, prediction = runs[0]
            text += numbers([len(errors), rate, random_state]) + numbers(errors) + numbers(alphas) + numbers(prediction)
    with open(os.path.join(EXPECTED, "adaboost_r2.txt"), "w") as file:
        file.write(text)


if __name__ == "__main__":
    make_samme()
    make_r2()
