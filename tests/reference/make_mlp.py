#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write tests/expected/mlp_*.txt: python3 tests/reference/make_mlp.py  (numpy, scikit-learn 1.2)

mlp_classes.txt, mlp_reals.txt: weights after 100 steps of every optimiser, in float64. The reference below is checked
against scikit-learn's networks, started from the same weights, where those can do the same (no sample weights).
mlp_runs.txt: weights after 100 steps of runs that together have every loss, activation, optimiser, schedule, penalty and
weighting, with outputs that rows lack. The settings are those of RUNS in tests/learn/test_mlp_runs.c.
mlp_lbfgs.txt: objectives that scikit-learn's lbfgs reaches from given weights.
mlp_scores.txt: what scikit-learn reaches on the shipped tables.
mlp_curves.txt: how its loss falls there: mean over ten seeds and standard error of each epoch.
"""
import os
import warnings

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from common import EXPECTED, cells, features

N, D, HIDDEN, N_OUT, BATCH, EPOCHS = 30, 5, [7, 4], 3, 8, 25  # 4 batches an epoch, the last one smaller
ALPHA, RATE, MOMENTUM = 0.01, {"adam": 0.01, "sgd": 0.05}, 0.9
RUNS = [("adam", False, False), ("sgd", False, False), ("sgd", True, False), ("adam", False, True)]


# ---- the reference ----

def gradient(W, b, X, Y, w, mean, classes):
    """Gradient of the weighted mean loss plus alpha / (2 rows * mean) * squares of the weights; mean: weight of all rows."""
    total = len(w) * mean
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
            g = gradient(theta[:L], theta[L:], X[rows], Y[rows], w[rows], w.mean(), classes)
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


def parts(name):
    """Features standardised with the training rows, outputs, and which rows are for testing: every fourth."""
    X, y = features(name), [row[-1] for row in cells(name)]
    y = np.array([float(v) for v in y]) if name in ("boston", "diabetes") else np.array(y)
    test = np.arange(len(X)) % 4 == 3
    mean, std = X[~test].mean(axis=0), X[~test].std(axis=0)
    return (X - mean) / np.where(std > 0, std, 1), y, test


def curves():
    """The settings are those of CURVES in tests/learn/test_mlp_curves.c."""
    blocks = []
    for name, kind, settings in (
            ("digits", MLPClassifier, dict(hidden_layer_sizes=(64, 32), activation="relu", batch_size=32, max_iter=15)),
            ("digits", MLPClassifier, dict(hidden_layer_sizes=(50,), activation="tanh", solver="sgd", batch_size=64,
                                           learning_rate_init=0.05, max_iter=15)),
            ("boston", MLPRegressor, dict(hidden_layer_sizes=(64, 64), activation="relu", batch_size=32,
                                          learning_rate_init=0.003, max_iter=30)),
            ("diabetes", MLPRegressor, dict(hidden_layer_sizes=(30,), activation="logistic", batch_size=16,
                                            learning_rate_init=0.01, alpha=1.0, max_iter=30))):
        X, y, test = parts(name)
        losses = np.array([kind(random_state=seed, tol=0, n_iter_no_change=1000, **settings).fit(
            X[~test], y[~test]).loss_curve_ for seed in range(10)])
        blocks.append((name + ": means", losses.mean(axis=0)))
        blocks.append((name + ": standard errors", losses.std(axis=0, ddof=1) / np.sqrt(len(losses))))
    write("mlp_curves.txt", "loss curves of scikit-learn", blocks)


def scores():
    """Every fourth row is for testing; features standardised with the training rows; mean over three seeds."""
    blocks = []
    for name in ("iris", "wine", "breast_cancer", "digits", "boston", "diabetes"):
        X, y, test = parts(name)
        real = name in ("boston", "diabetes")
        got = []
        for seed in range(3):
            if real:
                net = MLPRegressor(learning_rate_init=0.01, max_iter=100, random_state=seed)
            else:
                net = MLPClassifier(learning_rate_init=0.005, max_iter=40, random_state=seed)
            got.append(net.fit(X[~test], y[~test]).score(X[test], y[test]))
        blocks.append((name, [np.mean(got)]))
    write("mlp_scores.txt", "mean accuracy or R2 of scikit-learn", blocks)


# ---- runs of everything ----

RUN_N, RUN_D, RUN_HIDDEN, RUN_BATCH, RUN_EPOCHS = 41, 4, [6, 5], 10, 25  # one row has no output: 40 are left

ACTIVATIONS = {  # f(z), f'(z)
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "logistic": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "identity": (lambda z: z, np.ones_like),
    "leaky_relu": (lambda z: np.where(z < 0, 0.01 * z, z), lambda z: np.where(z < 0, 0.01, 1)),
    "elu": (lambda z: np.where(z < 0, np.expm1(z), z), lambda z: np.where(z < 0, np.exp(z), 1)),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z))),
    "gelu": (lambda z: 0.5 * z * (1 + np.tanh(GELU * (z + 0.044715 * z**3))),
             lambda z: 0.5 * (1 + np.tanh(GELU * (z + 0.044715 * z**3))) + 0.5 * z * GELU * (1 + 3 * 0.044715 * z**2)
             * (1 - np.tanh(GELU * (z + 0.044715 * z**3)) ** 2)),
}
GELU = np.sqrt(2 / np.pi)

# outputs: c three classes, b two, r and s reals, u reals in [0, 1]; missing: rows lack outputs
EVERYTHING = [
    dict(outputs="c", activation="gelu", solver="adamw", weight_decay=0.1, learning_rate="cosine", warmup_epochs=2.5,
         weighted=True, class_weight=[2, 1, 0.5]),
    dict(outputs="r", activation="elu", solver="sgd", nesterov=False, loss="huber", huber_delta=0.5, l1=0.02,
         learning_rate="step", decay_rate=0.3, decay_epochs=10),
    dict(outputs="r", activation="leaky_relu", solver="sgd", nesterov=True, loss="absolute_error", clip_norm=0.3),
    dict(outputs="b", activation="softplus", solver="adam", loss="binary_cross_entropy", class_weight="balanced", l1=0.05),
    dict(outputs="u", activation="tanh", solver="adam", loss="binary_cross_entropy", weighted=True),
    dict(outputs="crsb", activation="logistic", solver="adamw", weight_decay=0.01, clip_norm=0.5, weighted=True,
         missing=True, loss="cross_entropy", loss_weights=[1, 0.5, 2, 0.7]),
    dict(outputs="rsu", activation="relu", solver="sgd", nesterov=True, output_activation="logistic", missing=True,
         learning_rate="invscaling"),
    dict(outputs="bu", activation="elu", solver="adam", loss="binary_cross_entropy", missing=True),
    dict(outputs="c", activation="tanh", solver="sgd", nesterov=False, freeze_layers=1, transfer_rate=0.5),
]


def head_columns(run, o):
    return {"c": 3, "b": 1 if run.get("loss") == "binary_cross_entropy" else 2}.get(o, 1)


def heads_of(run, data, w):
    """For each output: columns of Z, known rows, and what a row counts for: lambda W / W_o v_y."""
    first, heads = 0, []
    for i, o in enumerate(run["outputs"]):
        y, n = data[o], head_columns(run, o)
        known = ~np.isnan(y)
        v = np.ones(len(y))
        weights = run.get("class_weight")
        if weights is not None and o in "cb":
            if weights == "balanced":
                counts = np.bincount(y[known].astype(int))
                weights = known.sum() / (len(counts) * counts)
            v[known] = np.array(weights)[y[known].astype(int)]
        scale = np.where(known, w.sum() / (w * v)[known].sum() * run.get("loss_weights", [1] * 9)[i] * v, 0)
        heads.append((o, slice(first, first + n), np.where(known, y, 0), scale))
        first += n
    return heads


def head_slope(run, o, z, y):
    """Derivative of the loss of one output by its columns z."""
    logistic = lambda z: 1 / (1 + np.exp(-z))
    loss = run.get("loss", "auto")
    if o in "cb" and loss != "binary_cross_entropy":
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True) - np.eye(z.shape[1])[y.astype(int)]
    if loss == "binary_cross_entropy":
        return logistic(z) - y[:, None]
    bent = run.get("output_activation") == "logistic"
    e = (logistic(z) if bent else z) - y[:, None]
    slope = {"absolute_error": np.sign(e), "huber": np.clip(e, -run.get("huber_delta", 1), run.get("huber_delta", 1))}.get(loss, e)
    return slope * logistic(z) * (1 - logistic(z)) if bent else slope


def run_gradient(run, W, b, X, heads, rows, w):
    f, df = ACTIVATIONS[run["activation"]]
    total = len(w[rows]) * w.mean()
    share = w[rows] / total
    H, Z = [X[rows]], []
    for l in range(len(W)):
        Z.append(H[-1] @ W[l] + b[l])
        H.append(f(Z[-1]) if l + 1 < len(W) else Z[-1])
    D = np.zeros_like(Z[-1])
    for o, columns, y, scale in heads:
        D[:, columns] = head_slope(run, o, Z[-1][:, columns], y[rows]) * (share * scale[rows])[:, None]
    gW, gb = [None] * len(W), [None] * len(W)
    for l in reversed(range(len(W))):
        gW[l] = H[l].T @ D + (ALPHA * W[l] + run.get("l1", 0) * np.sign(W[l])) / total
        gb[l] = D.sum(axis=0)
        if l:
            D = (D @ W[l].T) * df(Z[l - 1])
    return gW, gb


def rate_of(run, t, per_epoch, n):
    rate = RATE.get(run["solver"], 0.01)
    kind, epoch = run.get("learning_rate"), t / per_epoch
    if kind == "cosine":
        rate *= (1 + np.cos(np.pi * epoch / RUN_EPOCHS)) / 2
    if kind == "step":
        rate *= run["decay_rate"] ** (t // (per_epoch * run["decay_epochs"]))
    if kind == "invscaling" and t >= per_epoch:
        rate /= (n * (t // per_epoch) + 1) ** 0.5
    return rate * min(1, (t + 1) / (run["warmup_epochs"] * per_epoch)) if "warmup_epochs" in run else rate


def run_all(run, W, b, X, data, w):
    n, L = len(X), len(W)
    heads = heads_of(run, data, w)
    theta = [a.copy() for a in W + b]
    m, v, t = [np.zeros_like(a) for a in theta], [np.zeros_like(a) for a in theta], 0
    first = run.get("freeze_layers", 0)
    factors = [run.get("transfer_rate", 1)] * L
    per_epoch = -(-n // RUN_BATCH)
    for _ in range(RUN_EPOCHS):
        for at in range(0, n, RUN_BATCH):
            gW, gb = run_gradient(run, theta[:L], theta[L:], X, heads, slice(at, at + RUN_BATCH), w)
            rate = rate_of(run, t, per_epoch, n)
            t += 1
            norm = np.sqrt(sum((gW[l] ** 2).sum() + (gb[l] ** 2).sum() for l in range(first, L)))
            short = run["clip_norm"] / norm if "clip_norm" in run and norm > run["clip_norm"] else 1
            for i, (a, g) in enumerate(zip(theta, gW + gb)):
                if i % L < first:
                    continue
                eta, g = rate * factors[i % L], g * short
                if run["solver"] == "sgd":
                    m[i] = MOMENTUM * m[i] - eta * g
                    a += MOMENTUM * m[i] - eta * g if run["nesterov"] else m[i]
                    continue
                if run["solver"] == "adamw" and i < L:
                    a *= 1 - eta * run["weight_decay"]
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g**2
                a -= eta * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m[i] / (np.sqrt(v[i]) + 1e-8)
    return theta[:L], theta[L:]


def write_runs():
    rng = np.random.RandomState(11)
    single = lambda a: a.astype(np.float32).astype(np.float64)
    X = single(rng.normal(size=(RUN_N, RUN_D)))
    w = single(rng.uniform(0.1, 3, size=RUN_N))
    full = {"c": np.digitize(X[:, 0] + 0.3 * rng.normal(size=RUN_N), [-0.4, 0.5]).astype(float),
            "b": (X[:, 1] * X[:, 2] > 0.2).astype(float),
            "r": single(X[:, 0] ** 2 - X[:, 3] + 0.1 * rng.normal(size=RUN_N)),
            "s": single(np.sin(2 * X[:, 1]) + 0.1 * rng.normal(size=RUN_N)),
            "u": single(1 / (1 + np.exp(-X[:, 0] - X[:, 1])))}
    holes = {o: np.where(rng.uniform(size=RUN_N) < 0.3, np.nan, full[o]) for o in full}
    for o in full:
        holes[o][7] = np.nan
    blocks = [("rows, features, hidden widths", [RUN_N, RUN_D] + RUN_HIDDEN), ("X", X), ("sample weights", w)]
    for table in full, holes:
        blocks += [("output " + o, np.nan_to_num(table[o], nan=-1e9)) for o in "cbrsu"]
    for i, run in enumerate(EVERYTHING):
        sizes = [RUN_D] + RUN_HIDDEN + [sum(head_columns(run, o) for o in run["outputs"])]
        W = [single(rng.uniform(-0.8, 0.8, size=s)) for s in zip(sizes[:-1], sizes[1:])]
        b = [single(rng.uniform(-0.5, 0.5, size=s)) for s in sizes[1:]]
        data = holes if run.get("missing") else full
        use = ~np.all([np.isnan(data[o]) for o in run["outputs"]], axis=0)
        if not run.get("missing"):
            use[7] = False  # there the sample weight is 0
        got = run_all(run, W, b, X[use], {o: data[o][use] for o in full}, w[use] if run.get("weighted") else np.ones(use.sum()))
        blocks += [("run %d: %s; before" % (i, run), flat(W, b)), ("run %d: after" % i, flat(*got))]
    write("mlp_runs.txt", "100 steps of everything", blocks)


# ---- lbfgs ----

def write_lbfgs():
    """Three classes, two classes by one logistic output, a real; 4 hidden units of tanh, and none."""
    rng = np.random.RandomState(5)
    single = lambda a: a.astype(np.float32).astype(np.float64)
    n, d = 60, 4
    X = single(rng.normal(size=(n, d)))
    c = np.digitize(X[:, 0] - X[:, 1] * X[:, 2], [-0.5, 0.6])
    b = (X[:, 0] * X[:, 3] + X[:, 1] > 0).astype(int)
    r = single(X[:, 0] * X[:, 1] - X[:, 2] + 0.2 * rng.normal(size=n))
    blocks = [("rows, features", [n, d]), ("X", X), ("three classes", c), ("two classes", b), ("reals", r)]
    for hidden in [4], []:
        for y, n_out in (c, 3), (b, 1), (r, 1):
            sizes = [d] + hidden + [n_out]
            W = [single(rng.uniform(-0.5, 0.5, size=s)) for s in zip(sizes[:-1], sizes[1:])]
            B = [single(rng.uniform(-0.5, 0.5, size=s)) for s in sizes[1:]]

            class FromWeights(MLPRegressor if y is r else MLPClassifier):
                def _init_coef(self, fan_in, fan_out, dtype):
                    l = [w.shape for w in W].index((fan_in, fan_out))
                    return W[l].copy(), B[l].copy()

            net = FromWeights(hidden, activation="tanh", solver="lbfgs", alpha=2.0, tol=1e-9, max_iter=10000, max_fun=100000)
            net.fit(X, y)
            blocks += [("hidden %s, %d outputs: before, objective after" % (hidden, n_out),
                        np.append(flat(W, B), net.loss_))]
    write("mlp_lbfgs.txt", "objectives of scikit-learn's lbfgs", blocks)


warnings.filterwarnings("ignore")
os.makedirs(EXPECTED, exist_ok=True)
write_steps("mlp_classes.txt", True)
write_steps("mlp_reals.txt", False)
write_runs()
write_lbfgs()
curves()
scores()
