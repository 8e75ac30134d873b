# SPDX-License-Identifier: Apache-2.0
"""Where starts end: sh bench/run.sh starts [--seeds N] [--tens N]. BIC of mixtures of Gaussians (less is better) by ours, scikit-learn
and mclust, and inertia of k-means by ours and scikit-learn, on the same rows: the median over N random starts, and the best of them; the
median over fits of ten starts each (n_init=10), of which the best is kept; ours and mclust's one start from a hierarchical clustering. All
fit to a change below 1e-6. The last column says whether ours is more or less: a random start and ten of them than scikit-learn's, the
hierarchical one than mclust's."""
import argparse
import os
import subprocess
import tempfile
import warnings

import numpy as np
import pandas as pd
from accuracy import HERE, score
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from systems import US
from tables import Tables

MCLUST = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
TYPES = list(MCLUST)


def of_r(expression: str) -> np.ndarray:
    """A table that comes with R or mclust."""
    done = subprocess.run(["Rscript", "-e", f"suppressMessages(library(mclust)); write.table({expression}, row.names = FALSE, "
                           "col.names = FALSE)"], capture_output=True, text=True, check=True)
    return np.array([line.split() for line in done.stdout.splitlines() if line[:1].isdigit()], float)


def shipped(name: str, standardised: bool) -> np.ndarray:
    X = pd.read_csv(os.path.join(HERE, "../examples/data", name + ".csv")).iloc[:, :-1].to_numpy(float)
    return (X - X.mean(0)) / X.std(0) if standardised else X


def like_faithful() -> np.ndarray:
    """Waiting times and eruptions of two kinds, as the geyser's."""
    draw = np.random.RandomState(0)
    short = draw.multivariate_normal([2.04, 54.5], [[0.07, 0.44], [0.44, 33.7]], 710)
    long = draw.multivariate_normal([4.29, 80.0], [[0.17, 0.94], [0.94, 36.0]], 1290)
    return np.vstack((short, long))


SETS = {
    "iris": (lambda: shipped("iris", False), 3),
    "wine, standardised": (lambda: shipped("wine", True), 3),
    "banknote": (lambda: of_r("banknote[, -1]"), 2),
    "faithful": (lambda: of_r("faithful"), 2),
    "like faithful, 2000 rows": (like_faithful, 2),
}


def n_parameters(kind: str, k: int, d: int) -> int:
    covariances = {"full": k * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": k * d, "spherical": k}[kind]
    return k - 1 + k * d + covariances


def ours_bic(words: str, kind: str, k: int, shape: tuple[int, int], build: str, seed: int, n_init: int = 1,
             init: str = "kmeans") -> float:
    n, d = shape
    mean = score(US, f"{words} verb=fit kind=gmm metric=log_likelihood param=n_components:{k} param=covariance_type:{kind} "
                 f"param=tol:1e-6 param=max_iter:1000 param=random_state:{seed} param=n_init:{n_init} param=init_params:{init}",
                 1, build)
    return n_parameters(kind, k, d) * np.log(n) - 2 * n * mean


def their_bic(X: np.ndarray, kind: str, k: int, seed: int, n_init: int = 1) -> float:
    return GaussianMixture(k, covariance_type=kind, tol=1e-6, max_iter=1000, random_state=seed, n_init=n_init).fit(X).bic(X)


def mclust_bic(X: np.ndarray, kind: str, k: int, directory: str) -> float:
    path = os.path.join(directory, "rows.txt")
    np.savetxt(path, X)
    code = (f"suppressMessages(library(mclust)); m <- Mclust(read.table('{path}'), G = {k}, modelNames = '{MCLUST[kind]}', "
            "verbose = FALSE, control = emControl(tol = 1e-8)); cat(if (is.null(m)) NaN else -m$bic)")
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def cell(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f})"


def verdict(ours: float, other: float) -> str:
    slack = 1e-3 * max(1.0, abs(other)) ** 0.5
    return "less" if ours < other - slack else "=" if ours <= other + slack else "more"


def mixture_row(words: str, X: np.ndarray, kind: str, k: int, a: argparse.Namespace, directory: str) -> str:
    """Cells: random starts, ten of them at a time, the hierarchical start, and what ours are against the others'."""
    ours = [ours_bic(words, kind, k, X.shape, a.build, s) for s in range(a.seeds)]
    theirs = [their_bic(X, kind, k, s) for s in range(a.seeds)]
    ours_ten = [ours_bic(words, kind, k, X.shape, a.build, s, 10) for s in range(a.tens)]
    their_ten = [their_bic(X, kind, k, s, 10) for s in range(a.tens)]
    tree = ours_bic(words, kind, k, X.shape, a.build, 0, 1, "hierarchical")
    mclust = mclust_bic(X, kind, k, directory)
    verdicts = [verdict(float(np.median(x)), float(np.median(y))) for x, y in ((ours, theirs), (ours_ten, their_ten), (tree, mclust))]
    return (f"{cell(ours)} | {cell(theirs)} | {np.median(ours_ten):.2f} | {np.median(their_ten):.2f} | {tree:.2f} | {mclust:.2f} | "
            + ", ".join(verdicts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--seeds", type=int, default=80)
    parser.add_argument("--tens", type=int, default=10)
    a = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as directory:
        tables = Tables(directory, None, False)
        print("| data | mixture | Invar: median (best) | scikit-learn | Invar, 10 starts | scikit-learn, 10 | Invar, hierarchical | mclust "
              "| |\n|---|---|---|---|---|---|---|---|---|")
        rows = {name: make() for name, (make, _) in SETS.items()}
        words = {name: tables._write(f"starts-{i}", 0, X, None) for i, (name, X) in enumerate(rows.items())}
        for name, X in rows.items():
            k = SETS[name][1]
            for kind in TYPES:
                print(f"| {name} | {kind}, k={k} | {mixture_row(words[name], X, kind, k, a, directory)} |", flush=True)
        print("\n| data | k-means | Invar: median (best) | scikit-learn | |\n|---|---|---|---|---|")
        for name, X in rows.items():
            k = SETS[name][1] + 3
            ours = [-len(X) * score(US, f"{words[name]} verb=fit kind=kmeans param=n_clusters:{k} param=n_init:1 param=random_state:{s}",
                                    1, a.build) for s in range(a.seeds)]
            theirs = [KMeans(k, n_init=1, random_state=s).fit(X).inertia_ for s in range(a.seeds)]
            print(f"| {name} | k={k} | {cell(ours)} | {cell(theirs)} | {verdict(float(np.median(ours)), float(np.median(theirs)))} |",
                  flush=True)


if __name__ == "__main__":
    main()
