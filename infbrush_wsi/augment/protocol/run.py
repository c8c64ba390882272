"""The whole protocol: folds, generators, synthetic images, both arms, comparison. Each part is kept when it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infbrush_wsi.augment.claim import claim
from infbrush_wsi.augment.making import make_all
from infbrush_wsi.augment.protocol.analysis import Gain, Run, analyse
from infbrush_wsi.augment.protocol.arms import needed_per_class, run_arms
from infbrush_wsi.augment.protocol.classifier import ClassifierConfig, make_backbone
from infbrush_wsi.augment.protocol.folds import Fold, make_folds
from infbrush_wsi.augment.protocol.labelled import ImageSet, LabelledImages, load_labelled, resized_square
from infbrush_wsi.augment.synthesis import Synthesis
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.sources.collection import Collection
from infbrush_wsi.sources.fingerprint import fingerprint
from infbrush_wsi.writers.files import staged_file

SETTINGS = "protocol.json"
Tell = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


@dataclass(frozen=True)
class ProtocolConfig:
    """What is compared.

    Attributes:
        generator: sections of `training.config.RunConfig` without sources and labels.
        synthesis: size, pixel size and sampler of the synthetic images; they are then made to the classifier's side.
        classifier: of both arms.
        folds: number of them, by patient or slide.
        seeds: of classifiers.
        ratio: synthetic images per real one.
        split_seed: of the folds.
    """

    generator: Mapping[str, Any] = field(default_factory=dict)
    synthesis: Synthesis = field(default_factory=Synthesis)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    folds: int = 5
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    ratio: float = 1.0
    split_seed: int = 0

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or self.ratio <= 0:
            raise ConfigError(
                f"the protocol needs different seeds and a positive ratio, not {self.seeds}, {self.ratio}"
            )


@dataclass(frozen=True)
class ProtocolResult:
    """What came out.

    Attributes:
        gain: the comparison.
        runs: of all folds and seeds.
        classes: names.
        images: in the set.
        groups: patients or slides in it.
    """

    gain: Gain
    runs: tuple[Run, ...]
    classes: tuple[str, ...]
    images: int
    groups: int


def run_protocol(
    collection: Collection, config: ProtocolConfig, out: str | Path, tell: Tell | None = None
) -> ProtocolResult:
    """Run what of the protocol is not yet in the folder, and compare both arms.

    Generators are fitted on the training images of their fold only, classifiers have the same steps in both arms, and
    test images are used for nothing but the count.

    Args:
        collection: labelled images; `Item.group` says which patient or slide each is of.
        config: what is compared.
        out: folder, new or of the same call.
        tell: called with what is going on.

    Raises:
        DatasetError: if there are too few images, classes or patients.
        OutputError: if the folder is of other images or settings.
        ConfigError: for settings that cannot be.
    """
    folder, told = Path(out), tell or (lambda what, done, total: None)
    data = load_labelled(collection, config.classifier.side, lambda done, total: told("reading images", done, total))
    folds = make_folds(data.labels.tolist(), data.groups, config.folds, config.split_seed, data.classes)
    make_backbone(config.classifier, data.images.shape[3], len(data.classes))  # fails now, not after a training
    _claim(folder, collection, config)
    runs = []
    for number, fold in enumerate(folds):
        missing = [seed for seed in config.seeds if not _file(folder, number, seed).exists()]
        if missing:
            synthetic = _synthetic(data, folds, number, config, folder / f"fold-{number}", told)
            for count, seed in enumerate(missing):
                told(f"fold {number}: classifiers", count, len(missing))
                run = run_arms(data, fold, number, synthetic, config.ratio, config.classifier, seed)
                _save(_file(folder, number, seed), run)
            told(f"fold {number}: classifiers", len(missing), len(missing))
        runs += [_load(_file(folder, number, seed)) for seed in config.seeds]
    gain = analyse(runs, data.labels, data.groups)
    return ProtocolResult(gain, tuple(runs), data.classes, len(data.labels), len(set(data.groups)))


def _synthetic(
    data: LabelledImages, folds: Sequence[Fold], number: int, config: ProtocolConfig, folder: Path, tell: Tell
) -> ImageSet:
    from infbrush_wsi.augment.protocol.generator import fold_generator

    what = f"fold {number}: generator"
    items = [data.items[index] for index in folds[number].train]
    total = int(config.generator.get("optim", {}).get("steps", 0))
    pipeline = fold_generator(items, config.generator, folder, lambda step, scalars: tell(what, step, max(total, step)))
    per_class = needed_per_class(data, folds, config.ratio)
    made = SyntheticDataset(
        pipeline, per_class, classes=data.classes, synthesis=config.synthesis, cache=folder / "synthetic"
    )
    images = np.empty((len(made), *data.images.shape[1:]), np.uint8)

    def keep(index: int) -> None:
        images[index] = resized_square(made.pixels(index), config.classifier.side)

    make_all(made, keep, lambda done, count: tell(f"fold {number}: synthetic images", done, count))
    return ImageSet(images, made.targets, made.classes)


def _file(folder: Path, fold: int, seed: int) -> Path:
    return folder / f"fold-{fold}" / f"seed-{seed}.json"


def _save(path: Path, run: Run) -> None:
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(run).items()}
    with staged_file(path, overwrite=True) as draft:
        draft.write_text(json.dumps(values))


def _load(path: Path) -> Run:
    try:
        values = json.loads(path.read_text())
        arrays = {name: np.asarray(values[name], np.int64) for name in ("test", "baseline", "augmented")}
        return Run(**values | arrays)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"the result '{path}' cannot be read: {error}; remove it to run it again") from error


def _claim(folder: Path, collection: Collection, config: ProtocolConfig) -> None:
    """Note whose folder it is; seeds may be added later."""
    values = asdict(config)
    values.pop("seeds")
    prints = [(fingerprint(item.path), item.label, item.group) for item in collection.items]
    values["images"] = hashlib.sha256(json.dumps(sorted(map(str, prints))).encode()).hexdigest()
    claim(folder, SETTINGS, values, "with other images or settings")
