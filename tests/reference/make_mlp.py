#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write tests/expected/mlp_*.txt: python3 tests/reference/make_mlp.py  (numpy, scikit-learn 1.2)

mlp_classes.txt, mlp_reals.txt: weights after 100 steps of every optimiser, in float64. The reference below is checked
against scikit-learn's networks, started from the same weights, where those can do the same (no sample weights).
mlp_scores.txt: what scikit-learn reaches on the shipped tables.
"""
import csv
import os
import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "..", "expected")
DATA = os.path.join(HERE, "..", "..", "examples", "data")

N, D, HIDDEN, N_OUT, BATCH, EPOCHS = 30, 5, [7, 4], 3, 8, 25  # 4 batches an epoch, the last one smaller
ALPHA, RATE, MOMENTUM = 0.01, {"adam": 0.01, "sgd": 0.05}, 0.9
RUNS = [("adam", False, False), ("sgd", False, False), ("sgd", True, False), ("adam", False, True)]


# ---- the reference ----

def gradient(W, b, X, Y, w, classes):
    """Gradient of the weighted mean loss plus alpha / (2 sum w) * squares of the weights."""
    total = w.sum()
    H = [X]
    for l in range(len(W) - 1):
        Z = H[-1] @ W[l] + b[l]
        H.append(np.maximum(Z, 0) if classes else np.tanh(Z))
    D = H[-1] @ W[-1] + b[-1]
    if classes:
        D = np.exp(D - D.max(axis=1, keepdims=True))
        D /= D.sum(axis=1, keepdims=True)
    D = (D - Y) * (w / total)[:, None]
    gW, gb = [None] * len(W), [None] * len(W)
    for l in reversed(range(len(W))):
        gW[l] = H[l].T @ D + ALPHA / total * W[l]
        gb[l] = D.sum(axis=0)
        if l:
            D = (D @ W[l].T) * ((H[l] > 0) if classes else 1 - H[l] ** 2)
    return gW + gb


def train(solver, nesterov, W, b, X, Y, w, classes):
    theta = [a.copy() for a in W + b]
    m, v, t = [np.zeros_like(a) for a in theta], [np.zeros_like(a) for a in theta], 0
    for _ in range(EPOCHS):
        for first in range(0, N, BATCH):
            rows = slice(first, first + BATCH)
            t += 1
            L = len(W)
            g = gradient(theta[:L], theta[L:], X[rows], Y[rows], w[rows], classes)
            for i, a in enumerate(theta):
                if solver == "adam":
                    m[i] = 0.9 * m[i] + 0.1 * g[i]
                    v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2
                    rate = RATE["adam"] * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
                    a -= rate * m[i] / (np.sqrt(v[i]) + 1e-8)
                else:
                    m[i] = MOMENTUM * m[i] - RATE["sgd"] * g[i]
                    a += MOMENTUM * m[i] - RATE["sgd"] * g[i] if nesterov else m[i]
    return theta[: len(W)], theta[len(W):]


# ---- scikit-learn from given weights ----

def sklearn_train(solver, nesterov, W, b, X, y, classes):
    base = MLPClassifier if classes else MLPRegressor

    class FromWeights(base):
        def _init_coef(self, fan_in, fan_out, dtype):
            l = [w.shape for w in W].index((fan_in, fan_out))
            return W[l].copy(), b[l].copy()

    net = FromWeights(HIDDEN, activation="relu" if classes else "tanh", solver=solver, alpha=ALPHA, batch_size=BATCH,
                      learning_rate_init=RATE[solver], max_iter=EPOCHS, shuffle=False, tol=0, n_iter_no_change=1000,
                      momentum=MOMENTUM, nesterovs_momentum=nesterov)
    net.fit(X, y)
    return net.coefs_, net.intercepts_


# ---- files ----

def flat(W, b):
    return np.concatenate([np.concatenate([W[l].ravel(), b[l]]) for l in range(len(W))])


def write(name, comment, blocks):
    with open(os.path.join(EXPECTED, name), "w", newline="\n") as f:
        f.write("# %s; written by tests/reference/make_mlp.py\n" % comment)
        for title, values in blocks:
            f.write("# %s\n" % title)
            values = [repr(float(v)) for v in np.ravel(values)]
            for i in range(0, len(values), 6):
                f.write(" ".join(values[i:i + 6]) + "\n")


def write_steps(name, classes):
    rng = np.random.RandomState(3 + classes)
    sizes = [D] + HIDDEN + [N_OUT]
    single = lambda a: a.astype(np.float32).astype(np.float64)
    X = single(rng.normal(size=(N, D)))
    y = rng.randint(N_OUT, size=N) if classes else single(X[:, :N_OUT] ** 2 + 0.1 * rng.normal(size=(N, N_OUT)))
    Y = np.eye(N_OUT)[y] if classes else y
    w = single(rng.uniform(0.1, 3, size=N))
    W = [single(rng.uniform(-1, 1, size=s)) for s in zip(sizes[:-1], sizes[1:])]
    b = [single(rng.uniform(-1, 1, size=s)) for s in sizes[1:]]

    blocks = [("rows, features, hidden widths, outputs, rows in a batch, epochs, alpha",
               [N, D] + HIDDEN + [N_OUT, BATCH, EPOCHS, ALPHA]),
              ("X", X), ("classes" if classes else "targets", y), ("sample weights", w),
              ("initial weights", flat(W, b))]
    for solver, nesterov, weighted in RUNS:
        got = train(solver, nesterov, W, b, X, Y, w if weighted else np.ones(N), classes)
        if not weighted:
            peer = sklearn_train(solver, nesterov, W, b, X, y, classes)
            assert np.abs(flat(*got) - flat(*peer)).max() < 1e-10
        blocks.append(("%s, nesterov %d, weighted %d" % (solver, nesterov, weighted), flat(*got)))
    write(name, "100 steps", blocks)


def table(name):
    with open(os.path.join(DATA, name + ".csv")) as f:
        rows = list(csv.reader(f))[1:]
    X = np.array([r[:-1] for r in rows], dtype=float)
    return X, [r[-1] for r in rows]


def scores():
    """Every fourth row is for testing; features standardised with the training rows; mean over three seeds."""
    blocks = []
    for name in ("iris", "wine", "breast_cancer", "digits", "boston", "diabetes"):
        X, y = table(name)
        real = name in ("boston", "diabetes")
        y = np.array([float(v) for v in y]) if real else np.array(y)
        test = np.arange(len(X)) % 4 == 3
        mean, std = X[~test].mean(axis=0), X[~test].std(axis=0)
        X = (X - mean) / np.where(std > 0, std, 1)
        got = []
        for seed in range(3):
            if real:
                net = MLPRegressor(learning_rate_init=0.01, max_iter=100, random_state=seed)
            else:
                net = MLPClassifier(learning_rate_init=0.005, max_iter=40, random_state=seed)
            got.append(net.fit(X[~test], y[~test]).score(X[test], y[test]))
        blocks.append((name, [np.mean(got)]))
    write("mlp_scores.txt", "mean accuracy or R2 of scikit-learn", blocks)


warnings.filterwarnings("ignore")
os.makedirs(EXPECTED, exist_ok=True)
write_steps("mlp_classes.txt", True)
write_steps("mlp_reals.txt", False)
scores()
