"""One process that runs the inputs of one family, each within bounded memory, and tells the watchdog of each.

python worker.py FAMILY SEED FIRST COUNT FOLDER PIPE
python worker.py FAMILY --replay FOLDER_OF_A_FAILURE
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from family import CASE, Clock, Family, Plan, copy_folder, load_family, make_case

ADDRESS_SPACE = 4 << 30
"""What an input may reserve beyond what the process has when it is ready."""
GROWTH_MIB = 1536.0
"""What may become resident of it: an image of the default limit, decoded and once copied."""
PARTIAL = (".partial", ".part", ".tmp", ".replaced-")
COLLECT_EVERY = 50


def status(field: str) -> float:
    """A line of this process's status in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def limit_memory() -> None:
    """From now on a gigantic allocation fails instead of taking the machine's memory."""
    soft = int(status("VmSize") * 2**20) + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1]))


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder by its path: mode, size and time of the last change; links are not followed."""
    found = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root) / name
            about = path.lstat()
            change = 0 if name in folders else about.st_mtime_ns
            found[path.relative_to(folder).as_posix()] = (about.st_mode, 0 if change == 0 else about.st_size, change)
    return found


def attempt(family: Family, plan: Plan, case: Path, out: Path) -> dict[str, Any]:
    """Run one input and say how it ended."""
    from infbrush_wsi.errors import InfbrushError

    Path("/proc/self/clear_refs").write_text("5")
    before, resident, started = listing(case), status("VmRSS"), Clock()
    found: dict[str, Any] = {"outcome": "success"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            family.run(plan, case, out)
    except InfbrushError as error:
        found = {"outcome": "refused", "error": type(error).__name__, "message": str(error)[:500]}
        if not str(error).strip():
            found = {"outcome": "uncaught", "error": type(error).__name__, "message": "an error without a message"}
    except BaseException as error:
        text = traceback.format_exc()
        found = {"outcome": "uncaught", "error": type(error).__name__, "message": str(error)[:500], "traceback": text}
    found |= {"seconds": started.seconds(), "mib": max(0.0, status("VmHWM") - resident)}
    if found["outcome"] != "uncaught":
        found |= _left(found["outcome"], before, case, out)
        if found["mib"] > GROWTH_MIB:
            found |= {"outcome": "memory", "error": f"{found['mib']:.0f} MiB"}
    return found


def _left(outcome: str, before: dict[str, Any], case: Path, out: Path) -> dict[str, Any]:
    """Whether an input left something half-written, or changed what it was given."""
    written = list(listing(out)) if out.exists() else []
    partial = [name for name in written if any(mark in name for mark in PARTIAL)]
    if outcome == "refused" and written:
        return {"outcome": "partial", "error": f"left {written[:5]}"}
    if partial:
        return {"outcome": "partial", "error": f"success with {partial[:5]}"}
    after = listing(case)
    if after != before:
        changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
        return {"outcome": "partial", "error": f"changed its input: {changed[:5]}"}
    return {}


def work(name: str, seed: int, first: int, count: int, folder: Path, pipe: int) -> None:
    """Run inputs `first` to `first + count - 1`."""
    family = load_family(name)

    def tell(**what: Any) -> None:
        os.write(pipe, (json.dumps(what) + "\n").encode())

    seeds = folder / "seeds" / family.name
    seeds.mkdir(parents=True, exist_ok=True)
    family.prepare(seeds)
    gc.collect()
    gc.freeze()
    limit_memory()
    tell(event="ready")
    scratch = folder / "scratch" / family.name
    for number in range(first, first + count):
        case, out = scratch / f"{number}", scratch / f"{number}-out"
        for old in (case, out):
            shutil.rmtree(old, ignore_errors=True)
        plan = make_case(family, seed, number, seeds, case)
        out.mkdir()
        tell(event="begin", number=number, plan=plan, case=str(case))
        found = attempt(family, plan, case, out)
        tell(event="end", number=number, **found)
        if found["outcome"] in ("success", "refused"):
            for old in (case, out):
                shutil.rmtree(old, ignore_errors=True)
        if number % COLLECT_EVERY == 0:
            gc.collect()


def replay(name: str, case: Path) -> None:
    """Run the input of a kept failure once more and print how it ended."""
    family, plan = load_family(name), json.loads((case / CASE).read_text())
    with tempfile.TemporaryDirectory() as made:
        family.prepare(Path(made))
        limit_memory()
        again, out = Path(made) / "case", Path(made) / "out"
        copy_folder(case, again)
        out.mkdir()
        found = attempt(family, plan, again, out)
    print(found.pop("traceback", ""), json.dumps(found, indent=1))


if __name__ == "__main__":
    if sys.argv[2] == "--replay":
        replay(sys.argv[1], Path(sys.argv[3]))
    else:
        work(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]), int(sys.argv[6]))
        os._exit(0)  # libraries that an input has upset need not be torn down
