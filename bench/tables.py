# SPDX-License-Identifier: Apache-2.0
"""The data: each function returns words that name its files, or raises Absent with the reason."""
import gzip
import os
from types import ModuleType
from typing import Optional

import numpy as np
from errors import Absent

Rows = Optional[np.ndarray]


class Tables:
    """Files of raw numbers in `directory`, written once; `data` is where sets from outside are, or None."""

    def __init__(self, directory: str, data: Optional[str], quick: bool):
        self.directory, self.data, self.quick = directory, data, quick
        self.made: dict[tuple, str] = {}

    def words(self, spec: tuple) -> str:
        if spec not in self.made:
            name, *arguments = spec
            try:
                self.made[spec] = getattr(self, name)(f"t{len(self.made)}", *arguments)
            except (OSError, ValueError, MemoryError) as e:
                raise Absent(f"its data cannot be made: {e}") from e
        return self.made[spec]

    def _rows(self, n: int) -> int:
        return max(1000, n // 20) if self.quick and n > 1000 else n

    def _outside(self, name: str) -> str:
        path = os.path.join(self.data or "", name)
        if not self.data or not os.path.exists(path):
            raise Absent(f"needs {name}, give its folder with --data DIR")
        return path

    def _write(self, key: str, classes: int, x: np.ndarray, y: Rows = None, xt: Rows = None, yt: Rows = None,
               dtype: str = "f8") -> str:
        arrays = {"x": x, "y": y, "xt": xt, "yt": yt}
        words = [f"dtype={dtype} classes={classes} n={len(x)} d={x.shape[1]}"] + ([f"nt={len(xt)}"] if xt is not None else [])
        for name, a in arrays.items():
            if a is not None:
                path = os.path.join(self.directory, f"{key}.{name}")
                np.ascontiguousarray(a, dtype if name[0] == "x" else "f8").tofile(path)
                words.append(f"{name}={path}")
        return " ".join(words)

    def _split(self, key: str, classes: int, X: np.ndarray, y: np.ndarray, n: int, dtype: str = "f8") -> str:
        return self._write(key, classes, X[:n], y[:n], X[n:], y[n:], dtype)

    def _generators(self) -> ModuleType:
        try:
            import sklearn.datasets
        except ImportError:
            raise Absent("its data comes from scikit-learn's generators (python3-sklearn)") from None
        return sklearn.datasets

    def classification(self, key: str, n: int, d: int, classes: int, informative: int, n_test: int, dtype: str) -> str:
        n, n_test = self._rows(n), self._rows(n_test)
        X, y = self._generators().make_classification(n + n_test, d, n_classes=classes, n_informative=informative,
                                                   random_state=42)
        return self._split(key, classes, X, y, n, dtype)

    def clusters(self, key: str, n: int, d: int, classes: int, n_test: int, dtype: str) -> str:
        n, n_test = self._rows(n), self._rows(n_test)
        X, y = self._generators().make_blobs(n + n_test, d, centers=classes, cluster_std=4.0, random_state=42)
        return self._split(key, classes, X, y, n, dtype)

    def blobs(self, key: str, n: int, d: int, centers: int, dtype: str) -> str:
        X, _ = self._generators().make_blobs(self._rows(n), d, centers=centers, cluster_std=3.0, random_state=42)
        return self._write(key, 0, X, dtype=dtype)

    def regression(self, key: str, n: int, d: int, n_test: int = 0, informative: Optional[int] = None) -> str:
        rng = np.random.RandomState(42)
        n = self._rows(n)
        X = rng.standard_normal((n + n_test, d))
        slopes = rng.standard_normal(d)
        slopes[informative or d:] = 0
        y = X @ slopes + rng.standard_normal(len(X))
        return self._split(key, 0, X, y, n) if n_test else self._write(key, 0, X, y)

    def labels(self, key: str, n: int, classes: int) -> str:
        """For metrics x holds predictions (7 of 10 are right); for two classes, scores."""
        rng = np.random.RandomState(42)
        y = rng.randint(0, classes, self._rows(n))
        if classes == 2:
            x = y + 1.5 * rng.standard_normal(len(y))
        else:
            x = np.where(rng.random_sample(len(y)) < 0.7, y, rng.randint(0, classes, len(y)))
        return self._write(key, classes, x[:, None], y)

    def csv(self, key: str, n: int, d: int) -> str:
        path = os.path.join(self.directory, key + ".csv")
        X = np.random.RandomState(42).standard_normal((self._rows(n), d))
        np.savetxt(path, X, "%.6f", ",", header=",".join(f"x{j}" for j in range(d)), comments="")
        return f"csv={path} n=0 d={d} bytes={os.path.getsize(path)}"

    def letter(self, key: str, dtype: str, standardised: bool) -> str:
        rows = np.genfromtxt(self._outside("letter.csv"), str, delimiter=",", skip_header=1)
        y, X = np.array([ord(c) - ord("A") for c in rows[:, 0]]), rows[:, 1:].astype(float)
        if standardised:
            X = (X - X[:16000].mean(0)) / X[:16000].std(0)
        n = self._rows(16000)
        return self._write(key, 26, X[:n], y[:n], X[16000:], y[16000:], dtype)

    def california(self, key: str) -> str:
        X = np.genfromtxt(self._outside("california_housing.csv"), delimiter=",", skip_header=1)[:, :9]
        X = np.random.RandomState(42).permutation(X[~np.isnan(X).any(1)])  # the file is ordered by place
        n = self._rows(16000)
        X, y = np.vstack((X[:n, :8], X[16000:, :8])), np.concatenate((X[:n, 8], X[16000:, 8])) / 1e5
        return self._split(key, 0, X, y, n)

    def boston(self, key: str, dtype: str) -> str:
        here = os.path.dirname(os.path.abspath(__file__))
        table = np.genfromtxt(os.path.join(here, "../examples/data/boston.csv"), delimiter=",", skip_header=1)
        X, y = table[:, :-1], table[:, -1]
        return self._write(key, 0, (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std(), dtype=dtype)

    def mnist(self, key: str, with_labels: bool) -> str:
        with gzip.open(self._outside("mnist-t10k-images-idx3-ubyte.gz")) as file:
            X = np.frombuffer(file.read(), "u1", offset=16).reshape(-1, 784) / 255.0
        n = self._rows(8000)
        if not with_labels:
            return self._write(key, 0, X[:n], None, X[8000:], None, "f4")
        with gzip.open(self._outside("mnist-t10k-labels-idx1-ubyte.gz")) as file:
            y = np.frombuffer(file.read(), "u1", offset=8)
        return self._write(key, 10, X[:n], y[:n], X[8000:], y[8000:], "f4")
