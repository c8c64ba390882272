"""What do 65,536 scattered points of a window cost, read from .svs, GeoTIFF and OME-Zarr?

    python benchmarks/loader.py [--quick] [--json PATH]

Mollified values at the points of a training draw ('mixed' sampler), from windows of several sizes, on one thread as in
a loader worker, in four ways with the same values:

    warm         through the pixel cache, its tiles decoded before
    cold         through the pixel cache, empty
    region_read  the reader's plain read of the whole window, then the points of it
    tile_reads   a plain read of every 512² tile that holds points

Whatever has to decode starts with newly opened files, as a random window of a large collection does; the files
themselves are in the memory of the operating system. Ratios say how many times faster than 'region_read' a way is, in
the window of 2048². The slide is a small one of Aperio (INFBRUSH_SHARED_DATA, else ../shared/data; left out without
it); the aerial photograph and the OME-Zarr slide are phantoms, lossless.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
from numpy.typing import NDArray

WINDOWS = (512, 1024, 2048, 4096)
QUICK_WINDOWS = (512, 2048)
COMPARED = 2048
GREY_LEVEL = 1 / 127.5
"""Resampled views agree within that, all others exactly."""
SHARED = {"svs": "wsi/cmu-1-small-region.svs", "geotiff_jpeg": "aerial/rgb_10cm/5b90f92da0d7280005fab355_4310.tif"}
Values = NDArray[np.float32]


@dataclass
class Case:
    """One window of one file and the points drawn from it."""

    path: Path
    window: int
    folder: Path
    view: Any = None

    def __post_init__(self) -> None:
        from infbrush_wsi.domain import Box, Shape
        from infbrush_wsi.fields.mollifier import Mollifier
        from infbrush_wsi.points.pixel_cache import PixelCache
        from infbrush_wsi.points.samplers import make_sampler

        self.mollifier = Mollifier()
        self.open()
        rng = np.random.default_rng(self.window)
        shape = self.view.shape
        x0, y0 = (int(rng.integers(side - self.window + 1)) for side in (shape.w, shape.h))
        self.box = Box(x0, y0, self.window, self.window)
        draw = make_sampler("mixed").draw(rng, Shape(self.window, self.window), harness.POINTS)
        self.index = draw.index_yx.astype(np.int64) + np.array([y0, x0])
        self.cache = PixelCache(self.folder / "warm", apron=self.mollifier.apron)

    def open(self) -> None:
        """Open the file anew: nothing of it is decoded."""
        from infbrush_wsi.sources.registry import open_source

        if self.view is not None:
            self.view.source.close()
        self.view = square_view(open_source(str(self.path)))

    def warm(self) -> Values:
        """Through the cache."""
        from infbrush_wsi.points.pixels import gather_mollified

        return gather_mollified(self.cache, self.view, self.index, self.mollifier)

    def cold(self) -> Values:
        """Through an empty cache."""
        from infbrush_wsi.points.pixel_cache import PixelCache
        from infbrush_wsi.points.pixels import gather_mollified

        with tempfile.TemporaryDirectory(dir=self.folder) as empty:
            cache = PixelCache(Path(empty), apron=self.mollifier.apron)
            return gather_mollified(cache, self.view, self.index, self.mollifier)

    def region_read(self) -> Values:
        """The window and its apron at once."""
        apron = self.mollifier.apron
        pixels = self.view.read(self.box.pad(apron), fill="reflect")
        within = self.index - [self.box.y0 - apron, self.box.x0 - apron]
        return self.mollifier.gather(pixels, within, threads=1)

    def tile_reads(self) -> Values:
        """Tile by tile, of the cache's size and grid."""
        apron, out = self.mollifier.apron, np.empty((len(self.index), self.view.channels), np.float32)
        tiles = self.index // self.cache.tile_side
        for ty, tx in np.unique(tiles, axis=0):
            inside = np.flatnonzero((tiles == (ty, tx)).all(axis=1))
            box = self.cache.box(self.view, int(ty), int(tx)).pad(apron)
            pixels = self.view.read(box, fill="reflect")
            out[inside] = self.mollifier.gather(pixels, self.index[inside] - [box.y0, box.x0], threads=1)
        return out

    def measure(self, repeat: int) -> dict[str, float]:
        """Median seconds of every way; all of them give the same values."""
        ways: dict[str, Callable[[], Values]] = {
            name: getattr(self, name) for name in ("warm", "cold", "region_read", "tile_reads")
        }
        expected = self.warm()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeat):
            for name, way in ways.items():
                if name != "warm":
                    self.open()
                start = time.perf_counter()
                found = way()
                times[name].append(time.perf_counter() - start)
                np.testing.assert_allclose(found, expected, rtol=0, atol=GREY_LEVEL, err_msg=f"{self.path}: {name}")
        return {name: statistics.median(values) for name, values in times.items()}


def square_view(source: Any) -> Any:
    """A source at its own pixel size, as training takes it: with square pixels."""
    own = source.lattice.spacing
    return source.at((own.x * own.y) ** 0.5)


def write_zarr(path: Path, side: int) -> None:
    """A phantom slide as OME-Zarr."""
    import dask.array as da

    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.phantom import hne_image
    from infbrush_wsi.writers import write_ome_zarr

    shape = Shape(side, side)
    image = da.from_array(hne_image("Invasive", shape, 0.5, 0), chunks=(512, 512, 3))
    write_ome_zarr([image], path, lattice=Lattice.regular(shape, 0.5), name="phantom")


def files(folder: Path, side: int) -> dict[str, Path]:
    """What is read, by format."""
    from infbrush_wsi.phantom import write_phantom_raster

    root = harness.shared_data()
    found = {}
    for name, place in SHARED.items():
        if (root / place).is_file():
            found[name] = root / place
        else:
            print(f"{name}: left out, {root / place} is not there")
    found["geotiff"] = write_phantom_raster(folder / "phantom.tif", size=(side, side))
    found["zarr"] = folder / "phantom.ome.zarr"
    write_zarr(found["zarr"], side)
    return found


def measure(options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All windows that fit into each file."""
    from infbrush_wsi.sources.registry import open_source

    windows = QUICK_WINDOWS if options.quick else WINDOWS
    results = []
    for name, path in files(folder, max(windows)).items():
        with open_source(str(path)) as source:
            side = min(square_view(source).shape.as_tuple())
            facts = {"format": name, "file": path.name, "reader": source.metadata.get("reader", source.name)}
        for window in windows:
            if window > side:
                continue
            times = Case(path, window, folder).measure(3 if options.quick else 9)
            results.append({**facts, "window": window, **{f"{way}_s": seconds for way, seconds in times.items()}})
            print(f"{name:>13} {window:>6}² " + "".join(f"{w:>12} {s * 1e3:8.1f} ms" for w, s in times.items()))
    return results


def main() -> None:
    parser = harness.make_parser(__doc__)
    options = parser.parse_args()
    harness.like_the_command_line()
    with tempfile.TemporaryDirectory(prefix="infbrush-bench-") as folder:
        results = measure(options, Path(folder))
    ratios = {
        f"{way}_vs_region_read_{result['format']}": result["region_read_s"] / result[f"{way}_s"]
        for result in results
        if result["window"] == COMPARED
        for way in ("warm", "cold", "tile_reads")
    }
    harness.finish("loader", options, ratios, results, {"points": harness.POINTS, "window_of_ratios": COMPARED})


if __name__ == "__main__":
    main()
