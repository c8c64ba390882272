"""Runs the inputs of a family in a process that may crash or hang, and keeps every input that did."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from family import GOOD, Clock, copy_folder

WORKER = Path(__file__).with_name("worker.py")
READY_SECONDS = 120.0
"""For imports and the real inputs."""
SLOWEST_MACHINE = 30
"""Times that a busy machine may make everything slower."""


@dataclass
class Findings:
    """What came of the inputs of a family.

    Attributes:
        outcomes: how many ended how.
        errors: how many were refused with which error.
        failures: inputs that did not end in success or an error of the package, and where they are kept.
        slowest: seconds of the slowest input.
        largest: MiB that became resident at most in one input.
        seconds: of all inputs.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    slowest: float = 0.0
    largest: float = 0.0
    seconds: float = 0.0

    def add(self, found: dict[str, Any]) -> None:
        """Count an input."""
        self.outcomes[found["outcome"]] += 1
        self.slowest = max(self.slowest, found.get("seconds", 0.0))
        self.largest = max(self.largest, found.get("mib", 0.0))
        self.seconds += found.get("seconds", 0.0)
        if found["outcome"] == "refused":
            self.errors[found["error"]] += 1


class Worker:
    """A process that runs inputs, and the pipe that it tells of them through."""

    def __init__(self, family: str, seed: int, first: int, count: int, folder: Path) -> None:
        self._pipe, other = os.pipe()
        self._text = b""
        name = Path(family).stem
        environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        # Numba compiles for minutes on a cold cache; scratch files of an input must not pile up in the system's folder.
        scratch = folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        environment |= {"TMPDIR": str(scratch), "PYTHONFAULTHANDLER": "1", "COLUMNS": "200", "NO_COLOR": "1"}
        with (folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, str(WORKER), family, str(seed), str(first), str(count), str(folder), str(other)]
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(other,), env=environment
            )
        os.close(other)

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next message; None if the process has ended.

        Raises:
            TimeoutError: if there is none in that time.
        """
        # A process that is given no processor has not hung.
        clock, last = Clock(self.process.pid), time.monotonic() + SLOWEST_MACHINE * seconds
        while b"\n" not in self._text:
            if not select.select([self._pipe], [], [], 0.5)[0]:
                if clock.seconds() > seconds or time.monotonic() > last:
                    raise TimeoutError
                continue
            part = os.read(self._pipe, 1 << 16)
            if not part:
                return None
            self._text += part
        line, _, self._text = self._text.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def end(self, *, kill: bool = False) -> int:
        """Wait for the end, and give the exit code; negative for a signal."""
        if kill:
            self.process.kill()
        code = self.process.wait()
        os.close(self._pipe)
        return code


@dataclass(frozen=True)
class Watchdog:
    """Runs the inputs of one family after the other.

    Attributes:
        seed: of all inputs.
        folder: for scratch files.
        kept: where failing inputs are kept.
        timeout: seconds that an input may take, without those in which it waits for a processor.
    """

    seed: int
    folder: Path
    kept: Path
    timeout: float = 10.0

    def run(self, family: str, count: int, first: int = 0) -> Findings:
        """All inputs of a family; a process that ends or hangs is replaced by a new one after that input."""
        findings, at, stop = Findings(), first, first + count
        while at < stop:
            at = self._batch(findings, family, at, stop)
        return findings

    def _batch(self, findings: Findings, family: str, first: int, stop: int) -> int:
        """Run until the process ends; gives the number of the next input."""
        worker = Worker(family, self.seed, first, stop - first, self.folder)
        begun: dict[str, Any] | None = None
        seconds, at = READY_SECONDS, first
        while True:
            try:
                message = worker.next(seconds)
            except TimeoutError:
                worker.end(kill=True)
                if begun is None:
                    raise RuntimeError(
                        f"the family {family} was not ready in {READY_SECONDS:.0f} s:\n{self._log(family)}"
                    ) from None
                again = stop - first > 1 and self._hangs_not(findings, family, at)
                if not again:
                    self._keep(findings, family, begun, {"outcome": "hang", "error": f"over {self.timeout:g} s"})
                return at + 1
            if message is None:
                code = worker.end()
                if begun is not None:
                    self._keep(findings, family, begun, {"outcome": "crash", "error": f"exit code {code}"})
                    return at + 1
                if at < stop:
                    raise RuntimeError(f"the family {family} ended with {code}:\n{self._log(family)}")
                return at
            seconds = self.timeout
            if message["event"] == "begin":
                begun, at = message, message["number"]
            elif message["event"] == "end":
                assert begun is not None
                if message["outcome"] in GOOD:
                    findings.add(message)
                else:
                    self._keep(findings, family, begun, message)
                begun, at, seconds = None, at + 1, READY_SECONDS

    def _log(self, family: str) -> str:
        """The end of what a family's processes wrote."""
        return (self.folder / f"{Path(family).stem}.log").read_text(errors="replace")[-2000:]

    def _hangs_not(self, findings: Findings, family: str, number: int) -> bool:
        """Whether an input that took too long is quick when it is run alone: the machine may have been busy."""
        alone = Findings()
        self._batch(alone, family, number, number + 1)
        if alone.outcomes["hang"]:
            return False
        findings.outcomes += alone.outcomes
        findings.errors += alone.errors
        findings.failures += alone.failures
        return True

    def _keep(self, findings: Findings, family: str, begun: dict[str, Any], found: dict[str, Any]) -> None:
        """Count a failing input and keep it with the call that runs it again."""
        findings.add(found)
        folder = self.kept / f"{Path(family).stem}-{self.seed}-{begun['number']}"
        shutil.rmtree(folder, ignore_errors=True)
        copy_folder(Path(begun["case"]), folder)
        replay = f"{sys.executable} {WORKER} {family} --replay {folder}"
        about = {k: v for k, v in found.items() if k not in ("event", "traceback")}
        findings.failures.append(about | {"plan": begun["plan"], "kept": str(folder), "replay": replay})
        (folder / "failure.txt").write_text(f"{replay}\n{json.dumps(about)}\n{found.get('traceback', '')}")
