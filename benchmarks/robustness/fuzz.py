"""Does every damaged or hostile input end in success or in one of our errors, soon and in bounded memory?

    python benchmarks/robustness/fuzz.py [--inputs 10000] [--seed 0] [--only reader store ...] [--json PATH]
        [--timeout 10] [--keep DIR]

Real files that the package has written (slides, rasters, stores, models, plans, checkpoints, annotations,
configurations) and calls of the command line are mutated: truncated, bits turned, other magic numbers, absurd sizes,
decompression bombs, links and paths that leave a store, values that are not finite or of another type. Each family runs
in a process of its own, so that a crash or a hang is seen and its input known. Failing inputs are kept in --keep with
the call that runs them again, and the exit code is 1.

Of each input: it must end in success or an error of infbrush_wsi.errors, within --timeout seconds, with less than 1.5
GiB more memory; it must leave nothing half-written in its output folder, and its input as it was. An input that takes
too long is run once more alone. Seconds in which a process only waits for a processor do not count.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(1, str(Path(__file__).parents[1]))

import harness
from family import GOOD, NAMES, WEIGHTS
from watchdog import Findings, Watchdog


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="infbrush-fuzz-") as made:
        watchdog = Watchdog(options.seed, Path(made), options.keep, options.timeout)
        found, started = {}, time.perf_counter()
        for name, count in shares(options.only, options.inputs).items():
            if count:
                found[name] = watchdog.run(name, count, options.first)
                show(name, found[name])
    totals = summary(found)
    print(json.dumps(totals))
    if options.json is not None:
        record = {"benchmark": "robustness_fuzz", "seed": options.seed, "timeout_s": options.timeout, "totals": totals}
        record |= {"minutes": round((time.perf_counter() - started) / 60, 1), "machine": harness.machine()}
        record["families"] = {name: as_json(one) for name, one in found.items()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(1 if totals["failures"] else 0)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000, help="of all families together")
    parser.add_argument("--seed", type=int, default=0, help="the same gives the same inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each family")
    parser.add_argument("--only", nargs="+", default=list(NAMES), help=f"families: {', '.join(NAMES)}, or a file")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds that an input may take")
    parser.add_argument("--json", type=Path, default=None, help="where to write the counts")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_failures"), help="folder for failing inputs")
    return parser.parse_args()


def shares(names: list[str], inputs: int) -> dict[str, int]:
    """How many inputs each family gets: in all, exactly `inputs`."""
    weights = [WEIGHTS.get(name, 2) for name in names]
    ends = [inputs * sum(weights[: k + 1]) // sum(weights) for k in range(len(names))]
    return {name: end - start for name, start, end in zip(names, [0, *ends], ends, strict=False)}


def summary(found: dict[str, Findings]) -> dict[str, Any]:
    """Counts of all families together, by what must not happen."""
    outcomes: Counter[str] = sum((one.outcomes for one in found.values()), Counter())
    return {
        "inputs": outcomes.total(),
        **{name: outcomes[name] for name in (*GOOD, "uncaught", "crash", "hang", "memory", "partial")},
        "failures": sum(len(one.failures) for one in found.values()),
        "slowest_s": round(max((one.slowest for one in found.values()), default=0.0), 2),
        "largest_mib": round(max((one.largest for one in found.values()), default=0.0)),
    }


def as_json(one: Findings) -> dict[str, Any]:
    """A family's counts."""
    return {
        "outcomes": dict(one.outcomes),
        "errors": dict(one.errors.most_common()),
        "slowest_s": round(one.slowest, 2),
        "largest_mib": round(one.largest),
        "seconds": round(one.seconds, 1),
        "failures": one.failures,
    }


def show(name: str, one: Findings) -> None:
    """One line for a family, and one for each failure."""
    counts = ", ".join(f"{number} {outcome}" for outcome, number in one.outcomes.most_common())
    print(f"{name:12} {counts}; slowest {one.slowest:.2f} s, {one.largest:.0f} MiB, {one.seconds:.0f} s", flush=True)
    for failure in one.failures:
        print(f"  {failure['outcome']} {failure['error']}: {failure.get('message', '')[:160]!r} {failure['kept']}")


if __name__ == "__main__":
    main()
