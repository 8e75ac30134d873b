# SPDX-License-Identifier: Apache-2.0
"""Processes that speak the language of driver.c: ours and every peer."""
import importlib.util
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import BinaryIO, Optional

from errors import Absent, Failure, NotBuilt

HERE = os.path.dirname(os.path.abspath(__file__))
US = "Invar"
PATIENCE = 240.0  # seconds for one answer
ANSWERS = (b"ok=", b"seconds=", b"score=", b"level=", b"hertz=", b"error=", b"missing=")  # how they begin
ENOUGH = 0.05  # seconds: a shorter run is repeated inside the time
MOST_LOOPS = 10**6

# script, module to import, Debian package
PYTHON_PEERS = {
    "scikit-learn": ("scikit_learn.py", "sklearn", "python3-sklearn"),
    "torch": ("pytorch.py", "torch", "python3-torch"),
    "xgboost": ("xgb.py", "xgboost", "python3-xgboost"),
    "pandas": ("csv_readers.py", "pandas", "python3-pandas"),
    "numpy": ("csv_readers.py", "numpy", "python3-numpy"),
}
COMPILED_PEERS = {"opencv": "libopencv-ml-dev", "fann": "libfann-dev", "armadillo": "libarmadillo-dev"}
BLAS_PEERS = ("scikit-learn", "torch")  # their BLAS is the system's, which takes its kernels by OPENBLAS_CORETYPE


def environment(threads: int, core: Optional[str] = None) -> dict[str, str]:
    """Ours without what could help or hinder a BLAS, but with the number of threads and perhaps OpenBLAS's core type."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS_", "OMP_", "GOMP_", "MKL_", "BLIS_"))}
    kept.update(OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads))
    return {**kept, "OPENBLAS_CORETYPE": core} if core else kept


def command_of(name: str, build: str) -> list[str]:
    """How a system is started, or Absent with the reason why it cannot be."""
    if name == US:
        return [os.path.join(build, "bench/bench-driver")]
    if name in PYTHON_PEERS:
        script, module, package = PYTHON_PEERS[name]
        if not importlib.util.find_spec(module):
            raise Absent(f"{package} is not installed")
        return [sys.executable, os.path.join(HERE, "peers", script), name]
    if name == "ranger":
        test = ["Rscript", "-e", "library(ranger)"]
        if not shutil.which("Rscript") or subprocess.run(test, capture_output=True, check=False).returncode:
            raise Absent("r-cran-ranger is not installed")
        return ["Rscript", os.path.join(HERE, "peers/ranger.R")]
    program = os.path.join(build, "bench/peer-" + name)
    if not os.path.exists(program):
        raise Absent(f"{COMPILED_PEERS[name]} was not there when this was built")
    return [program]


def last_line(log: BinaryIO) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


class System:
    """One process. `label` is a peer's name with words for it alone; "threads=1" among them replaces `threads`."""

    def __init__(self, label: str, threads: int, build: str, core: Optional[str] = None):
        self.name, *own = label.split()
        self.own = dict(w.split("=", 1) for w in own)
        self.threads = int(self.own.pop("threads", threads))
        words = [f"{v} callers" if k == "callers" else v for k, v in self.own.items()]
        self.label = " ".join([self.name, *words] + [f"{self.threads} thread"] * (self.threads != threads) + [f"@{core}"] * bool(core))
        self.loops = 1
        command = command_of(self.name, build)
        self.errors = tempfile.TemporaryFile()
        # a session of its own: an interrupt reaches the bench alone, which then kills whatever the process has started
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, bufsize=0,
                                        env=environment(self.threads, core), start_new_session=True)

    def ask(self, line: str) -> dict[str, str]:
        """The words of the answer."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass  # it has ended; reading tells
        self.answer = self._read_answer()
        if self.answer.startswith("missing="):
            raise NotBuilt(self.answer[8:])
        if self.answer.startswith("error="):
            raise Failure(self.answer[6:])
        return self.words()

    def words(self) -> dict[str, str]:
        """Those of the last answer."""
        return dict(w.split("=", 1) for w in self.answer.split() if "=" in w)

    def _read_answer(self) -> str:
        """The next line that is an answer: libraries have been seen to print their progress."""
        end, text = time.monotonic() + PATIENCE, b""
        while True:
            if not select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
                raise Failure(f"no answer within {PATIENCE:.0f} s")
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            if not part:
                raise Failure(f"ended with status {self.process.wait()}: {last_line(self.errors)}".rstrip(": "))
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                if line.startswith(ANSWERS):
                    return line.decode(errors="replace")

    def number(self, line: str, key: str) -> float:
        words = self.ask(line)
        try:
            return float(words[key])
        except (KeyError, ValueError):
            raise Failure(f"answered {self.answer[:200]!r}, which has no {key}") from None

    def prepare(self, line: str) -> str:
        """Let it read the data; the peer's version."""
        own = "".join(f" {k}={v}" for k, v in self.own.items())
        return self.ask(f"prepare {line}{own} threads={self.threads}").get("version", "")

    def run(self) -> float:
        return self.number(f"run loops={self.loops}", "seconds")

    def warm_up(self) -> float:
        """Seconds of a run, of which so many will be made in a row that the clock is precise."""
        once = self.run()
        while once * self.loops < ENOUGH / 5 and self.loops < MOST_LOOPS:
            self.loops = min(MOST_LOOPS, max(2 * self.loops, math.ceil(ENOUGH / 5 / once) if once > 0 else 1000))
            once = self.run()
        self.loops = max(1, min(MOST_LOOPS, math.ceil(ENOUGH / once) if once > 0 else MOST_LOOPS))
        return once

    def peak_kb(self) -> int:
        """The most memory it ever had; 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
                return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
        except OSError:
            return 0

    def close(self) -> None:
        if self.errors.closed:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            stream.close()
