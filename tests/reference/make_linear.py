#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reference values for the linear models and the transformers.

tests/expected/scaler.txt    scikit-learn's StandardScaler on boston: plain, weighted, with missing values
tests/expected/scaler_inverse.txt  its inverse_transform, with and without mean and deviation
tests/expected/imputer.txt   scikit-learn's SimpleImputer on boston with missing values
tests/expected/encoder.txt   scikit-learn's OneHotEncoder on a small table with missing and unseen categories
tests/expected/linear.txt    scikit-learn's LinearRegression and Ridge on the shipped tables
tests/expected/least_squares.txt  hard problems with their inputs, solved exactly in rational numbers, rounded once
tests/expected/logistic.txt  scikit-learn's multinomial LogisticRegression, polished by Newton's method
tests/expected/logistic_optimum.txt  the same on raw wine to the last digit: Newton's method in long double
"""
import warnings
from fractions import Fraction

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from common import cells, features, numbers, with_holes, write


def table(name):
    X, y = features(name), [row[-1] for row in cells(name)]
    try:
        return X, np.array([float(v) for v in y])
    except ValueError:
        return X, np.unique(y, return_inverse=True)[1]


# The C tests make the same weights.
def weights(n):
    return np.array([i % 4 * 0.5 for i in range(n)])


# ---- transformers ----


def make_scaler():
    X, _ = table("boston")
    text = ""
    for title, A, w in [("plain", X, None), ("weighted", X, weights(len(X))), ("missing", with_holes(X), None)]:
        s = StandardScaler().fit(A, sample_weight=w)
        text += f"# {title}: mean, var, scale, row 5\n" + numbers(s.mean_) + numbers(s.var_) + numbers(s.scale_)
        text += numbers(s.transform(A[5:6]))
    write("scaler.txt", text)
    text = ""
    for with_mean, with_std in [(True, True), (True, False), (False, True), (False, False)]:
        s = StandardScaler(with_mean=with_mean, with_std=with_std).fit(X)
        z = np.array([[0.25 * j - 1.5 * i for j in range(X.shape[1])] for i in range(3)])
        text += f"# with_mean {with_mean}, with_std {with_std}: 3 rows\n" + numbers(s.inverse_transform(z))
    write("scaler_inverse.txt", text)


def make_imputer():
    X = with_holes(table("boston")[0])
    text = "# mean, median, most_frequent\n"
    for strategy in ["mean", "median", "most_frequent"]:
        text += numbers(SimpleImputer(strategy=strategy).fit(X).statistics_)
    write("imputer.txt", text)


def make_encoder():
    colours = ["red", "green", "blue", "", "red", "blue"]
    sizes = ["S", "L", "M", "S", "", "M"]
    number = [1.5, 2.5, np.nan, 4.0, 5.0, 6.0]
    X = np.array([[c or None, v, s or None] for c, v, s in zip(colours, number, sizes)], dtype=object)
    known = [["blue", "green", "red"], ["L", "M", "S"]]
    one_hot = OneHotEncoder(categories=known, handle_unknown="ignore", sparse_output=False)
    coded = one_hot.fit(np.array([["red", "S"]], dtype=object)).transform(X[:, [0, 2]])
    out = np.column_stack([coded[:, :3], np.array(X[:, 1], dtype=float), coded[:, 3:]])
    write("encoder.txt", "# colour=blue, green, red; number; size=L, M, S\n" + "".join(numbers(row) for row in out))


# ---- least squares ----


def make_linear():
    text = ""
    for name in ["boston", "diabetes"]:
        X, y = table(name)
        w = weights(len(X)) + 0.25
        for title, model, sample_weight in [
            ("ordinary", LinearRegression(), None),
            ("no intercept", LinearRegression(fit_intercept=False), None),
            ("weighted", LinearRegression(), w),
            ("ridge 1", Ridge(alpha=1, solver="svd"), None),
            ("ridge 100, weighted", Ridge(alpha=100, solver="svd"), w),
            ("ridge 0.5, no intercept", Ridge(alpha=0.5, fit_intercept=False, solver="svd"), None),
        ]:
            model.fit(X, y, sample_weight=sample_weight)
            text += f"# {name}, {title}: coef, intercept\n" + numbers(model.coef_) + numbers([model.intercept_])
    write("linear.txt", text)


def solve_exactly(M, b):
    """Gauss elimination in rational numbers."""
    n = len(M)
    M = [row[:] + [b[i]] for i, row in enumerate(M)]
    for k in range(n):
        pivot = next(i for i in range(k, n) if M[i][k] != 0)
        M[k], M[pivot] = M[pivot], M[k]
        for i in range(n):
            if i != k and M[i][k] != 0:
                f = M[i][k] / M[k][k]
                M[i] = [a - f * c for a, c in zip(M[i], M[k])]
    return [M[k][n] / M[k][k] for k in range(n)]


def independent_columns(X):
    """Indices of columns that are linearly independent of those before them."""
    basis, chosen = [], []
    for j in range(len(X[0])):
        v = [row[j] for row in X]
        for pivot, b in basis:
            if v[pivot] != 0:
                f = v[pivot] / b[pivot]
                v = [x - f * y for x, y in zip(v, b)]
        pivot = next((i for i, x in enumerate(v) if x != 0), None)
        if pivot is not None:
            basis.append((pivot, v))
            chosen.append(j)
    return chosen


def least_squares_exactly(X, y, alpha=0):
    """coef of least norm, intercept and rank for exact doubles X, y, with an intercept; alpha > 0: ridge."""
    n, d = len(X), len(X[0])
    X = [[Fraction(float(v)) for v in row] for row in X]
    y = [Fraction(float(v)) for v in y]
    mx = [sum(row[j] for row in X) / n for j in range(d)]
    my = sum(y) / n
    A = [[row[j] - mx[j] for j in range(d)] for row in X]
    b = [v - my for v in y]
    chosen = independent_columns(A)
    if alpha:
        M = [[sum(r[i] * r[j] for r in A) + (Fraction(alpha) if i == j else 0) for j in range(d)] for i in range(d)]
        coef = solve_exactly(M, [sum(r[i] * v for r, v in zip(A, b)) for i in range(d)])
    else:
        C = [[r[j] for j in chosen] for r in A]
        m = len(chosen)
        M = [[sum(r[i] * r[j] for r in C) for j in range(m)] for i in range(m)]
        rhs = solve_exactly(M, [sum(r[i] * v for r, v in zip(C, b)) for i in range(m)])
        fitted = [sum(c * x for c, x in zip(r, rhs)) for r in C]
        rows = independent_columns([list(c) for c in zip(*A)])
        R = [A[i] for i in rows]
        G = [[sum(a * c for a, c in zip(p, q)) for q in R] for p in R]
        u = solve_exactly(G, [fitted[i] for i in rows])
        coef = [sum(u[k] * R[k][j] for k in range(len(rows))) for j in range(d)]
    return coef, my - sum(c * m for c, m in zip(coef, mx)), len(chosen)


LONGLEY = """60323 83 234289 2356 1590 107608 1947
61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949
61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951
63639 98.1 346999 1932 3594 113270 1952
64989 99 365385 1870 3547 115094 1953
63761 100 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955
67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957
66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959
69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961
70551 116.9 554894 4007 2827 130081 1962"""


def hard_problems():
    """Name, X, y, alpha and the relative error that is asked for."""
    rng = np.random.RandomState(5)
    longley = np.array([[float(v) for v in line.split()] for line in LONGLEY.split("\n")])
    yield "Longley (NIST StRD)", longley[:, 1:], longley[:, 0], 0, 1e-12
    x = np.arange(21.0)
    powers = np.column_stack([x**k for k in range(1, 6)])
    yield "Wampler 1 (NIST StRD), all coefficients 1", powers, 1 + powers.sum(axis=1), 0, 1e-10
    x = -3 - 6 * np.arange(82) / 81
    y = 0.8 + 0.05 * np.sin(x) + 0.01 * np.round(rng.normal(size=82), 3)
    yield "polynomial of degree 10 on [-9, -3]", np.column_stack([x**k for k in range(1, 11)]), y, 0, 1e-7
    Z = np.round(rng.normal(size=(30, 4)) * 64) / 64
    y = np.round(rng.normal(size=30) * 64) / 64
    yield "two columns equal, one the sum of two others", np.column_stack([Z, Z[:, 1], Z[:, 0] + Z[:, 3]]), y, 0, 1e-12
    yield "scales 2^-12, 1, 2^12 and a multiple across scales", np.column_stack(
        [Z[:, 0] * 2.0**-12, Z[:, 1], Z[:, 2] * 2.0**12, Z[:, 1] * 2.0**-4]
    ), y, 0, 1e-8
    yield "constant columns 0.1 and 0", np.column_stack([Z[:, 0], np.full(30, 0.1), np.zeros(30), Z[:, 1]]), y, 0, 1e-12
    wide = np.round(rng.normal(size=(6, 10)) * 64) / 64
    yield "more columns than rows", wide, y[:6], 0, 1e-12
    yield "more columns than rows, alpha 0.5", wide, y[:6], 0.5, 1e-12
    yield "alpha 1e-9 on equal columns", np.column_stack([Z[:, 0], Z[:, 0], Z[:, 1]]), y, 2.0**-30, 1e-12
    offset = 1e9 + np.round(rng.normal(size=(40, 3)) * 1e-3 * 2.0**20) / 2.0**20
    yield "offset 1e9, noise 1e-3", offset, (offset - 1e9) @ [1.0, -2.0, 3.0] + np.round(rng.normal(size=40)) / 1024, 0, 1e-12


def make_least_squares():
    problems = list(hard_problems())
    text = f"# number of problems; then each: n, d, alpha, tolerance, rank; X; y; coef; intercept\n{len(problems)}\n"
    for name, X, y, alpha, tolerance in problems:
        coef, intercept, rank = least_squares_exactly(X, y, alpha)
        text += f"# {name}\n" + numbers([X.shape[0], X.shape[1], alpha, tolerance, rank])
        text += "".join(numbers(row) for row in X) + numbers(y) + numbers(coef) + numbers([intercept])
        m = LinearRegression().fit(X, y) if not alpha else Ridge(alpha=alpha, solver="svd").fit(X, y)
        c = np.array([float(v) for v in coef])
        print(f"{name}: scikit-learn's relative error {np.abs(m.coef_ - c).max() / np.abs(c).max():.1e}")
    write("least_squares.txt", text)


# ---- logistic regression ----


def polish(X, y, w, C, W, b, with_intercept):
    """Newton's method from scikit-learn's solution, to the last digits. W [K x d], b [K]; returns the largest gradient."""
    n, d = X.shape
    K = len(b)
    U = np.column_stack([X, np.ones(n)]) if with_intercept else X
    V = np.column_stack([W, b]) if with_intercept else W.copy()
    penalty = np.append(np.full(d, 1 / C), 0) if with_intercept else np.full(d, 1 / C)
    for _ in range(4):
        Z = U @ V.T
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        G = ((P - np.eye(K)[y]) * w[:, None]).T @ U + V * penalty
        H = np.zeros((K, U.shape[1], K, U.shape[1]))
        for k in range(K):
            for m in range(K):
                H[k, :, m, :] = (U * (w * P[:, k] * ((k == m) - P[:, m]))[:, None]).T @ U
            H[k, :, k, :] += np.diag(penalty)
        step = np.linalg.lstsq(H.reshape(V.size, V.size), G.ravel(), rcond=None)[0]
        V = V - step.reshape(V.shape)
    return V[:, :d], V[:, d] if with_intercept else np.zeros(K), np.abs(G).max()


def make_logistic():
    text = ""
    for name, scaled, C, with_intercept, weighted in [
        ("iris", True, 1, True, False),
        ("wine", True, 1, True, False),
        ("breast_cancer", True, 1, True, False),
        ("iris", False, 1, True, False),
        ("iris", True, 100, False, False),
        ("wine", True, 0.01, True, True),
    ]:
        X, y = table(name)
        w = weights(len(X)) + 0.25 if weighted else np.ones(len(X))
        if scaled:
            X = StandardScaler().fit_transform(X)
        K = y.max() + 1
        model = LogisticRegression(
            C=C, multi_class="multinomial", solver="newton-cg", tol=1e-13, max_iter=10000, fit_intercept=with_intercept
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, y, sample_weight=w if weighted else None)
        W, b = model.coef_, model.intercept_ if with_intercept else np.zeros(len(model.coef_))
        if K == 2:
            W, b = np.vstack([-W, W]), np.concatenate([-b, b])
        W, b, gradient = polish(X, y, w, C, W, b, with_intercept)
        print(f"{name}: largest gradient {gradient:.1e}")
        proba = np.exp(X[60] @ W.T + b)
        title = f"{name}, scaled {scaled}, C {C}, intercept {with_intercept}, weighted {weighted}"
        text += f"# {title}: coef, intercept, probabilities of row 60\n"
        text += numbers(W) + numbers(b) + numbers(proba / proba.sum())
    write("logistic.txt", text)


def make_logistic_optimum():
    """C = 1. Variables are of standardised features, gradients in long double, so that only the steps are in double."""
    X, y = (a.astype(t) for a, t in zip(table("wine"), [np.longdouble, int]))
    scale, K = X.std(axis=0), y.max() + 1
    U = np.column_stack([(X - X.mean(axis=0)) / scale, np.ones(len(X), np.longdouble)])
    penalty = np.append(1 / scale**2, 0)
    V = np.zeros((K, U.shape[1]), np.longdouble)
    for _ in range(40):
        Z = U @ V.T
        P = np.exp(Z - Z.max(axis=1, keepdims=True))
        P /= P.sum(axis=1, keepdims=True)
        G = (P - np.eye(K)[y]).T @ U + V * penalty
        H = np.zeros((K, U.shape[1], K, U.shape[1]))
        for k in range(K):
            for m in range(K):
                H[k, :, m, :] = (U * (P[:, k] * ((k == m) - P[:, m]))[:, None]).T @ U
            H[k, :, k, :] += np.diag(penalty)
        V -= (np.linalg.pinv(H.reshape(V.size, V.size)) @ G.ravel().astype(float)).reshape(V.shape)
    print(f"raw wine: largest gradient {np.abs(G).max():.1e}")
    write("logistic_optimum.txt", "# wine, C 1: coef\n" + numbers(V[:, :-1] / scale))


if __name__ == "__main__":
    make_scaler()
    make_imputer()
    make_encoder()
    make_linear()
    make_least_squares()
    make_logistic()
    make_logistic_optimum()
