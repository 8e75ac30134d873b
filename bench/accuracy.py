# SPDX-License-Identifier: Apache-2.0
"""Scores side by side: sh bench/run.sh accuracy [--model NAME] --data DIR [--seeds N]. Each data set is parted N times in three quarters and
one, by seeds 0 to N - 1; every system learns from the same rows and is scored on the rest. Printed are the mean and its
standard error, and the difference to the best of the others with its own, smaller one, for all have the same rows; "=" says that ours
is within one standard error of the best, or better.

Categories are coded one-hot for peers, missing ones as zeros; "as it is" gives us categories and missing values themselves. Networks get features, and targets that are
reals, standardised by the rows to learn from."""
import argparse
import gzip
import math
import os
import tempfile
from dataclasses import dataclass
from typing import Callable

import numpy as np
import pandas as pd
from errors import Absent, Failure
from systems import US, System
from tables import Tables

Table = tuple[np.ndarray, np.ndarray, int]  # features, output, classes (0: reals)


def labels_of(column: pd.Series) -> tuple[np.ndarray, int]:
    codes, names = pd.factorize(column, sort=True)
    return codes, len(names)


def last_column(path: str) -> Table:
    frame = pd.read_csv(path, header=None, quotechar="'")
    y, classes = labels_of(frame.iloc[:, -1])
    return frame.iloc[:, :-1].to_numpy(float), y, classes


def letter(path: str) -> Table:
    frame = pd.read_csv(path)
    y, classes = labels_of(frame["letter"])
    return frame.drop(columns="letter").to_numpy(float), y, classes


def california(path: str) -> Table:
    frame = pd.read_csv(path).drop(columns="ocean_proximity").dropna()
    return frame.iloc[:, :8].to_numpy(float), frame["median_house_value"].to_numpy(float) / 1e5, 0


def adult_frame(path: str) -> pd.DataFrame:
    return pd.read_csv(path, na_values="?", skipinitialspace=True)


def adult(path: str) -> Table:
    frame = adult_frame(path)
    y, classes = labels_of(frame["income"])
    return pd.get_dummies(frame.drop(columns="income")).to_numpy(float), y, classes


def boston(path: str) -> Table:
    table = np.genfromtxt(path, delimiter=",", skip_header=1)
    return table[:, :-1], table[:, -1], 0


def digits(_: str) -> Table:
    from sklearn.datasets import load_digits
    X, y = load_digits(return_X_y=True)
    return X, y, 10


def mnist(path: str) -> Table:
    with gzip.open(path) as file:
        X = np.frombuffer(file.read(), "u1", offset=16).reshape(-1, 784) / 255.0
    return X, np.zeros(len(X)), 0


@dataclass(frozen=True)
class Model:
    task: str  # words for all
    ours: str  # words for us
    peers: list[str]
    data: list[str]
    standardised: bool = False
    raw: tuple[str, ...] = ()  # data that we get as they are, by CSV, beside what peers get


HERE = os.path.dirname(os.path.abspath(__file__))
DATA: dict[str, tuple[str, Callable[[str], Table]]] = {
    "letter": ("letter.csv", letter),
    "California": ("california_housing.csv", california),
    "adult": ("adult_train.csv", adult),
    "mammography": ("mammography.csv", last_column),
    "sonar": ("sonar.csv", last_column),
    "ionosphere": ("ionosphere.csv", last_column),
    "Boston": (os.path.join(HERE, "../examples/data/boston.csv"), boston),
    "digits": ("", digits),
    "MNIST": ("mnist-t10k-images-idx3-ubyte.gz", mnist),
}
CODER = ("kind=autoencoder scale=2 param=encoder_layer_sizes: param=code_size:64 param=max_iter:5 param=batch_size:128 "
         "param=tol:0")
FRAMES = {"adult": adult_frame}
MODELS = {
    "forest": Model("task=forest trees=100", "kind=random_forest param=n_estimators:100", ["scikit-learn", "ranger"],
                    ["letter", "California", "adult", "mammography", "sonar", "ionosphere", "digits"],
                    raw=("adult",)),
    "mlp": Model("task=mlp hidden=64,32 epochs=30 batch=64",
                 "kind=mlp param=hidden_layer_sizes:64,32 param=max_iter:30 param=batch_size:64 param=tol:0 "
                 "param=n_iter_no_change:30", ["scikit-learn"], ["digits", "letter", "adult", "California", "Boston"], True),
    "autoencoder": Model("task=autoencoder hidden=64 epochs=5 batch=128", CODER, ["scikit-learn", "torch"], ["MNIST"]),
    "denoising autoencoder": Model("task=autoencoder hidden=64 epochs=5 batch=128 noise=0.3", CODER + " param=noise:0.3",
                                   ["scikit-learn"], ["MNIST"]),
}


def standardise(X: np.ndarray, n: int) -> np.ndarray:
    """By the first n rows; what is constant there is only centred."""
    deviation = X[:n].std(0)
    return (X - X[:n].mean(0)) / np.where(deviation > 0, deviation, 1)


def score(label: str, line: str, threads: int, build: str) -> float:
    """Of one fit; NaN when the system is absent or fails, with the reason printed."""
    try:
        system = System(label, threads, build)
        try:
            system.prepare(line)
            system.run()
            return system.number("score", "score")
        finally:
            system.close()
    except (Absent, Failure) as e:
        print(f"  {label}: {e}")
        return math.nan


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def csv_words(frame: pd.DataFrame, rows: np.ndarray, n: int, directory: str) -> str:
    """Two CSV files of the rows in their new order."""
    parts = {"train_csv": frame.iloc[rows[:n]], "test_csv": frame.iloc[rows[n:]]}
    for part, table in parts.items():
        table.to_csv(os.path.join(directory, part), index=False)
    return " ".join(f"{part}={os.path.join(directory, part)}" for part in parts)


def compare(name: str, model: str, table: Table, a: argparse.Namespace, tables: Tables) -> None:
    m = MODELS[model]
    frame = FRAMES[name](os.path.join(a.data, DATA[name][0])) if name in m.raw else None
    task, ours, peers = m.task, m.ours, m.peers
    X, y, classes = table
    n = len(X) * 3 // 4
    as_it_is = f"{US} as it is"
    scores: dict[str, list[float]] = {system: [] for system in [US, *peers, *([as_it_is] if frame is not None else [])]}
    for seed in range(a.seeds):
        rows = np.random.RandomState(seed).permutation(len(X))
        x, t = X[rows], y[rows]
        if m.standardised:
            x, t = standardise(x, n), t if classes else standardise(t, n)
        words = tables._split("accuracy", classes, x, t, n, "f4" if name == "MNIST" else "f8")
        for system in scores:
            own = f" {ours} param=random_state:{seed}" if system.startswith(US) else ""
            own += " " + csv_words(frame, rows, n, a.directory) if system == as_it_is else ""
            scores[system].append(score(system.split()[0], f"{words} {task} verb=fit seed={seed}{own}", a.threads, a.build))
    best = max(peers, key=lambda p: np.mean(scores[p]))
    allowed = mean_and_error(np.array(scores[best]))[1]
    for us in [s for s in scores if s.startswith(US)]:
        columns = ["{:.5f} ± {:.5f}".format(*mean_and_error(np.array(scores[s]))) for s in [us, *peers]]
        difference, error = mean_and_error(np.array(scores[us]) - np.array(scores[best]))
        print(f"| {name}{us[len(US):]} | {' | '.join(columns)} | {difference:+.5f} ± {error:.5f} | "
              f"{'=' if difference >= -allowed else 'less'} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="data sets; all of them")
    parser.add_argument("--model", choices=MODELS, help="one model; all of them")
    parser.add_argument("--build", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        tables, a.directory = Tables(directory, a.data, False), directory
        for model in [a.model] if a.model else MODELS:
            peers = MODELS[model].peers
            print(f"| {model} | {' | '.join([US, *peers])} | ours − the best of the others | |")
            print("|---" * (4 + len(peers)) + "|")
            for name in a.names or MODELS[model].data:
                file, read = DATA[name]
                path = os.path.join(a.data, file)
                if file and not os.path.exists(path):
                    print(f"| {name} | left out: needs {file}, give its folder with --data DIR |")
                    continue
                compare(name, model, read(path), a, tables)


if __name__ == "__main__":
    main()
