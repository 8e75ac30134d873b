#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference weights of convex combinations.

tests/expected/simplex_log_loss.txt  by expectation maximisation, run until the optimality gap is below 1e-12
tests/expected/simplex_squares.txt   by solving the optimality conditions for every set of positive weights
"""
import itertools
import os

import numpy as np

from common import EXPECTED, numbers


def write(name, problems):
    text = f"# number of problems; then each: n, m; weights of rows; matrix; weights of members\n{len(problems)}\n"
    for title, M, omega, w in problems:
        text += f"# {title}\n" + numbers(M.shape) + numbers(omega) + "".join(numbers(row) for row in M) + numbers(w)
    with open(os.path.join(EXPECTED, name), "w") as f:
        f.write(text)


def maximise_likelihood(P, omega):
    omega = omega / omega.sum()
    w = np.full(P.shape[1], 1 / P.shape[1])
    for _ in range(2000000):
        g = (omega / (P @ w)) @ P
        if g.max() - 1 < 1e-13:
            break
        w *= g
    return w


def least_squares(R, omega):
    H = (R * (omega / omega.sum())[:, None]).T @ R
    m = len(H)
    best = None
    for size in range(1, m + 1):
        for support in itertools.combinations(range(m), size):
            s = list(support)
            K = np.block([[H[np.ix_(s, s)], np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            solution = np.linalg.lstsq(K, np.append(np.zeros(size), 1), rcond=None)[0][:size]
            w = np.zeros(m)
            w[s] = solution
            if (w >= 0).all() and abs(w.sum() - 1) < 1e-9 and (best is None or w @ H @ w < best @ H @ best):
                best = w
    return best


def make_log_loss(rng):
    problems = []
    for n, m, skill, weighted in [(60, 3, [1, 1, 1], False), (80, 5, [2, 1, 0.5, 0, 0], False), (70, 6, [1] * 6, True)]:
        P = np.column_stack([1 / (1 + np.exp(-s - rng.normal(size=n) * 1.5)) for s in skill])
        P = np.maximum(np.round(P, 6), 1e-6)
        omega = rng.randint(1, 5, size=n) / 2 if weighted else np.ones(n)
        problems.append((f"{m} members", P, omega, maximise_likelihood(P, omega)))
    write("simplex_log_loss.txt", problems)


def make_squares(rng):
    problems = []
    for n, m, weighted in [(40, 2, False), (50, 4, False), (60, 7, True)]:
        R = np.round(rng.normal(size=(n, m)) * rng.uniform(0.5, 2, size=m) + rng.normal(size=(n, 1)) * 0.8, 5)
        omega = rng.randint(1, 5, size=n) / 2 if weighted else np.ones(n)
        problems.append((f"{m} members", R, omega, least_squares(R, omega)))
    write("simplex_squares.txt", problems)


if __name__ == "__main__":
    make_log_loss(np.random.RandomState(3))
    make_squares(np.random.RandomState(4))
