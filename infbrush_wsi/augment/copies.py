"""Drop synthetic images that are near copies of training images."""

from __future__ import annotations

import numpy as np

from infbrush_wsi.augment.selection import Dropped, Selection, everything
from infbrush_wsi.augment.synthetic import SyntheticDataset
from infbrush_wsi.domain import Shape
from infbrush_wsi.metrics.aligned import aligned_planes, nearest_aligned
from infbrush_wsi.metrics.crops import CropRule
from infbrush_wsi.metrics.memorisation import judge_memorisation, sample_planes
from infbrush_wsi.metrics.sampling import Images


def without_copies(
    chosen: SyntheticDataset | Selection,
    training: Images,
    held_out: Images,
    *,
    quantile: float = 0.01,
    device: str = "cpu",
) -> Selection:
    """Drop images nearer to a training image than nearly all held-out real ones are.

    Compared are squares of the synthetic images' shorter side, at their pixel size, which overlap by half.

    Args:
        chosen: RGB images to judge.
        training: images that the model was trained on.
        held_out: real images of the same kind from other slides or patients; they set the threshold.
        quantile: share of held-out squares that the threshold would drop.
        device: torch device.

    Raises:
        BandMismatchError: if the images are not RGB.
        DatasetError: if a set gives no sample, or fewer than 20 are held out.
        RegionError: if real images are smaller than the synthetic ones.
    """
    selection = everything(chosen)
    dataset = selection.dataset
    w, h = dataset.synthesis.size
    rule = CropRule("grid", min(w, h), spacing=dataset.spacing)
    boxes = rule.grid(Shape(h, w))
    planes, owners = [], []
    for index in selection.kept:
        image = dataset.pixels(index)
        planes.append(aligned_planes(np.stack([image[box.slices] for box in boxes])))
        owners += [index] * len(boxes)
    known, _ = sample_planes(training, rule)
    other, _ = sample_planes(held_out, rule)
    judged = judge_memorisation(
        nearest_aligned(np.concatenate(planes), known, device=device),
        nearest_aligned(other, known, device=device).distance,
        quantile=quantile,
    )
    nearest: dict[int, float] = {}
    for sample in judged.suspicious:
        distance = float(judged.distance[sample])
        nearest[owners[sample]] = min(distance, nearest.get(owners[sample], distance))
    return selection.but(tuple(Dropped(index, "near a training image", value) for index, value in nearest.items()))
