"""Train the feature network 'infbrush' of `infbrush_wsi.metrics`.

    python recipes/features.py --data FOLDER --work DIR [--minutes 10] [--out FILE]

FOLDER holds the sample data under the paths that `sets.py` names: the sets that models which come with the package are
trained on. The network learns to tell from which image a crop is, and whether, how and how strongly it was damaged;
the layer below these answers gives the features.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from cut import cut
from damage import KINDS, damage
from sets import RECIPES

from infbrush_wsi._process import prepare_process

prepare_process()

BATCH, SIDES = 32, (56, 160)
MATERIAL = 0.15
"""Largest mean brightness from white at which a crop counts as glass is one minus this."""


def main() -> None:
    import torch
    from safetensors.torch import save_file

    from infbrush_wsi.models.feature_network import WEIGHTS, SmallNetwork

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.manual_seed(0)
    network = SmallNetwork()
    fit(network, images_of(options.data.resolve(), options.work.resolve()), options.minutes)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    state = {name: value.half() for name, value in network.state_dict().items() if value.is_floating_point()}
    rest = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
    save_file(state | rest, options.out)


def images_of(data: Path, work: Path) -> list[Any]:
    """Training parts of all images, uint8 tensors (3, h, w), at the pixel size of their recipe."""
    import numpy as np
    import torch

    from infbrush_wsi.sources import collect, open_source

    found = []
    for name, recipe in RECIPES.items():
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        train, _, _ = cut(recipe, data, folder)
        for item in collect([train]).items:
            with open_source(item.path) as source:
                h, w = source.lattice.shape.as_tuple()
                pixels = source.read_region((0, 0), 0, (w, h))[..., :3]
            found.append(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))))
    return found


def fit(network: Any, images: list[Any], minutes: float) -> None:
    """Train for about so long; the learning rate falls to zero over that time."""
    import torch
    from torch import nn

    from infbrush_wsi.metrics.features.small_network import SIDE
    from infbrush_wsi.models.feature_network import WIDTHS

    heads = nn.ModuleDict({"image": nn.Linear(WIDTHS[-1], len(images)), "kind": nn.Linear(WIDTHS[-1], len(KINDS))})
    heads["level"] = nn.Linear(WIDTHS[-1], len(KINDS))
    parameters = [*network.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.05)
    chance, start, step, share = torch.Generator().manual_seed(0), time.monotonic(), 0, 0.0
    while share < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * (1 - share)
        crops, which = batch(images, chance, SIDE)
        kind = int(torch.randint(len(KINDS), (1,), generator=chance))
        level = float(torch.rand(1, generator=chance))
        # Half of a batch stays as it is, so that undamaged images are known from each other in every batch.
        half = BATCH // 2
        crops = torch.cat([damage(crops[:half], kind, level, chance), crops[half:]])
        kinds = torch.tensor([kind] * half + [0] * (BATCH - half))
        features = network.train()((crops - 0.5) / 0.25)
        levels = heads["level"](features)[:half, kind]
        losses = (
            nn.functional.cross_entropy(heads["image"](features), which),
            nn.functional.cross_entropy(heads["kind"](features), kinds),
            (levels - level).square().mean() * (kind > 0),
        )
        optimiser.zero_grad(set_to_none=True)
        sum(losses).backward()  # type: ignore[union-attr]
        optimiser.step()
        step, share = step + 1, (time.monotonic() - start) / (60 * minutes)
        if step % 50 == 0:
            print(step, " ".join(f"{float(loss.detach()):.3f}" for loss in losses), file=sys.stderr, flush=True)


def batch(images: list[Any], chance: Any, side: int) -> tuple[Any, Any]:
    """Crops (B, 3, side, side) in [0, 1] of several sizes, turned and flipped, and the image that each is from."""
    import torch
    from torch.nn.functional import interpolate

    which = torch.randint(len(images), (BATCH,), generator=chance)
    crops = []
    for number in which.tolist():
        for _ in range(8):
            crop = _crop(images[number], chance)
            if float(crop.mean()) < 1 - MATERIAL:
                break
        crops.append(interpolate(crop[None], (side, side), mode="bilinear", antialias=True))
    turn, flip = (int(torch.randint(n, (1,), generator=chance)) for n in (4, 2))
    turned = torch.rot90(torch.cat(crops), turn, dims=(2, 3))
    return turned.flip(3) if flip else turned, which


def _crop(image: Any, chance: Any) -> Any:
    import torch

    _, h, w = image.shape
    side = min(h, w, int(torch.randint(*SIDES, (1,), generator=chance)))
    y, x = (int(torch.randint(length - side + 1, (1,), generator=chance)) for length in (h, w))
    return image[:, y : y + side, x : x + side].float() / 255


if __name__ == "__main__":
    main()
