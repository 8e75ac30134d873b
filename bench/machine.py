# SPDX-License-Identifier: Apache-2.0
"""This machine: what it is, what it can do at most, and whether it is ours alone."""
import datetime
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import time
from typing import Optional

from systems import US, System, environment

MOST_LOAD = 0.3  # load average before a run that is recorded
QUIET_FROM = 0.9  # share of the clock that is ours on a quiet machine
UNKNOWN_TO_OPENBLAS = ("Prescott", "Core2", "Nehalem", "generic")  # what it takes for a processor it does not know
FITTING_CORES = {"avx512vbmi2": "SkylakeX", "avx512": "SkylakeX", "avx2": "Haswell"}


def first_line(command: list[str], **options) -> str:
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    return (done.stdout + done.stderr).strip().split("\n")[0]


def value_in(path: str, key: str, otherwise: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            lines = (line.replace("=", ":", 1).split(":", 1) for line in file if line.startswith(key))
            return next((words[1].strip().strip('"') for words in lines), otherwise)
    except OSError:
        return otherwise


def openblas() -> str:
    """The kernels that numpy's OpenBLAS chooses when nobody tells it, and its version; "" without one."""
    code = ("import numpy, threadpoolctl as t; print(*[(p.get('architecture') or '?') + ' ' + str(p['version']) "
            "for p in t.threadpool_info() if p['internal_api'] == 'openblas'][:1])")
    found = importlib.util.find_spec("numpy") and importlib.util.find_spec("threadpoolctl")
    return first_line([sys.executable, "-c", code], env=environment(1)) if found else ""


def fitting_core(found: str, level: str) -> Optional[str]:
    """What to tell OpenBLAS by OPENBLAS_CORETYPE where it does not know the processor."""
    return FITTING_CORES.get(level) if found.split()[:1] and found.split()[0] in UNKNOWN_TO_OPENBLAS else None


def describe() -> dict:
    kilobytes = int(value_in("/proc/meminfo", "MemTotal", "0").split()[0])
    return {
        "date": str(datetime.date.today()),
        "cpu": value_in("/proc/cpuinfo", "model name", platform.processor()),
        "processors": os.cpu_count(),
        "memory": f"{kilobytes / 1024**2:.0f} GB",
        "system": f"{value_in('/etc/os-release', 'PRETTY_NAME', platform.system())}, {platform.system()} {platform.release()}",
        "languages": f"Python {platform.python_version()}, {first_line(['Rscript', '--version']) or 'no R'}",
    }


class Watch:
    """A driver that measures the machine's constants, and later how much of its clock is left to us."""

    def __init__(self, build: str, threads: int):
        self.threads, self.clock = threads, 0.0
        self.driver = System(US, threads, build)

    def constants(self) -> dict[str, str]:
        words = self.driver.ask(f"constants threads={self.threads}")
        words["build"] = self.driver.answer.split("build=")[1]  # has spaces
        return words

    def share(self) -> float:
        """The best of three looks, so that a moment's disturbance does not count."""
        probe = f"probe threads={self.threads}"
        return max(self.driver.number(probe, "hertz") for _ in range(3)) / self.clock

    def wait(self, seconds: float, most_load: float = float("inf")) -> float:
        """The share of the clock when the machine has become quiet, or after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            share = self.share()
            if (share >= QUIET_FROM and os.getloadavg()[0] <= most_load) or time.monotonic() > end:
                return share
            time.sleep(5)

    def close(self) -> None:
        self.driver.close()
