"""Do synthetic images help a classifier of held-out patients? The augmentation protocol on BreakHis, run for real.

    python benchmarks/protocol.py [--quick] [--minutes 4] [--work DIR] [--json PATH]

Benign against malignant tumours of BreakHis (200x), folds by patient. Each fold trains a generator of the preset 'tiny'
on its training tiles for --minutes and then a ResNet-18 for five seeds and both arms: real tiles alone, and real tiles
with one synthetic image for two of them. All settings are fixed here, before any test tile was looked at. The tiles
are seen whole, at 128² by the generator and at 96² by the classifier. A call with the same --work goes on where the
last one was stopped.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import harness

harness.like_the_command_line()

SIDE, SPACING = 128, 1.75
"""A tile of 224 pixels, taken as 1 µm each, is 128 pixels wide at 1.75 µm."""
FOLDS, SEEDS, RATIO = 3, (0, 1, 2, 3, 4), 0.5


def labelled(folder: Path) -> Any:
    """Tiles with 'benign' or 'malignant' as their class and the patient as their group."""
    from infbrush_wsi.sources import collect

    root = harness.shared_data() / "hne" / "breakhis_200x_224"
    table = folder / "tiles.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "group", "mpp"])
        for path in sorted(root.rglob("*_*.*")):
            writer.writerow([path.resolve(), path.parent.name.split("_")[0], path.name.split("_")[0], 1.0])
    return collect([root], labels=table)


def main() -> None:
    parser = harness.make_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="training of each fold's generator")
    parser.add_argument("--work", type=Path, default=None, help="where models and images are kept")
    options = parser.parse_args()
    from infbrush_wsi.augment import Synthesis
    from infbrush_wsi.augment.protocol.classifier import ClassifierConfig
    from infbrush_wsi.augment.protocol.output import summary
    from infbrush_wsi.augment.protocol.run import ProtocolConfig, run_protocol

    work = options.work or Path(tempfile.mkdtemp(prefix="infbrush-protocol-"))
    work.mkdir(parents=True, exist_ok=True)
    generator = {"data": {"mpp": [SPACING], "window": SIDE}, "optim": {"minutes": options.minutes}}
    config = ProtocolConfig(
        generator=generator,
        synthesis=Synthesis((SIDE, SIDE), mpp=SPACING, num_inference_steps=12, guidance_scale=1.5),
        classifier=ClassifierConfig(side=96, steps=120, batch=32),
        folds=FOLDS,
        seeds=SEEDS,
        ratio=RATIO,
    )
    if options.quick:
        few = {"data": generator["data"], "optim": {"steps": 4}}
        config = ProtocolConfig(
            generator=few,
            synthesis=Synthesis((SIDE, SIDE), mpp=SPACING, num_inference_steps=1),
            classifier=ClassifierConfig(side=32, steps=2, batch=8),
            folds=2,
            seeds=(0,),
            ratio=0.05,
        )

    def tell(what: str, done: int, total: int) -> None:
        if done in (1, total) or done % 50 == 0:
            print(f"{what}: {done} of {total}", flush=True)

    result = run_protocol(labelled(work), config, work / "protocol", tell)
    found = summary(result)
    print(*(f"{key}: {value}" for key, value in found.items()), sep="\n")
    ratios = {"accuracy_gain": found["gain"], "gain_low": found["gain_interval_95"][0]}
    ratios |= {"gain_high": found["gain_interval_95"][1], "p_value": found["p_value"]}
    facts = {"minutes": options.minutes, "folds": config.folds, "seeds": len(config.seeds), "ratio": config.ratio}
    harness.finish("protocol", options, ratios, found, facts)


if __name__ == "__main__":
    main()
