# SPDX-License-Identifier: Apache-2.0
"""EM step for step: sh bench/run.sh steps --data DIR. Mixtures of Gaussians by ours and scikit-learn after 50 steps from the same
start (equal weights, rows evenly spread over the table as means, the features' variances), on tables that do not come with the
project: the largest difference of weights, means, covariances and lower bounds, each over max(1, |scikit-learn's|). For diagonal
and spherical covariances the same steps are also made in long double: how far ours and scikit-learn's covariances are from
those, each over the exact one."""
import argparse
import json
import os
import struct
import tempfile
import warnings

import numpy as np
import pandas as pd
from accuracy import california, letter, score
from sklearn.mixture import GaussianMixture
from systems import US
from tables import Tables

N_STEPS = 50
COMPONENTS = 4
TYPES = "full", "tied", "diag", "spherical"
SETS = {
    "California": lambda data: california(os.path.join(data, "california_housing.csv"))[0],
    "letter": lambda data: letter(os.path.join(data, "letter.csv"))[0],
    "banknote": lambda data: pd.read_csv(os.path.join(data, "banknote_authentication.csv"), header=None).iloc[:, :-1].to_numpy(float),
    "mammography": lambda data: pd.read_csv(os.path.join(data, "mammography.csv"), header=None, quotechar="'").iloc[:, :-1]
    .to_numpy(float),
}


def tensors(path: str) -> dict[str, np.ndarray]:
    """Of a model's file, which is a safetensors file; float64 only."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    return {name: np.frombuffer(body[t["data_offsets"][0]:t["data_offsets"][1]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__" and t["dtype"] == "F64"}


def start(X: np.ndarray, kind: str) -> dict[str, np.ndarray]:
    n, d = X.shape
    variances, k = X.var(axis=0), COMPONENTS
    precisions = {"full": np.array([np.diag(1 / variances)] * k), "tied": np.diag(1 / variances),
                  "diag": np.array([1 / variances] * k), "spherical": np.full(k, 1 / variances.mean())}
    return {"weights_init": np.full(k, 1 / k), "means_init": X[[(2 * c + 1) * n // (2 * k) for c in range(k)]],
            "precisions_init": precisions[kind]}


def ours(words: str, kind: str, init: dict[str, np.ndarray], path: str, build: str) -> dict[str, np.ndarray]:
    given = " ".join(f"param={name}:" + ",".join("%.17g" % v for v in value.ravel()) for name, value in init.items())
    score(US, f"{words} verb=fit kind=gmm model={path} param=n_components:{COMPONENTS} param=covariance_type:{kind} param=tol:0 "
          f"param=max_iter:{N_STEPS} {given}", 2, build)
    return tensors(path)


def theirs(X: np.ndarray, kind: str, init: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    gm = GaussianMixture(COMPONENTS, covariance_type=kind, tol=0, max_iter=1, warm_start=True, **init)
    bounds = [gm.fit(X).lower_bound_ for _ in range(N_STEPS)]
    return {"weights": gm.weights_, "means": gm.means_, "covariances": gm.covariances_, "lower_bounds": np.array(bounds)}


def exact(X: np.ndarray, kind: str, init: dict[str, np.ndarray]) -> np.ndarray:
    """The diagonal or spherical covariances after the steps, in long double."""
    wide = np.longdouble
    X, w, means = X.astype(wide), init["weights_init"].astype(wide), init["means_init"].astype(wide)
    V = 1 / init["precisions_init"].astype(wide).reshape(COMPONENTS, -1) * np.ones(X.shape[1], wide)
    for _ in range(N_STEPS):
        squares = np.stack([(X - m) ** 2 for m in means])
        R = np.log(w)[:, None] - (np.log(2 * wide(np.pi) * V)[:, None, :] + squares / V[:, None, :]).sum(axis=2) / 2
        R = np.exp(R - R.max(axis=0))
        R /= R.sum(axis=0)
        N = R.sum(axis=1) + 10 * np.finfo(float).eps
        w, means = N / len(X), R @ X / N[:, None]
        V = np.stack([r @ (X - m) ** 2 for r, m in zip(R, means)]) / N[:, None] + wide(1e-6)
        if kind == "spherical":
            V = V.mean(axis=1)[:, None] * np.ones(X.shape[1], wide)
    return V[:, 0] if kind == "spherical" else V


def difference(got: np.ndarray, want: np.ndarray, least: float) -> float:
    return float((np.abs(got.ravel() - want.ravel()) / np.maximum(least, np.abs(want.ravel()))).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--data", required=True)
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| data | rows × features | mixture | weights | means | covariances | lower bounds | covariances from exact: ours, scikit-learn's |\n"
          "|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        tables = Tables(directory, a.data, False)
        for i, (name, read) in enumerate(SETS.items()):
            X = read(a.data)
            words = tables._write(f"steps-{i}", 0, X)
            for kind in TYPES:
                init = start(X, kind)
                got, want = ours(words, kind, init, os.path.join(directory, "model"), a.build), theirs(X, kind, init)
                cells = [f"{difference(got[t], want[t], 1):.1e}" for t in want]
                from_exact = ""
                if kind in ("diag", "spherical"):
                    V = exact(X, kind, init)
                    from_exact = ", ".join(f"{difference(of['covariances'], V, 0):.1e}" for of in (got, want))
                print(f"| {name} | {len(X)}×{X.shape[1]} | {kind}, k={COMPONENTS} | {' | '.join(cells)} | {from_exact} |", flush=True)


if __name__ == "__main__":
    main()
