"""Does the border of an inpainted part show, and does an upscaled picture average down to what it was made from?

Parts of real slides and rasters are filled by shipped models. The energy of the step from one pixel to the next across
the border is compared with that of the real image at the same place and elsewhere. Beside the default: other ways to
hold to what is known, and an unguided sample that is pasted into the hole.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness import finish, like_the_command_line, make_parser, shared_data

like_the_command_line()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402

from infbrush_wsi.domain import Box  # noqa: E402
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline  # noqa: E402
from infbrush_wsi.pipelines.inpaint import inpaint  # noqa: E402
from infbrush_wsi.pipelines.upscale import upscale  # noqa: E402
from infbrush_wsi.sources import Source, open_source  # noqa: E402

SIDE, HOLE = 96, 32
STEPS = 20
LEAST_STD = 12.0
"""Of the pixels of a region: on bare glass there is no step to compare with."""
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "one round": {"rounds": 1},
    "one round, guided": {"rounds": 1, "weight": 0.002},
    "guided only": {"rounds": 1, "weight": 0.002, "replace": False},
}
CASES = (
    ("hne-tiny", "wsi/cmu-1-small-region.svs", "skin", 5),
    ("aerial-tiny", "aerial/naip_5m_rgbn", None, 3),
)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--picture", type=Path, default=None, help="also write what was made, side by side")
    args = parser.parse_args()
    found: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    rows: list[NDArray[np.uint8]] = []
    for model, name, condition, count in CASES:
        source = open_source(next_file(shared_data() / name), bands=(1, 2, 3))
        regions = textured(source, 1 if args.quick else count)
        pipe = InfBrushPipeline.from_pretrained(model)
        measured = borders(pipe, source, regions, condition, rows)
        off = averages(pipe, source, regions[0], condition)
        found[model] = measured | {"averages": off}
        for way, values in measured["border"].items():
            ratios |= {f"{model}, {way}: border / {against}": value for against, value in values.items()}
        ratios[f"{model}: averages of the upscaled picture, grey levels off, most"] = off["most"]
    if args.picture is not None:
        Image.fromarray(np.concatenate(rows)).save(args.picture)
    finish("inpainting", args, ratios, found, {"side": SIDE, "hole": HOLE, "steps": STEPS})


def next_file(path: Path) -> Path:
    return sorted(path.glob("*.tif"))[0] if path.is_dir() else path


def textured(source: Source, count: int) -> list[tuple[int, int, int, int]]:
    """Regions with something in them, drawn by a fixed seed."""
    rng, shape, found = np.random.default_rng(0), source.lattice.shape, []
    for _ in range(500):
        x, y = int(rng.integers(shape.w - SIDE)), int(rng.integers(shape.h - SIDE))
        pixels = source.read_box(Box(x, y, SIDE, SIDE))
        if pixels.std(axis=(0, 1)).min() > LEAST_STD and pixels.mean() < 225:
            found.append((x, y, SIDE, SIDE))
        if len(found) == count:
            return found
    raise SystemExit(f"{source.path} has fewer than {count} regions with texture")


def borders(
    pipe: InfBrushPipeline, source: Source, regions: list[tuple[int, int, int, int]], condition: str | None,
    rows: list[NDArray[np.uint8]],
) -> dict[str, Any]:  # fmt: skip
    energy: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    inside = np.zeros((SIDE, SIDE), bool)
    low = (SIDE - HOLE) // 2
    inside[low : low + HOLE, low : low + HOLE] = True
    for region in regions:
        real = source.read_region(region[:2], 0, region[2:])
        made = {"real": real}
        for way, options in WAYS.items():
            begun = time.perf_counter()
            call = {"region": region, "condition": condition, "num_inference_steps": STEPS} | options
            made[way] = inpaint(pipe, source, inside, **call).pixels
            seconds[way] = seconds.get(way, 0.0) + time.perf_counter() - begun
        sample = pipe(condition, size=(SIDE, SIDE), num_inference_steps=STEPS).read_region((0, 0), 0, (SIDE, SIDE))
        made["pasted sample"] = np.where(inside[..., None], sample, real)
        for way, pixels in made.items():
            energy.setdefault(way, []).append(across(pixels, inside))
        energy.setdefault("elsewhere", []).append(elsewhere(real))
        rows.append(np.concatenate(list(made.values()), axis=1))
    total = {way: float(np.mean(values)) for way, values in energy.items()}
    ratios = {
        way: {"elsewhere": value / total["elsewhere"], "real": value / total["real"]}
        for way, value in total.items()
        if way != "elsewhere"
    }
    return {"regions": len(regions), "border": ratios, "seconds": {k: v / len(regions) for k, v in seconds.items()}}


def across(pixels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> float:
    """Mean squared step over the border of the hole."""
    steps = []
    for axis in (0, 1):
        crossing = np.diff(inside.astype(int), axis=axis) != 0
        steps.append((np.diff(pixels.astype(float), axis=axis)[crossing] ** 2).ravel())
    return float(np.concatenate(steps).mean())


def elsewhere(pixels: NDArray[np.uint8]) -> float:
    """Mean squared step between all neighbours."""
    return float(np.mean([(np.diff(pixels.astype(float), axis=axis) ** 2).mean() for axis in (0, 1)]))


def averages(
    pipe: InfBrushPipeline, source: Source, region: tuple[int, int, int, int], condition: str | None
) -> dict[str, float]:
    """Grey levels that averages are off: a region read at four times its pixel size, made finer again."""
    assert source.mpp is not None  # noqa: S101
    finer = upscale(
        pipe, source, factor=4, region=region, mpp=4 * source.mpp, condition=condition, num_inference_steps=STEPS
    )
    h, w, c = finer.shape
    means = finer.pixels.reshape(h // 4, 4, w // 4, 4, c).mean(axis=(1, 3))
    box = finer.provenance["source"]["region"]
    off = np.abs(means - source.at_mpp(4 * source.mpp).read(Box(*box)))
    return {"mean": float(off.mean()), "most": float(off.max())}


if __name__ == "__main__":
    main()
