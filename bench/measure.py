# SPDX-License-Identifier: Apache-2.0
"""One job measured: every system prepared and warmed up, then run in turn; the result is plain data that JSON can hold."""
import math
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Iterator, Optional

import numpy as np
from errors import Absent, Failure, NotBuilt
from jobs import C_H, C_W, GROWTH_THREADS, Growth, Job
from systems import BLAS_PEERS, US, System
from tables import Tables

PAUSE = 0.1  # seconds of rest before a run: threads that wait actively have gone to sleep by then
MANY, SOME, FEW = 0.5, 2.0, 10.0  # seconds: runs up to these are made 2 × repeats, `repeats`, 3 times; longer ones twice
HASHED = 10.0  # seconds: longer fits are not repeated with other numbers of threads
BIT_THREADS = (1, 2, 3, 5)

OK, NOT_BUILT, LEFT_OUT, FAILED = "ok", "not built yet", "left out", "failed"


@dataclass
class Settings:
    build: str
    threads: int
    repeats: int
    peers: bool  # or ours alone
    estimate: bool  # only warm-ups, which tell how long the rest would take
    constants: dict[str, str]  # of the machine, as the driver says them
    blas_build: bool  # ours calls OpenBLAS
    core: Optional[str]  # OPENBLAS_CORETYPE of a second run of what depends on OpenBLAS


@dataclass
class Figures:
    """What one system did in one job."""
    label: str
    state: str = OK
    message: str = ""
    version: str = ""
    times: list[float] = field(default_factory=list)
    score: float = math.nan
    peak_kb: int = 0
    facts: dict[str, str] = field(default_factory=dict)  # what else its model tells

    @property
    def name(self) -> str:
        return self.label.split()[0]

    @property
    def median(self) -> float:
        return statistics.median(self.times)


@dataclass
class Result:
    job: str
    left_out: str = ""  # why there are no figures
    n_rows: int = 0
    figures: list[Figures] = field(default_factory=list)
    limit: Optional[float] = None
    limit_values: dict[str, float] = field(default_factory=dict)
    same_bits: Optional[bool] = None
    expected: float = 0.0  # seconds for all of it
    quiet: float = 1.0  # share of the processors' clock that was ours before and after, the lower

    @property
    def ours(self) -> Optional[Figures]:
        """As an application gets it: no variable set to help it."""
        return next((f for f in self.figures if f.label == US and f.state == OK and f.times), None)

    @property
    def best_peer(self) -> Optional[Figures]:
        return min((f for f in self.figures if f.name != US and f.state == OK and f.times), key=lambda f: f.median,
                   default=None)


def runs_of(once: float, repeats: int) -> tuple[bool, int]:
    """After a warm-up of so many seconds: whether it counts as a run, and how many more follow."""
    if once > SOME:
        return True, 1 if once > FEW else 2
    return False, repeats if once > MANY else 2 * repeats


class Contest:
    """The systems of one job that are still in it, each with the number of runs it has to make."""

    def __init__(self, settings: Settings, stack: ExitStack):
        self.settings, self.stack = settings, stack
        self.figures: list[Figures] = []
        self.running: list[tuple[System, Figures, int]] = []
        self.expected = 0.0

    def enter(self, label: str, line: str, threads: int, core: Optional[str] = None, scored: bool = True) -> Figures:
        figures = Figures(label)
        self.figures.append(figures)
        try:
            system = System(label, threads, self.settings.build, core)
            self.stack.callback(system.close)
            figures.label = system.label
            figures.version = system.prepare(line)
            once = system.warm_up()
            figures.peak_kb = system.peak_kb()
            if scored:
                figures.score, figures.facts = system.number("score", "score"), system.words()
        except Absent as e:
            figures.state, figures.message = LEFT_OUT, str(e)
        except NotBuilt as e:
            figures.state, figures.message = NOT_BUILT, str(e)
        except Failure as e:
            figures.state, figures.message = FAILED, str(e)
            system.close()
        else:
            counts, count = runs_of(once, self.settings.repeats)
            self.expected += count * (once * system.loops + PAUSE)
            if counts or self.settings.estimate:
                figures.times.append(once)
            self.running.append((system, figures, count))
        return figures

    def run(self) -> None:
        """The first run of all, then the second of all, …; who fails leaves."""
        for r in range(max((count for _, _, count in self.running), default=0)):
            for entry in [e for e in self.running if r < e[2]]:
                system, figures, _ = entry
                time.sleep(PAUSE)
                try:
                    figures.times.append(system.run())
                except Failure as e:
                    figures.state, figures.message = FAILED, str(e)
                    self.running.remove(entry)
                    system.close()


def values_of(job: Job, line: str, facts: dict[str, str], settings: Settings) -> dict[str, float]:
    """What a limit's expression may use."""
    words = dict(w.split("=", 1) for w in line.split() if "=" in w)
    values = {k: float(x) for k, x in words.items() if x.replace(".", "", 1).isdigit()}
    c = {k: float(x) for k, x in settings.constants.items() if k not in ("level", "build")}
    values.update(f=c["clock"], F32=c["flops32"], F64=c["flops64"], F1=c["one_flops32"], B=c["bandwidth"],
                  t=settings.threads, C_H=C_H, C_W=C_W, T=values.get("trees", 0), K=values.get("classes", 0),
                  n_test=values.get("nt", 0), s=4 if words.get("dtype") == "f4" else 8, D=float(facts.get("depth", 0)),
                  steps=float(facts.get("steps", 0)))
    if "hidden" in words:
        n_out = values["d"] if words["task"] == "autoencoder" else values["K"] or 1
        widths = [values["d"], *(float(h) for h in words["hidden"].split(",")), n_out]
        products = [a * b for a, b in zip(widths, widths[1:])]
        values.update(MAC=sum(products), MAC1=products[0], W=sum(products) + sum(widths[1:]),
                      updates=values["epochs"] * math.ceil(values["n"] / values["batch"]))
    return values


def limit_of(job: Job, line: str, facts: dict[str, str], settings: Settings) -> tuple[Optional[float], dict[str, float]]:
    """The least seconds, and the values they come from."""
    if not job.limit:
        return None, {}
    values = values_of(job, line, facts, settings)
    code = compile(job.limit, job.name, "eval")
    seconds = eval(code, {"__builtins__": {}, "sqrt": math.sqrt, "max": max}, values)
    return seconds or None, {name: values[name] for name in code.co_names if name in values}


def same_bits(line: str, settings: Settings) -> bool:
    """Whether every number of threads learns the same model, by the hash of its file."""
    hashes = set()
    for threads in BIT_THREADS:
        system = System(US, threads, settings.build)
        try:
            system.prepare(line)
            system.run()
            hashes.add(system.ask("score").get("hash"))
        finally:
            system.close()
    return len(hashes) == 1


def entries(job: Job, line: str, settings: Settings) -> Iterator[tuple[str, str, list[Optional[str]]]]:
    """Label, words and core types of every system of the job."""
    both = [None, settings.core] if settings.core and job.blas else [None]
    if job.ours is not None:
        yield US, f"{line} {job.ours}", both if settings.blas_build else [None]
        for words in job.variants:
            yield f"{US} {words}", f"{line} {job.ours}", [None]
    for peer in job.peers if settings.peers else []:
        yield peer, line, both if peer.split()[0] in BLAS_PEERS else [None]


def measure(job: Job, tables: Tables, settings: Settings) -> Result:
    result, begin = Result(job.name), time.monotonic()
    try:
        line = f"verb={job.verb} {job.task} {tables.words(job.data)}"
    except Absent as e:
        result.left_out = str(e)
        return result
    result.n_rows = next(int(w[2:]) for w in line.split() if w.startswith("n="))
    with ExitStack() as stack:
        contest = Contest(settings, stack)
        if job.ours is None:
            contest.figures.append(Figures(US, NOT_BUILT, "no function for it"))
        for label, words, cores in entries(job, line, settings):
            for core in cores:
                if contest.enter(label, words, settings.threads, core).state != OK:
                    break  # nor would it run with other kernels
        result.figures = contest.figures
        result.expected = time.monotonic() - begin + contest.expected
        if not settings.estimate:
            contest.run()
    ours = next((f for f in result.figures if f.label == US and f.state == OK), None)
    if ours:
        result.limit, result.limit_values = limit_of(job, line, ours.facts, settings)
    if ours and job.verb == "fit" and all(t < HASHED for t in ours.times):
        begin = time.monotonic()
        try:
            result.same_bits = same_bits(f"{line} {job.ours}", settings)
        except Failure as e:
            ours.state, ours.message = FAILED, f"with other numbers of threads: {e}"
        result.expected += time.monotonic() - begin
    return result


def fault(job: Job, result: Result) -> str:
    """Why our answer is wrong; "" when it is right, or there is none to be had."""
    ours = next((f for f in result.figures if f.label == US), None)
    if not ours or ours.state in (NOT_BUILT, LEFT_OUT):
        return ""
    if ours.state == FAILED:
        return ours.message
    if result.same_bits is False:
        return "other numbers of threads learn another model"
    return "" if ours.score >= job.floor else f"{job.score} {ours.score:.5g} is below {job.floor:g}"


# ---- growth ----

@dataclass
class GrowthResult:
    name: str
    left_out: str = ""
    sizes: list[int] = field(default_factory=list)
    medians: dict[str, list[float]] = field(default_factory=dict)  # by number of threads, of each size
    exponents: dict[str, float] = field(default_factory=dict)
    peak_kb: dict[str, list[int]] = field(default_factory=dict)  # the table included
    expected: float = 0.0


def measure_growth(growth: Growth, tables: Tables, settings: Settings) -> GrowthResult:
    result, begin = GrowthResult(growth.name), time.monotonic()
    try:
        data = tables.words(growth.data).split()
    except Absent as e:
        result.left_out = str(e)
        return result
    n_all = next(int(w[2:]) for w in data if w.startswith("n="))
    kept = " ".join(w for w in data if not w.startswith(("n=", "xt=", "yt=", "nt=")))
    result.sizes = [n_all // part for part in growth.parts]
    with ExitStack() as stack:
        contest = Contest(settings, stack)
        runs = {(n, t): contest.enter(US, f"verb=fit {kept} n={n} {growth.ours}", t, scored=False)
                for n in result.sizes for t in GROWTH_THREADS}
        result.expected = time.monotonic() - begin + contest.expected
        if not settings.estimate:
            contest.run()
    failed = next((f for f in runs.values() if f.state != OK), None)
    if failed:
        result.left_out = failed.message
        return result
    for t in GROWTH_THREADS:
        result.medians[str(t)] = times = [runs[n, t].median for n in result.sizes]
        result.peak_kb[str(t)] = [runs[n, t].peak_kb for n in result.sizes]
        result.exponents[str(t)] = float(np.polyfit(np.log(result.sizes), np.log(times), 1)[0])
    return result
