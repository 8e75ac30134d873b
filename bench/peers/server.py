# SPDX-License-Identifier: Apache-2.0
"""What the Python peers share: the language of bench/driver.c, and reading its files.

A peer hands serve() a table {task: prepare}. prepare(job) reads job.train and job.test, does what is not timed, and returns
(run, score): run() is timed, score(result of the last run) gives one number.
"""
import itertools
import os
import sys
import time
import warnings
from typing import Any, Callable, Optional

import numpy as np

Run, Score = Callable[[], Any], Callable[[Any], float]


class Job:
    def __init__(self, words: dict[str, str]):
        self.words = words
        self.verb = words["verb"]
        self.threads = int(words.get("threads", 1))
        self.classes = int(words.get("classes", 0))
        self.train = self._read("x", "y", "n")
        self.test = self._read("xt", "yt", "nt") if "xt" in words else self.train

    def _read(self, x: str, y: str, n: str) -> tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        n, d, outputs = int(self.words.get(n, 0)), int(self.words.get("d", 1)), int(self.words.get("outputs", 1))
        X = np.fromfile(self.words[x], self.words["dtype"]).reshape(-1, d)[:n] if x in self.words else None
        Y = np.fromfile(self.words[y], "f8").reshape(-1, outputs)[:n] if y in self.words else None
        if Y is not None and outputs == 1:
            Y = Y.ravel()
        return X, Y.astype(np.int64) if Y is not None and self.classes else Y

    def number(self, name: str, otherwise: float) -> float:
        return float(self.words[name]) if name in self.words else otherwise

    def integer(self, name: str) -> int:
        return int(self.words[name])


def serve(version: str, tasks: dict[str, Callable[[Job], tuple[Run, Score]]]) -> None:
    """Answer commands on standard input until "quit"; whatever a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    run = score = result = None
    for line in sys.stdin:
        verb, *rest = line.split()
        words = dict(w.split("=", 1) for w in rest)
        try:
            if verb == "quit":
                break
            if verb == "prepare":
                run, score = tasks[words["task"]](Job(words))
                print(f"ok=1 version={version}", file=answers)
            elif verb == "run":
                loops = int(words.get("loops", 1))
                start = time.perf_counter()
                for _ in range(loops):
                    result = run()
                print(f"seconds={(time.perf_counter() - start) / loops:.9g}", file=answers)
            elif verb == "score":
                print(f"score={score(result):.12g}", file=answers)
        except Exception as e:  # the orchestrator prints the reason and goes on
            print(f"error={type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", file=answers)


def fit_or_predict(job: Job, make: Callable[[], Any]) -> tuple[Run, Score]:
    """(run, score) of an estimator with scikit-learn's methods, for the verbs fit, predict and row."""
    def fit() -> Any:
        return make().fit(*job.train)

    if job.verb == "fit":
        return fit, lambda model: model.score(*job.test)
    model, (X, y) = fit(), job.test
    if job.verb == "predict":
        return lambda: model.predict(X), lambda _: model.score(X, y)
    rows = itertools.cycle(range(len(X)))
    model.n_jobs = 1

    def one_row() -> np.ndarray:
        i = next(rows)
        return model.predict_proba(X[i:i + 1])

    return one_row, lambda _: model.score(X, y)
