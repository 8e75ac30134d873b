# SPDX-License-Identifier: Apache-2.0
"""Ours and every peer in turn on the same data: the jobs of jobs.py, growth with rows and threads, the kernels."""
import argparse
import contextlib
import glob
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Optional

import report
from errors import Failure
from jobs import GROWTH, JOBS, Job
from machine import MOST_LOAD, QUIET_FROM, Watch, describe, fitting_core, openblas
from measure import GrowthResult, Result, Settings, fault, measure, measure_growth
from results import Store
from systems import HERE, environment
from tables import Tables

DOCUMENT = os.path.join(HERE, "../docs/benchmarks.md")
RESULTS, SCALING, KERNELS = "results", "scaling", "kernels"  # blocks of the document
START_PATIENCE, JOB_PATIENCE = 300.0, 60.0  # seconds to wait for a quiet machine
KERNEL_PATIENCE = 900.0
DECIDES_RESULTS = ("jobs.py", "tables.py", "systems.py", "measure.py", "peers/*")


def arguments() -> argparse.Namespace:
    p = argparse.ArgumentParser(prog="sh bench/run.sh", description=__doc__)
    p.add_argument("names", nargs="*", metavar="job", help="a job's name or its beginning, scaling, kernels; default: all")
    p.add_argument("--data", help="folder of the data sets that are not part of the project")
    p.add_argument("--repeats", type=int, help="runs after the warm-up (5); twice as many of the short, fewer of the long")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md; wants a quiet machine")
    p.add_argument("--anyway", action="store_true", help="record on a machine that is not quiet, and say so")
    p.add_argument("--resume", action="store_true", help="keep what the last run has measured on a quiet machine")
    p.add_argument("--estimate", action="store_true", help="warm-ups only: does everything run, and how long would it take")
    p.add_argument("--quick", action="store_true", help="tables of a twentieth of the size: does it run, not how fast")
    p.add_argument("--no-peers", action="store_true", help="ours alone")
    p.add_argument("--check", action="store_true", help="--quick --no-peers; status 1 when an answer of ours is wrong")
    p.add_argument("--openblas-core", default="auto", metavar="CORE", help="a second run of what depends on OpenBLAS with "
                   "this OPENBLAS_CORETYPE; none; auto: when OpenBLAS does not know the processor")
    p.add_argument("--list", action="store_true", help="name the jobs")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    a = p.parse_args()
    known = [SCALING, KERNELS, *(j.name for j in JOBS)]
    unknown = [name for name in a.names if not any(k.startswith(name) for k in known)]
    if unknown:
        p.error(f"no such job: {', '.join(unknown)}; --list names them")
    if a.check:
        a.quick = a.no_peers = True
        a.openblas_core = "none"
    if a.write and (a.quick or a.no_peers or a.estimate or chosen_jobs(a.names) not in ([], JOBS)):
        p.error("only full sizes, all jobs and all peers are recorded; --write --resume keeps the jobs already measured")
    a.repeats = a.repeats or (1 if a.quick else 5)
    return a


def chosen_jobs(names: list[str]) -> list[Job]:
    return [j for j in JOBS if not names or any(j.name.startswith(name) for name in names)]


def signature(a: argparse.Namespace) -> str:
    """Of everything that results must have in common to stand in one table."""
    digest = hashlib.sha256(repr((a.threads, a.repeats, a.quick, a.no_peers, a.openblas_core)).encode())
    own = sorted(path for pattern in DECIDES_RESULTS for path in glob.glob(os.path.join(HERE, pattern)))
    for path in [os.path.join(a.build, "bench/bench-driver"), *own]:
        if os.path.isfile(path):
            with open(path, "rb") as file:
                digest.update(file.read())
    return digest.hexdigest()


class Run:
    def __init__(self, a: argparse.Namespace, stack: contextlib.ExitStack):
        self.a, self.wrong = a, 0
        self.store = Store(os.path.join(a.build, "quick-results" if a.quick else "results"), signature(a))
        if not a.names and not a.resume and not a.estimate:
            self.store.clear()
        self.tables = Tables(stack.enter_context(tempfile.TemporaryDirectory(prefix="invar-bench-")), a.data, a.quick)
        self.watch = Watch(a.build, a.threads)
        stack.callback(self.watch.close)
        kept = self.store.machine() if a.resume else None
        self.machine = kept if kept and not kept["anyway"] else self.new_machine()
        self.watch.clock = float(self.machine["constants"]["clock"])
        self.settings = Settings(a.build, a.threads, a.repeats, not a.no_peers, a.estimate, self.machine["constants"],
                                 "openblas" in self.machine["build"], self.machine["core"])

    def new_machine(self) -> dict:
        a, constants, found = self.a, self.watch.constants(), openblas()
        core = fitting_core(found, constants["level"]) if a.openblas_core == "auto" else a.openblas_core
        return {**describe(), "constants": constants, "build": constants["build"], "openblas": found,
                "core": None if core == "none" else core, "threads": a.threads, "repeats": a.repeats, "quick": a.quick,
                "quiet_from": QUIET_FROM, "load": 0.0, "anyway": False}

    def begin(self) -> None:
        """Wait until the machine is quiet if that matters; refuse to go on when it is not."""
        share = self.watch.wait(START_PATIENCE if self.a.write and not self.a.anyway else 0, MOST_LOAD)
        load = os.getloadavg()[0]
        quiet = share >= QUIET_FROM and load <= MOST_LOAD
        if self.a.write and not quiet and not self.a.anyway:
            raise Failure(f"not recorded: load average {load:.2f} (at most {MOST_LOAD} is wanted), {share:.2f} of the clock is "
                          f"ours (at least {QUIET_FROM}); --anyway records nevertheless")
        self.machine["load"] = max(self.machine["load"], load)
        self.machine["anyway"] |= not quiet
        if not self.a.estimate:
            self.store.save_machine(self.machine)

    # ---- units of work ----

    def job(self, job: Job) -> Result:
        kept = self.store.result(job.name) if self.a.resume else None
        if kept and not kept.left_out and (kept.quiet >= QUIET_FROM or self.a.anyway):
            return kept
        print(f"\n{job.name}: {job.title}", flush=True)
        before = self.watch.wait(JOB_PATIENCE if self.a.write else 0)
        result = measure(job, self.tables, self.settings)
        result.quiet = min(before, self.watch.share())
        print(report.console(job, result, self.a.estimate), flush=True)
        if not self.a.estimate:
            self.store.save_result(result)
        reason = fault(job, result)
        if reason:
            self.wrong += 1
            print(f"  WRONG: {reason}", flush=True)
        return result

    def scaling(self) -> list[GrowthResult]:
        print("\nscaling: rows; threads 1, 2; exponent of growth with rows (1: linear)", flush=True)
        growths = []
        for growth in GROWTH:
            kept = self.store.growth(growth.name) if self.a.resume else None
            if not kept:
                self.watch.wait(JOB_PATIENCE if self.a.write else 0)
                kept = measure_growth(growth, self.tables, self.settings)
                if not self.a.estimate:
                    self.store.save_growth(kept)
            growths.append(kept)
        print("\n".join(report.growth_table(growths)), flush=True)
        return growths

    def kernels(self) -> dict[str, str]:
        """Every program bench-* that was built, apart from the driver; and again with OpenBLAS's better kernels."""
        outputs = (self.store.kernels() if self.a.resume else None) or {}
        for path in sorted(glob.glob(os.path.join(self.a.build, "bench/bench-*"))):
            program = os.path.basename(path)
            if os.path.isfile(path) and os.access(path, os.X_OK) and program != "bench-driver" and program not in outputs:
                self.kernel(path, program, None, outputs)
                if self.settings.core and "openblas" in outputs[program].lower():
                    self.kernel(path, f"{program} @{self.settings.core}", self.settings.core, outputs)
        return outputs

    def kernel(self, path: str, name: str, core: Optional[str], outputs: dict[str, str]) -> None:
        print(f"\n{name}", flush=True)
        self.watch.wait(JOB_PATIENCE if self.a.write else 0)
        try:
            done = subprocess.run([path], capture_output=True, text=True, timeout=KERNEL_PATIENCE, check=False,
                                  env=environment(self.a.threads, core))
            outputs[name] = done.stdout + (f"ended with status {done.returncode} {done.stderr}" if done.returncode else "")
        except subprocess.TimeoutExpired:
            outputs[name] = f"no end within {KERNEL_PATIENCE:.0f} s"
        print(outputs[name], flush=True)
        if not self.a.estimate:
            self.store.save_kernels(outputs)

    # ---- all ----

    def wants(self, unit: str) -> bool:
        return not self.a.check and (not self.a.names or any(unit.startswith(name) for name in self.a.names))

    def all(self) -> None:
        begin, estimated, blocks = time.monotonic(), 0.0, {}
        pairs = [(job, self.job(job)) for job in chosen_jobs(self.a.names)]
        if pairs:
            blocks[RESULTS] = report.jobs_block(pairs, self.machine)
            estimated += sum(result.expected for _, result in pairs)
        if self.wants(SCALING):
            growths = self.scaling()
            blocks[SCALING] = report.growth_block(growths, self.machine)
            estimated += sum(g.expected for g in growths)
        if self.wants(KERNELS):
            start = time.monotonic()
            blocks[KERNELS] = report.kernels_block(self.kernels(), self.machine)
            estimated += time.monotonic() - start
        if self.a.estimate:
            print(f"\nall of it would take about {estimated / 60:.1f} minutes")
            return
        if pairs and not self.a.check:
            print("\n" + "\n".join(blocks[RESULTS]))
        print(f"\n{(time.monotonic() - begin) / 60:.1f} minutes")
        if self.a.write:
            report.write(DOCUMENT, blocks)


def main() -> int:
    a = arguments()
    if a.list:
        print("\n".join(f"{j.name:20} {j.title}" for j in JOBS))
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with contextlib.ExitStack() as stack:
            run = Run(a, stack)
            run.begin()
            run.all()
    except Failure as e:
        print(f"bench: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbench: interrupted; --resume goes on from here", file=sys.stderr)
        return 130
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
