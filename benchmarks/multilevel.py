"""Multilevel Diffusion against closed forms and across resolutions.

mixture: a network trained at 32² on a Gaussian mixture; error of its score against the closed form at 32, 64, 128.
levels:  training at 64² after a first share at 32², against 64² only, by processor time to the same error.
noise:   trace-class against white noise: distance of samples to data at the trained resolution and at finer ones.
"""

from __future__ import annotations

import argparse
from typing import Any

import harness

harness.like_the_command_line()

import multilevel_case as cases  # noqa: E402 (torch is imported after the process is prepared)
import numpy as np  # noqa: E402
import torch  # noqa: E402

from infbrush_wsi.fields.covariance import Bessel, Combined, FiniteRank, NoiseLaw, Standard  # noqa: E402
from infbrush_wsi.metrics import riesz_mmd, sliced_wasserstein  # noqa: E402
from infbrush_wsi.phantom import GaussianMixture  # noqa: E402

PARTS = ("mixture", "levels", "noise")
FINER = (32, 64, 128)
COMBINED = Combined(second=FiniteRank((14, 7)))


def mixture(quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Error of the learnt score by training, resolution and network."""
    steps = 30 if quick else 600
    when = {steps // 10, steps // 3, steps}
    law = NoiseLaw(COMBINED, reference=32, std=1.0)
    rows: dict[str, Any] = {}
    ratios = {}
    for kind in ("fno",) if quick else ("fno", "cno"):
        case = cases.Case(GaussianMixture(law), law, kind)
        found = cases.at_steps(
            case, 32, steps, when, lambda case=case: {side: round(case.score_error(side), 4) for side in FINER}
        )
        rows[kind] = [{"steps": done, "seconds": cpu, "error": errors} for done, cpu, errors in found]
        for side in FINER:
            first, last = found[0][2][side], found[-1][2][side]
            ratios[f"{kind}: score error at {side}"] = last
            ratios[f"{kind}: score error at {side}, last / first"] = last / first
        print(kind, *rows[kind], sep="\n  ")
    return ratios, rows


def levels(quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Processor time to the error at 64² that training there alone ends with."""
    steps = 24 if quick else 480
    when = set(range(steps // 12, steps + 1, steps // 12))
    law = NoiseLaw(COMBINED, reference=64, std=1.0)
    rows: dict[str, Any] = {}
    for name, stages in (("fine only", ()), ("coarse first", ((0.6, 2),))):
        case = cases.Case(GaussianMixture(law), law, "fno")
        found = cases.at_steps(case, 64, steps, when, lambda case=case: round(case.score_error(64), 4), stages)
        rows[name] = [{"steps": done, "seconds": cpu, "error": error} for done, cpu, error in found]
        print(name, *rows[name], sep="\n  ")
    target = 1.05 * rows["fine only"][-1]["error"]
    reached = {name: next((r["seconds"] for r in found if r["error"] <= target), None) for name, found in rows.items()}
    rows["seconds to within 5 % of the final error of fine only"] = reached
    ends = {name: rows[name][-1] for name in ("fine only", "coarse first")}
    ratios = {
        "levels: final error, coarse first / fine only": ends["coarse first"]["error"] / ends["fine only"]["error"],
        "levels: processor time of all steps, coarse first / fine only": (
            ends["coarse first"]["seconds"] / ends["fine only"]["seconds"]
        ),
    }
    if all(reached.values()):
        ratios["levels: time to the error, coarse first / fine only"] = reached["coarse first"] / reached["fine only"]
    return ratios, rows


def noise(quick: bool) -> tuple[dict[str, float], dict[str, Any]]:
    """Distance of samples to data at the trained resolution and at finer ones."""
    steps, count, evaluations = (20, 12, 4) if quick else (500, 96, 15)
    data = GaussianMixture(NoiseLaw(Bessel(exponent=1.0), reference=32, std=1.0))
    rows: dict[str, Any] = {}
    ratios = {}
    for name, covariance in (("trace class", Bessel(exponent=0.8)), ("standard", Standard())):
        case = cases.Case(data, NoiseLaw(covariance, reference=32, std=1.0), "fno", prediction="velocity")
        for _ in case.train(32, steps):
            pass
        rows[name] = {}
        for side in FINER:
            made, real = case.samples(side, count, evaluations), data.sample(cases.square(side), 1 << 50, count)
            rows[name][side] = {
                "riesz mmd": round(riesz_mmd(real, made), 4),
                "sliced wasserstein": round(sliced_wasserstein(real, made), 4),
                "std, made / real": round(float(np.std(made) / np.std(real)), 3),
            }
        print(name, *rows[name].items(), sep="\n  ")
        for side in FINER[1:]:
            key = "sliced wasserstein"
            ratios[f"noise: {name}, {key} at {side} / at 32"] = rows[name][side][key] / rows[name][32][key]
    return ratios, rows


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part (may be repeated)")
    options: argparse.Namespace = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, float] = {}
    results: dict[str, Any] = {}
    for part in options.part or PARTS:
        found, results[part] = {"mixture": mixture, "levels": levels, "noise": noise}[part](options.quick)
        ratios |= found
    harness.finish("multilevel", options, ratios, results)


if __name__ == "__main__":
    main()
