"""Is a killed run, once resumed, the same as one that was never killed?

    python benchmarks/robustness/kills.py [--kind training|rendering] [--kills 200] [--seed 0] [--quick] [--json PATH]

Tiny training runs (∞-Brush on points, Multilevel Diffusion on whole windows, and a neural field with its critic; with
and without a loader process) or writes of a lazily rendered canvas (OME-Zarr 0.4 and 0.5, with and without shards) are
processes that get SIGKILL again and again, each time are started anew, and so come to their end. A third of the blows
fall at random moments, a third right before a change of a file, a third up to two milliseconds after one has begun.
What is left is compared byte by byte with an uninterrupted run: weights, average, optimiser, model, log and previews;
all files of a store but for the time in its metadata. Nothing else may be left. What a blow met is read off the folder
after it, and counted.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import harness

harness.like_the_command_line()

import cases  # noqa: E402 (it imports torch)
from killed import Blow, run_killed  # noqa: E402

LONGEST_DELAY = 0.002
KILLS, QUICK = 200, 5


@dataclass
class Tally:
    """What was done so far."""

    kills: int = 0
    runs: int = 0
    starts: int = 0


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--kind", choices=tuple(cases.KINDS), default=None, help="one of the two only")
    parser.add_argument("--kills", type=int, default=None, help=f"how many processes are killed (default {KILLS})")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    kills = options.kills or (QUICK if options.quick else KILLS)
    found = {
        kind: apart(make, kills, options.seed) for kind, make in cases.KINDS.items() if options.kind in (None, kind)
    }
    for kind, facts in found.items():
        print(f"{kind}: {facts}")
    counts = {f"{kind}_kills": float(facts["kills"]) for kind, facts in found.items()}
    harness.finish("robustness_kills", options, counts, found, {"kills_wanted": kills, "seed": options.seed})


def apart(make: Callable[[Path], Callable[[int], cases.Case]], kills: int, seed: int) -> dict[str, Any]:
    """The campaign of one kind in a folder of its own, with what is left in the folder of temporary files."""
    before = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix="infbrush-kills-") as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)  # children inherit it
        try:
            found = campaign(make(Path(folder)), kills, random.Random(seed))  # noqa: S311
            return found | {"temporary_left": sum(1 for _ in scratch.iterdir())}
        finally:
            tempfile.tempdir = os.environ["TMPDIR"] = before


def campaign(make: Callable[[int], cases.Case], kills: int, rng: random.Random) -> dict[str, Any]:
    """Kill until enough processes were killed, finish what has begun, and compare.

    Raises:
        SystemExit: if a result is another than that of an uninterrupted run.
    """
    tally, met = Tally(), Counter[str]()
    started = time.monotonic()
    while tally.kills < kills:
        case = make(tally.runs)
        while not case.finished():
            blow = _blow(rng, case) if tally.kills < kills else None
            end = run_killed(case.work, case.folder, blow)
            tally.starts += 1
            tally.kills += end.killed
            met.update(case.met() if end.killed else ())
            if not end.killed:
                break
        different = case.differences()
        if different:
            raise SystemExit(f"run {tally.runs} ({case.name}) ended with others: {', '.join(sorted(different)[:10])}")
        case.forget()
        tally.runs += 1
        print(f"{tally.kills} of {kills} kills, {tally.runs} runs", file=sys.stderr)
    return {
        "kills": tally.kills, "processes": tally.starts, "runs": tally.runs, "different": 0,
        "met": dict(sorted(met.items())), "seconds_per_kill": round((time.monotonic() - started) / tally.kills, 2),
    }  # fmt: skip


def _blow(rng: random.Random, case: cases.Case) -> Blow:
    kind = rng.randrange(3)
    if kind == 0:
        return Blow(0, rng.uniform(0, case.seconds))
    return Blow(rng.randint(1, case.changes), 0.0 if kind == 1 else rng.uniform(1e-6, LONGEST_DELAY))


if __name__ == "__main__":
    main()
