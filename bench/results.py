# SPDX-License-Identifier: Apache-2.0
"""Results on disk, one file for each unit of work, written as soon as it is done: what an interrupted run goes on from."""
import dataclasses
import json
import os
import shutil
from typing import Optional

from measure import Figures, GrowthResult, Result


class Store:
    """`signature` says what results must have in common: the library, the sizes, the threads."""

    def __init__(self, directory: str, signature: str):
        self.directory = directory
        self.signature = signature
        if self._read("signature") != signature:  # of another library or other sizes: nothing to go on from
            self.clear()

    def clear(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        os.makedirs(self.directory)
        self._write("signature", self.signature)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, name + ".json")

    def _read(self, name: str):
        try:
            with open(self._path(name), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def _write(self, name: str, value) -> None:
        with open(self._path(name) + ".new", "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
        os.replace(self._path(name) + ".new", self._path(name))

    def machine(self) -> Optional[dict]:
        return self._read("machine")

    def save_machine(self, machine: dict) -> None:
        self._write("machine", machine)

    def result(self, job: str) -> Optional[Result]:
        kept = self._read("job-" + job)
        if kept is None:
            return None
        return Result(**{**kept, "figures": [Figures(**f) for f in kept["figures"]]})

    def save_result(self, result: Result) -> None:
        self._write("job-" + result.job, dataclasses.asdict(result))

    def growth(self, name: str) -> Optional[GrowthResult]:
        kept = self._read("growth-" + name)
        return None if kept is None else GrowthResult(**kept)

    def save_growth(self, growth: GrowthResult) -> None:
        self._write("growth-" + growth.name, dataclasses.asdict(growth))

    def kernels(self) -> Optional[dict[str, str]]:
        """What each kernel bench printed."""
        return self._read("kernels")

    def save_kernels(self, outputs: dict[str, str]) -> None:
        self._write("kernels", outputs)
