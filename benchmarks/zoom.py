"""A picture of a giant canvas at several levels, each panel a window of the one before. Not a measurement.

python benchmarks/zoom.py MODEL OUT.png [--condition CLASS] [--size 100000] [--steps 12] [--seed 7] [--levels 6 3 0]
"""

from __future__ import annotations

import argparse

import harness

harness.like_the_command_line()

SIDE, GAP = 384, 8
PLACE = (0.45, 0.55)
"""What is zoomed into, as a part of the canvas."""


def main() -> None:
    from PIL import Image, ImageDraw

    from infbrush_wsi.pipelines.infbrush import InfBrushPipeline

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out")
    parser.add_argument("--condition", default=None)
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--levels", type=int, nargs="+", default=[6, 3, 0])
    options = parser.parse_args()
    size = options.size
    canvas = InfBrushPipeline.from_pretrained(options.model)(
        options.condition, (size, size), seed=options.seed, num_inference_steps=options.steps
    )
    panels = [(Image.fromarray(canvas.thumbnail(SIDE)).resize((SIDE, SIDE)), size / SIDE, 0, 0)]
    for level in options.levels:
        scale = 2**level
        x, y = (int(size * part) - SIDE * scale // 2 for part in PLACE)
        panels.append((Image.fromarray(canvas.read_region((x, y), level, (SIDE, SIDE))), scale, x, y))
    sheet = Image.new("RGB", (len(panels) * (SIDE + GAP) - GAP, SIDE), "white")
    for number, (image, scale, x, y) in enumerate(panels):
        if number + 1 < len(panels):
            _, inner, x1, y1 = panels[number + 1]
            left, top, side = (x1 - x) / scale, (y1 - y) / scale, SIDE * inner / scale
            ImageDraw.Draw(image).rectangle([left, top, left + side, top + side], outline=(0, 0, 0), width=2)
        sheet.paste(image, (number * (SIDE + GAP), 0))
    sheet.save(options.out)


if __name__ == "__main__":
    main()
