# SPDX-License-Identifier: Apache-2.0
"""Runs the jobs of jobs.py: ours and every peer in turn on the same data, and prints what came out. See run.sh."""
import argparse
import datetime
import importlib.util
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
from jobs import C_H, C_W, JOBS, SCALING
from tables import Absent, Tables

HERE = os.path.dirname(os.path.abspath(__file__))
REPORT = os.path.join(HERE, "../docs/benchmarks.md")
BEGIN, END = "<!-- results: written by bench/run.sh --write -->\n", "<!-- end of results -->\n"
US, PAUSE = "Invar", 0.1  # seconds of rest, after which threads that wait actively have gone to sleep
PATIENCE = 600.0  # seconds for one answer
ENOUGH, LONG = 0.05, 10.0  # seconds: a shorter run is repeated inside the time; a longer one of a peer is run less often
PYTHON_PEERS = {"scikit-learn": "scikit_learn.py", "torch": "pytorch.py", "xgboost": "xgb.py",
                "pandas": "csv_readers.py", "numpy": "csv_readers.py"}


class Failure(Exception):
    pass


class Missing(Failure):
    """Ours does not have this yet."""


def environment(threads, core=None):
    e = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_", "MKL_"))}
    e.update(OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    return {**e, "OPENBLAS_CORETYPE": core} if core else e


def command_of(name, build):
    """How a system is started, or a Failure with the reason why it cannot be."""
    if name == US:
        return [os.path.join(build, "bench/bench-driver")]
    if name in PYTHON_PEERS:
        module = "sklearn" if name == "scikit-learn" else name
        if not importlib.util.find_spec(module):
            raise Failure(f"python3-{module} is not installed")
        return [sys.executable, os.path.join(HERE, "peers", PYTHON_PEERS[name]), name]
    if name == "ranger":
        test = ["Rscript", "-e", "library(ranger)"]
        if not shutil.which("Rscript") or subprocess.run(test, capture_output=True).returncode:
            raise Failure("r-cran-ranger is not installed")
        return ["Rscript", os.path.join(HERE, "peers/ranger.R")]
    program = os.path.join(build, "bench/peer-" + name)
    if not os.path.exists(program):
        raise Failure(f"{'libopencv-ml-dev' if name == 'opencv' else 'libfann-dev'} was not there when this was built")
    return [program]


class System:
    """A process that speaks the language of driver.c."""

    def __init__(self, label, threads, build, core=None):
        name, *words = label.split()
        self.name, self.words = name, dict(w.split("=", 1) for w in words)
        self.threads = int(self.words.pop("threads", threads))
        self.label = " ".join([name, *self.words.values()] + [f"{self.threads} thread"] * (self.threads != threads) +
                              [f"@{core}"] * bool(core))
        self.times, self.score, self.version, self.loops, self.repeats = [], {}, "", 1, 0
        self.process = subprocess.Popen(command_of(name, build), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env=environment(self.threads, core))

    def ask(self, line):
        guard = threading.Timer(PATIENCE, self.process.kill)
        guard.start()
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().rstrip("\n")
        except BrokenPipeError:
            answer = ""
        guard.cancel()
        self.answer = answer
        if answer.startswith("missing="):
            raise Missing(answer[8:])
        if not answer or answer.startswith("error="):
            raise Failure(answer[6:] or f"ended with status {self.process.wait()}")
        return dict(w.split("=", 1) for w in answer.split() if "=" in w)

    def run(self):
        return float(self.ask(f"run loops={self.loops}")["seconds"])

    def prepare(self, line):
        """Read the data, warm up, choose how often a short run is repeated; the warm-up's result gives the score."""
        own = " ".join(f"{k}={v}" for k, v in self.words.items())
        self.version = self.ask(f"prepare {line} {own} threads={self.threads}").get("version", "")
        once = self.run()
        while once * self.loops < ENOUGH / 5 and self.loops < 10**6:
            self.loops = min(10**6, max(self.loops * 2, math.ceil(ENOUGH / 5 / once) if once > 0 else 1000))
            once = self.run()
        self.loops = max(1, min(10**6, math.ceil(ENOUGH / once))) if once > 0 else 10**6
        self.score = self.ask("score")
        return once

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    @property
    def median(self):
        return statistics.median(self.times)


def show(seconds):
    if seconds is None:
        return "–"
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"


class Bench:
    def __init__(self, arguments, tables):
        self.a, self.tables, self.versions, self.rows = arguments, tables, {}, []
        self.build = arguments.build
        driver = System(US, arguments.threads, self.build)
        self.constants = driver.ask(f"constants threads={arguments.threads}")
        self.c = {k: float(v) for k, v in self.constants.items() if k not in ("level", "build")}
        self.ours = driver.answer.split("build=")[1]
        driver.close()
        self.blas, self.core = self.other_core()

    def other_core(self):
        """OpenBLAS's name for this processor, and a better one when it does not know it."""
        code = ("import numpy, threadpoolctl as t; print(*[(p.get('architecture') or '?') + ' ' + str(p['version']) "
                "for p in t.threadpool_info() if p['internal_api'] == 'openblas'][:1])")
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(1)).stdout.strip()
        if self.a.openblas_core != "auto":
            return found, None if self.a.openblas_core == "none" else self.a.openblas_core
        unknown = found.split() and found.split()[0] in ("Prescott", "Core2", "Nehalem", "generic")
        return found, {"avx512": "SkylakeX", "avx2": "Haswell"}.get(self.constants["level"]) if unknown else None

    # ---- one job ----

    def start(self, job, label, core, line):
        try:
            system = System(label, self.a.threads, self.build, core)
        except Failure as e:
            print(f"  {label:32} skipped: {e}", flush=True)
            return None
        try:
            once = system.prepare(line)
            system.repeats = self.a.repeats
            if system.name != US and once > (LONG / 5 if self.a.quick else LONG):
                system.repeats = 1 if self.a.quick else min(self.a.repeats, 2)
            if system.name != US:
                self.versions[system.name] = system.version
            return system
        except Missing as e:
            print(f"  {system.label:32} not built yet ({str(e)[:80]})", flush=True)
        except Failure as e:
            print(f"  {system.label:32} failed: {e}", flush=True)
        system.close()
        return None

    def run(self, job):
        print(f"\n{job.name}: {job.title}", flush=True)
        try:
            data = self.tables.words(job.data)
        except Absent as e:
            print(f"  skipped: {e}", flush=True)
            return
        line = f"verb={job.verb} {job.task} {data}"
        cores = [None] + [self.core] * bool(self.core and job.blas)
        systems = []
        if job.ours is None:
            print(f"  {US:32} not built yet", flush=True)
        else:
            systems.append(self.start(job, US, None, f"{line} {job.ours}"))
            if systems[0] and len(cores) > 1 and "openblas" in self.ours:
                systems.append(self.start(job, US, self.core, f"{line} {job.ours}"))
        for peer in job.peers:
            own_cores = cores if peer.split()[0] in ("scikit-learn", "torch") else cores[:1]
            systems += [self.start(job, peer, core, line) for core in own_cores]
        systems = [s for s in systems if s]
        for r in range(self.a.repeats):
            for s in systems:
                if r < s.repeats:
                    time.sleep(PAUSE)
                    s.times.append(s.run())
        self.report(job, line, systems)
        for s in systems:
            s.close()

    def names(self, job, line, score):
        """What a limit's expression may use."""
        words = dict(w.split("=", 1) for w in line.split())
        v = {k: float(x) for k, x in words.items() if x.replace(".", "", 1).isdigit()}
        v.update(f=self.c["clock"], F32=self.c["flops32"], F64=self.c["flops64"], F1=self.c["one_flops32"],
                 B=self.c["bandwidth"], t=self.a.threads, C_H=C_H, C_W=C_W, T=v.get("trees", 0), K=v.get("classes", 0),
                 n_test=v.get("nt", 0), s=4 if "dtype=f4" in line else 8, D=float(score.get("depth", 0)),
                 steps=float(score.get("steps", 0)), sqrt=math.sqrt, max=max)
        if "hidden" in words:
            n_out = v["K"] or (v["d"] if job.task.startswith("task=autoencoder") else 1)
            widths = [v["d"], *(float(h) for h in words["hidden"].split(",")), n_out]
            macs = [a * b for a, b in zip(widths, widths[1:])]
            v.update(MAC=sum(macs), MAC1=macs[0], W=sum(macs) + sum(widths[1:]),
                     updates=v["epochs"] * math.ceil(v["n"] / v["batch"]))
        return v

    def same_bits(self, job, line):
        """Whether 1, 2, 3 and 5 threads learn the same model, by the hash of its file."""
        hashes = set()
        for threads in (1, 2, 3, 5):
            s = System(US, threads, self.build)
            s.ask(f"prepare {line} {job.ours} threads={threads}")
            hashes.add(s.ask("score").get("hash"))
            s.close()
        return len(hashes) == 1

    def report(self, job, line, systems):
        ours = next((s for s in systems if s.label == US), None)  # as an application gets it: no variable set to help it
        peers = [s for s in systems if s.name != US]
        best = min(peers, key=lambda s: s.median, default=None)
        for s in systems:
            print(f"  {s.label:32} {show(s.median):>9}  min {show(min(s.times)):>9}  ×{s.repeats}  {job.score} "
                  f"{float(s.score['score']):.5g}", flush=True)
        row = {"job": job, "rows": next(w[2:] for w in line.split() if w.startswith("n=")), "ours": ours, "best": best,
               "peers": peers, "limit": None, "bits": None}
        if ours and best:
            print(f"  {best.median / ours.median:.2f} times as fast as the best peer ({best.label}); goal {job.goal}")
        if ours:
            values = self.names(job, line, ours.score)
            row["limit"] = (eval(job.limit, {"__builtins__": {}}, values) or None) if job.limit else None
            if row["limit"]:
                wanted = compile(job.limit, "", "eval").co_names
                used = {n: x for n, x in values.items() if n in wanted and not callable(x)}
                print(f"  limit {show(row['limit'])} = {job.limit}\n    with " +
                      ", ".join(f"{n}={x:.4g}" for n, x in used.items()))
                print(f"  {100 * row['limit'] / ours.median:.1f} % of the limit's speed")
            print(f"  peak memory {int(ours.score['peak_kb']) / 1024:.0f} MB with the data, of which the library "
                  f"{float(ours.score['context_kb']) / 1024:.1f} MB")
            if "hash" in ours.score and job.verb == "fit" and ours.median < 5:
                row["bits"] = self.same_bits(job, line)
                print(f"  same bits with 1, 2, 3, 5 threads: {'yes' if row['bits'] else 'NO'}", flush=True)
        self.rows.append(row)

    # ---- growth ----

    def scaling(self):
        print("\nscaling: rows ×1, ×4, ×16; threads 1, 2; exponent of growth with rows (1: linear)")
        lines = ["| job | rows | 1 thread | 2 threads | gain |", "|---|---|---|---|---|"]
        for name, (spec, words) in SCALING.items():
            data, times = self.tables.words(spec), {}
            n_all = next(int(w[2:]) for w in data.split() if w.startswith("n="))
            sizes = [n_all // 16, n_all // 4, n_all]
            kept = " ".join(w for w in data.split() if not w.startswith(("n=", "xt=", "yt=", "nt=")))
            systems = {(n, t): System(US, t, self.build) for n in sizes for t in (1, 2)}
            for (n, t), s in systems.items():
                s.prepare(f"verb=fit {kept} n={n} {words}")
            for _ in range(self.a.repeats):
                for s in systems.values():
                    time.sleep(PAUSE)
                    s.times.append(s.run())
            for key, s in systems.items():
                times[key] = s.median
                s.close()
            slopes = [np.polyfit(np.log(sizes), np.log([times[n, t] for n in sizes]), 1)[0] for t in (1, 2)]
            for n in sizes:
                lines.append(f"| {name} | {n} | {show(times[n, 1])} | {show(times[n, 2])} | "
                             f"{times[n, 1] / times[n, 2]:.2f} |")
            lines.append(f"| {name} | exponent | {slopes[0]:.2f} | {slopes[1]:.2f} | |")
        print("\n".join(lines), flush=True)
        return lines

    # ---- the report ----

    def header(self):
        c, cpu = self.c, platform.processor()
        if os.path.exists("/proc/cpuinfo"):
            with open("/proc/cpuinfo") as file:
                cpu = next((x.split(":")[1].strip() for x in file if x.startswith("model name")), cpu)
        peers = ", ".join(f"{n} {v}" for n, v in sorted(self.versions.items()))
        return [
            f"- {datetime.date.today()}, {cpu}, {os.cpu_count()} processors, {platform.system()} {platform.release()}; load "
            f"average {self.load:.2f} at the start, {os.getloadavg()[0]:.2f} at the end"
            + ("" if self.load <= 0.3 else " (**not alone on the machine: ratios are better evidence than seconds**)"),
            f"- {self.ours}; {self.a.threads} threads, {self.a.repeats} repeats"
            + (", **quick: tables of a twentieth of the size**" if self.a.quick else ""),
            f"- peers: {peers or 'none'}; OpenBLAS {self.blas or 'absent'}"
            + (f" (it does not know this processor; @{self.core}: told so by OPENBLAS_CORETYPE)" if self.core else ""),
            f"- measured constants: clock f = {c['clock'] / 1e9:.2f} GHz; {self.constants['level']} multiply-add peak F32 = "
            f"{c['flops32'] / 1e9:.0f}, F64 = {c['flops64'] / 1e9:.0f} GF/s (one thread {c['one_flops32'] / 1e9:.0f}, "
            f"{c['one_flops64'] / 1e9:.0f}); reads B = {c['bandwidth'] / 1e9:.1f} GB/s; assumed: C_H = {C_H}, C_W = {C_W} "
            "cycles",
        ]

    def table(self):
        lines = ["| job | Invar | best peer | times as fast | score: Invar; best peer | share of limit | peak MB | bits | goal | all "
                 "peers |", "|---|---|---|---|---|---|---|---|---|---|"]
        for r in self.rows:
            o, b, job = r["ours"], r["best"], r["job"]
            score = "; ".join(f"{float(s.score['score']):.4g}" if s else "–" for s in (o, b))
            peers = ", ".join(f"{s.label} {show(s.median)}" + (f" (×{s.repeats})" if s.repeats < self.a.repeats else "")
                              for s in r["peers"])
            lines.append("| " + " | ".join([
                job.title + (f" (quick: {r['rows']} rows)" if self.a.quick and r["rows"] != "0" else ""),
                show(o.median) if o else "not built yet",
                f"{show(b.median)} ({b.label})" if b else "–", f"{b.median / o.median:.2f}" if o and b else "–",
                f"{job.score} {score}", f"{100 * r['limit'] / o.median:.1f} %" if r["limit"] else "–",
                f"{int(o.score['peak_kb']) / 1024:.0f}" if o else "–",
                {True: "same", False: "**differ**", None: "–"}[r["bits"]], job.goal, peers or "–"]) + " |")
        return lines

    def write(self, lines):
        with open(REPORT, encoding="utf-8") as file:
            text = file.read()
        before, after = text.split(BEGIN)[0], text.split(END)[-1]
        with open(REPORT, "w", encoding="utf-8") as file:
            file.write(before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after)


def main():
    p = argparse.ArgumentParser(prog="sh bench/run.sh", description=__doc__)
    p.add_argument("jobs", nargs="*", help="names or beginnings of names; scaling; default: all jobs")
    p.add_argument("--data", help="folder of the data sets that are not part of the project")
    p.add_argument("--repeats", type=int)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--quick", action="store_true", help="tables of a twentieth of the size, 3 repeats")
    p.add_argument("--write", action="store_true", help="put the results into docs/benchmarks.md")
    p.add_argument("--openblas-core", default="auto", help="also run BLAS-bound systems under this OPENBLAS_CORETYPE; none; "
                   "auto: when OpenBLAS does not know the processor")
    p.add_argument("--list", action="store_true", help="name the jobs")
    p.add_argument("--build", required=True, help=argparse.SUPPRESS)
    a = p.parse_args()
    a.repeats = a.repeats or (3 if a.quick else 5)
    if a.list:
        print("\n".join(f"{j.name:20} {j.title}" for j in JOBS))
        return 0
    chosen = [j for j in JOBS if not a.jobs or any(j.name.startswith(name) for name in a.jobs)]
    unknown = [name for name in a.jobs if name != "scaling" and not any(j.name.startswith(name) for j in JOBS)]
    if unknown:
        p.error(f"no such job: {', '.join(unknown)}; --list names them")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="invar-bench-") as directory:
        bench = Bench(a, Tables(directory, a.data, a.quick))
        bench.load = load
        print("\n".join(bench.header()))
        for job in chosen:
            bench.run(job)
        growth = bench.scaling() if "scaling" in a.jobs or a.write and not a.jobs else []
        lines = bench.header() + ([""] + bench.table() if bench.rows else []) + ([""] + growth if growth else [])
        if bench.rows:
            print("\n" + "\n".join(bench.header() + [""] + bench.table()))
        if a.write:
            bench.write(lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
