"""Do distances grow with damage? Every offline feature network on tiles and damages that none was trained with.

    python benchmarks/features.py [--quick] [--json PATH]

Half of the tiles of LC25000 stay as they are, the others are damaged more and more in ways that no network here was
trained to see. For each network and damage: by how much the Fréchet distance of the most and of the least damaged half
exceeds that of the undamaged one, and how well the distance ranks the five degrees (Spearman's rho; 1 is right).
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
from numpy.typing import NDArray

NETWORKS = ("texture", "infbrush", "random-conv")
SIDE, LEVELS = 128, 5
Images = NDArray[np.uint8]


def jpeg(images: Images, level: int) -> Images:
    """Compressed with quality 60 down to 8."""
    from PIL import Image

    found = []
    for pixels in images:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=(60, 40, 25, 15, 8)[level])
        found.append(np.asarray(Image.open(stream)))
    return np.stack(found)


def warp(images: Images, level: int) -> Images:
    """Bent by up to 1 to 5 pixels on a scale of 8."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    rng, at = np.random.default_rng(0), np.indices((SIDE, SIDE)).astype(float)
    found = []
    for pixels in images:
        shift = gaussian_filter(rng.normal(size=(2, SIDE, SIDE)), (0, 4, 4))
        place = at + (level + 1) * shift / np.abs(shift).max()
        found.append(np.stack([map_coordinates(pixels[..., c], place, order=1, mode="reflect") for c in range(3)], -1))
    return np.stack(found)


def jigsaw(images: Images, level: int) -> Images:
    """Squares of 64 down to 4 pixels at random places."""
    side, rng = 64 >> level, np.random.default_rng(0)
    n = SIDE // side
    found = []
    for pixels in images:
        cells = pixels.reshape(n, side, n, side, 3).swapaxes(1, 2).reshape(n * n, side, side, 3)
        cells = rng.permutation(cells).reshape(n, n, side, side, 3)
        found.append(cells.swapaxes(1, 2).reshape(SIDE, SIDE, 3))
    return np.stack(found)


def hue(images: Images, level: int) -> Images:
    """Turned by 4 to 20 degrees."""
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(images)
    hsv[..., 0] = (hsv[..., 0] + 4 * (level + 1) / 360) % 1.0
    return (255 * hsv2rgb(hsv)).round().astype(np.uint8)


def holes(images: Images, level: int) -> Images:
    """One to five squares of 24 pixels in the mean colour."""
    rng, found = np.random.default_rng(0), images.copy()
    for pixels in found:
        for _ in range(level + 1):
            y, x = rng.integers(SIDE - 24, size=2)
            pixels[y : y + 24, x : x + 24] = pixels.mean(axis=(0, 1)).round()
    return found


DAMAGES: dict[str, Callable[[Images, int], Images]] = {
    "jpeg": jpeg,
    "warp": warp,
    "jigsaw": jigsaw,
    "hue": hue,
    "holes": holes,
}


def tiles(count: int) -> Images:
    """Windows of 128² in the middle of tiles, classes mixed."""
    from PIL import Image

    folder = harness.shared_data() / "hne" / "lc25000_lung_224"
    paths = sorted(folder.rglob("*.*"), key=lambda path: re.sub(r"\D", "", path.stem))
    found = []
    for path in paths[:count]:
        with Image.open(path) as image:
            found.append(np.asarray(image.convert("RGB"))[48 : 48 + SIDE, 48 : 48 + SIDE])
    return np.stack(found)


def measure(name: str, images: Images) -> list[dict[str, Any]]:
    """A row for each damage."""
    from scipy.stats import spearmanr

    from infbrush_wsi.metrics import feature_extractor, frechet_distance

    network = feature_extractor(name)

    def seen(images: Images) -> NDArray[np.float32]:
        return np.concatenate([network(images[k : k + 16]) for k in range(0, len(images), 16)])

    real, floor = seen(images[::2]), 0.0
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sets are small; all distances have the same size and so the same bias
        floor = frechet_distance(real, seen(images[1::2]))
        for damage, apply in DAMAGES.items():
            found = [frechet_distance(real, seen(apply(images[1::2], level))) for level in range(LEVELS)]
            rho = float(spearmanr(range(LEVELS), found).statistic)
            rows.append({"features": name, "damage": damage, "floor": floor, "distances": found, "rho": rho,
                         "least": found[0] / floor, "most": found[-1] / floor})  # fmt: skip
    return rows


def main() -> None:
    harness.like_the_command_line()
    options = harness.make_parser(__doc__).parse_args()
    if not harness.shared_data().is_dir():
        raise SystemExit(f"there is no folder {harness.shared_data()}; set INFBRUSH_SHARED_DATA to the sample data")
    images = tiles(48 if options.quick else 300)
    rows = [row for name in NETWORKS for row in measure(name, images)]
    print(f"{'features':14}{'damage':10}{'least / none':>14}{'most / none':>14}{'rho':>8}")
    for row in rows:
        print(f"{row['features']:14}{row['damage']:10}{row['least']:>14.2f}{row['most']:>14.2f}{row['rho']:>8.2f}")
    ratios = {f"{row['features']}_{row['damage']}_most": row["most"] for row in rows}
    for name in NETWORKS:
        ratios[f"{name}_mean_rho"] = float(np.mean([row["rho"] for row in rows if row["features"] == name]))
    harness.finish("features", options, ratios, rows, {"tiles": len(images)})


if __name__ == "__main__":
    main()
