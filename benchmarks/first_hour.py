"""What installing costs: seconds, disk and packages of the bare package and of each extra, and how fast it starts.

Each environment is new, made by uv from this checkout (as a wheel, not editable) with the versions of
constraints.txt, and deleted before the next. *Warm* means that uv's cache holds every wheel, *cold* that it is empty
and all is downloaded. An environment counts for what its files say that they hold; a file with several links in it
counts once. uv links files to its cache where both are on one disk, so that further environments take less than that.

    python benchmarks/first_hour.py                      # all, one after the other
    python benchmarks/first_hour.py --only bare,wsi      # these
    python benchmarks/first_hour.py --cold none          # downloads nothing that is in uv's cache
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import finish, make_parser

ROOT = Path(__file__).resolve().parents[1]
BARE, NONE = "bare", "none"
IMPORTS, HELPS = 5, 2
"""Starts of each kind after the first one, which compiles bytecode."""
GIB = 1 << 30
IMPORT = (
    "import sys, time; start, used = time.perf_counter(), time.process_time(); import infbrush_wsi; "
    "print(time.perf_counter() - start, time.process_time() - used, 'torch' in sys.modules)"
)
WITHOUT = ("PYTHON", "VIRTUAL_ENV", "UV_")
"""Beginnings of variables that would make a new environment see another one, or start in another way."""


@dataclass(frozen=True)
class Timed:
    """A call and what it took: seconds on the clock, and of processors."""

    wall_s: float
    cpu_s: float
    output: str

    def numbers(self) -> dict[str, float]:
        """For the record."""
        return {"wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4)}


def call(command: Sequence[str | Path], folder: Path, cache: Path | None = None) -> Timed:
    """Run a command in a clean surrounding; what it says is shown if it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(WITHOUT)}
    clean |= {"NO_COLOR": "1"} | ({"UV_CACHE_DIR": str(cache)} if cache else {})
    before, start = _children(), time.perf_counter()
    done = subprocess.run([str(part) for part in command], cwd=folder, env=clean, capture_output=True, text=True)
    found = Timed(time.perf_counter() - start, _children() - before, done.stdout)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}\n{done.stderr}")
    return found


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def extras() -> list[str]:
    """All that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["optional-dependencies"])


def install(uv: Path, folder: Path, extra: str, cache: Path | None = None) -> Timed:
    """A new environment in ``folder/env`` with the package and one extra; the time is that of both steps."""
    environment = folder / "env"
    made = call([uv, "venv", "--quiet", "--python", sys.executable, environment], folder, cache)
    wanted = f"infbrush-wsi{'' if extra == BARE else f'[{extra}]'} @ {ROOT.as_uri()}"
    command = [uv, "pip", "install", "--quiet", "--python", environment, "-c", ROOT / "constraints.txt", wanted]
    done = call(command, folder, cache)
    return Timed(made.wall_s + done.wall_s, made.cpu_s + done.cpu_s, done.output)


def size_on_disk(folder: Path) -> int:
    """Bytes that the files of a folder say that they have, each file once whatever its links."""
    seen = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(place, name))  # noqa: PTH118 (a hundred thousand files)
            seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def measure(folder: Path, extra: str) -> dict[str, Any]:
    """Size of the environment, and what starting it costs: the first time, which compiles bytecode, and the best."""
    environment = folder / "env"
    python, command = environment / "bin" / "python", environment / "bin" / "infbrush"
    size = size_on_disk(environment)
    imports = []
    for _ in range(IMPORTS + 1):
        wall, used, torch = call([python, "-c", IMPORT], folder).output.split()
        if torch == "True":
            raise SystemExit(f"importing infbrush_wsi with the extra {extra} imports torch")
        imports.append(Timed(float(wall), float(used), ""))
    helps = [call([command, "--help"], folder) for _ in range(HELPS + 1)]
    doctor = call([command, "doctor", "--json"], folder)
    found = json.loads(doctor.output)
    absent = [entry for entry in found["extras"] if entry["name"] == extra and entry["missing"]]
    if found["problems"] or absent:
        raise SystemExit(f"infbrush doctor is not content with the extra {extra}: {found['problems']} {absent}")
    return {
        "gib": round(size / GIB, 3),
        "packages": len(list(environment.glob("lib/python*/site-packages/*.dist-info"))),
        **_starts("import", imports),
        **_starts("help", helps),
        "doctor_first": doctor.numbers(),
    }


def _starts(name: str, found: Sequence[Timed]) -> dict[str, dict[str, float]]:
    best = min(found[1:], key=lambda timed: timed.wall_s)
    return {name: best.numbers(), f"{name}_first": found[0].numbers()}


def fill_cache(uv: Path, names: Sequence[str]) -> None:
    """Let uv's own cache have all that the environments will want."""
    wanted = [name for name in names if name != BARE]
    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder:
        install(uv, Path(folder), ",".join(wanted) or BARE)


def environment(uv: Path, extra: str, *, cold: bool) -> dict[str, Any]:
    """Install, measure and delete."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="first-hour-") as name:
        folder = Path(name)
        if cold:
            found["cold"] = install(uv, folder, extra, folder / "cache").numbers()
            found["cache_gib"] = round(size_on_disk(folder / "cache") / GIB, 3)
            shutil.rmtree(folder / "cache")
            shutil.rmtree(folder / "env")
        found["warm"] = install(uv, folder, extra).numbers()
        found |= measure(folder, extra)
    print(f"{extra:>12}: {found}", flush=True)
    return found


def main() -> None:
    """Measure the chosen environments."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", default="", help="names joined by commas, 'bare' for the package alone; default: all")
    parser.add_argument("--cold", default=BARE, help="those that are also installed without a cache; default: bare")
    options = parser.parse_args()
    known = [BARE, *extras()]
    chosen = [BARE] if options.quick else options.only.split(",") if options.only else known
    cold = () if options.quick or options.cold == NONE else options.cold.split(",")
    if unknown := {*chosen, *cold} - {*known}:
        parser.error(f"there is no extra {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        parser.error("uv is not installed: pip install uv")
    fill_cache(Path(uv), chosen)
    results = {extra: environment(Path(uv), extra, cold=extra in cold) for extra in chosen}
    ratios = {f"{extra}_gib": found["gib"] for extra, found in results.items()}
    ratios |= {f"{extra}_import_s": found["import"]["wall_s"] for extra, found in results.items()}
    version = call([uv, "--version"], ROOT).output.strip()
    finish("first_hour", options, ratios, results, {"uv": version})


if __name__ == "__main__":
    main()
