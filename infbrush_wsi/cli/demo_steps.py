"""The stages of `infbrush demo`: shipped models, data, training, generation, checks, report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.cli.console import messages
from infbrush_wsi.cli.demo_shipped import shipped_images
from infbrush_wsi.cli.progress import duration
from infbrush_wsi.cli.rendering import write
from infbrush_wsi.cli.settings import default_labels
from infbrush_wsi.cli.train import run_training
from infbrush_wsi.domain import Box
from infbrush_wsi.errors import OutputError
from infbrush_wsi.models.shipped import shipped_models
from infbrush_wsi.phantom import CLASSES, write_phantom_raster, write_phantom_slide
from infbrush_wsi.pipelines.infbrush import InfBrushPipeline
from infbrush_wsi.report.checks import check_store
from infbrush_wsi.report.content import Check, Content, Pair, Raster, Side
from infbrush_wsi.report.crops import side_of
from infbrush_wsi.report.figure import write_figure
from infbrush_wsi.report.notes import notes
from infbrush_wsi.report.page import write_page
from infbrush_wsi.report.raster import raster_checks, raster_content
from infbrush_wsi.report.versions import versions
from infbrush_wsi.sources.collection import collect
from infbrush_wsi.sources.registry import open_source
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.record import read_metrics

PHANTOM_MPP = 1.0
"""Nuclei are ten pixels wide and a gland fits a training window."""
WINDOW = 128
WHOLE, CROP = 512, 256
Picture = NDArray[np.uint8]


class Demo:
    """One run of the demo.

    Args:
        out: folder.
        minutes: of training.
        size: side of the phantom slides and of the generated images in pixels.
        steps: sampler steps.
        mpp: to train and generate at; None: 1.0 where the slides are finer, else their own.
        assume_mpp: pixel size of sources that do not say it.
        seed: of everything.
    """

    def __init__(
        self,
        out: Path,
        *,
        minutes: float,
        size: int,
        steps: int,
        mpp: float | None,
        assume_mpp: float | None,
        seed: int,
    ) -> None:
        self.out, self.minutes, self.size, self.steps = out, minutes, size, steps
        self.mpp, self.assume_mpp, self.seed = mpp, assume_mpp, seed
        self.timings: dict[str, float] = {}
        self.checks: list[Check] = []

    def run(self, sources: Sequence[str] | None) -> Content:
        """All stages.

        Raises:
            InfbrushError: one of its kinds, if a stage fails.
        """
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot make the folder {self.out}: {error}") from error
        shipped: list[Side] = []
        if shipped_models():
            with self._stage("images by the models that come with the package"):
                shipped, checks = shipped_images(self.out / "shipped", self.seed)
                self.checks += checks
        raster = None
        if not sources:
            with self._stage("phantom slides and raster"):
                sources = [str(self._phantom())]
                raster = self._raster()
        config = self._configuration(list(sources))
        with self._stage("training"):
            run_training(config, self.out / "model")
        pairs = self._generate(config)
        content = self._content(config, pairs, raster)
        content.shipped = shipped
        with self._stage("report"):
            write_figure(content, self.out / "report.png")
        content.timings = dict(self.timings)
        write_page(content, self.out / "report.html")
        return content

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        messages().print(f"[bold cyan]{name}[/]")
        started = time.monotonic()
        yield
        self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - started
        messages().print(f"[dim]{name}: {duration(self.timings[name])}[/]")

    def _phantom(self) -> Path:
        folder = self.out / "data" / "slides"
        for label in CLASSES:
            path = folder / label / f"{label}.tif"
            write_phantom_slide(path, label, size=(self.size, self.size), mpp=PHANTOM_MPP, seed=self.seed)
            with open_source(path) as slide:
                h, w = slide.level_shapes[0]
                found = f"{slide.name} ({slide.metadata['vendor']}): {w} x {h}"
                levels = f"{slide.level_count} levels, {slide.mpp:g} µm/px"
                right = (h, w) == (self.size, self.size) and abs((slide.mpp or 0) - PHANTOM_MPP) < 1e-3
                self.checks.append(Check(path.name, "pyramidal TIFF, read back", f"{found}, {levels}", right))
        return folder

    def _raster(self) -> Raster:
        path = self.out / "data" / "aerial" / "aerial.tif"
        side = min(self.size, 1024)
        write_phantom_raster(path, size=(side, side), seed=self.seed)
        self.checks += raster_checks(path)
        return raster_content(path, WHOLE)

    def _configuration(self, sources: list[str]) -> RunConfig:
        labels = default_labels(sources)
        mpp = self.mpp or _usual_mpp(sources, self.assume_mpp)
        return RunConfig.parse(
            {
                "data": {
                    "sources": sources, "labels": labels, "mpp": None if mpp is None else [mpp],
                    "assume_mpp": self.assume_mpp, "window": WINDOW,
                },
                "optim": {"minutes": self.minutes, "seed": self.seed},
                "record": {"log_every": 5},
            }
        )  # fmt: skip

    def _generate(self, config: RunConfig) -> list[Pair]:
        pipe = InfBrushPipeline.from_pretrained(self.out / "model")
        folder = self.out / "generated"
        folder.mkdir()
        pairs = []
        for number, label in enumerate(pipe.classes or (None,)):
            title = label or "all images"
            path = folder / f"{label or 'image'}.ome.zarr"
            with self._stage(f"generating {title}"):
                canvas = pipe(
                    label, (self.size, self.size), seed=self.seed + number, num_inference_steps=self.steps,
                    guidance_scale=1.0,
                )  # fmt: skip
                write(canvas, path, version="0.4")
            with self._stage("opening the images again"):
                pixels = canvas.read_region((0, 0), 0, (self.size, self.size))
                self.checks += check_store(path, pixels, canvas.mpp if pipe.info.unit == "micrometer" else None)
            generated = side_of(pixels, f"{self.size} x {self.size} px, {path.name}", whole=WHOLE, crop=CROP)
            pairs.append(Pair(title, self._real(config, label, pipe.info.spacing[0]), generated))
        return pairs

    def _real(self, config: RunConfig, label: str | None, spacing: float) -> Side:
        """The first training image of a class at the pixel size of the model, at most as large as a generated one."""
        items = collect(config.data.sources, labels=config.data.labels, mpp=self.assume_mpp).items
        item = next(item for item in items if item.label == label)
        with open_source(item.path, mpp=item.mpp) as source:
            view = source.at(spacing) if config.data.mpp else None
            shape = view.shape if view is not None else source.lattice.shape
            w, h = min(self.size, shape.w), min(self.size, shape.h)
            box = Box((shape.w - w) // 2, (shape.h - h) // 2, w, h)
            pixels = source.read_box(box) if view is None else view.read(box)
        return side_of(pixels, f"{w} x {h} px of {Path(item.path).name}", whole=WHOLE, crop=CROP)

    def _content(self, config: RunConfig, pairs: list[Pair], raster: Raster | None) -> Content:
        rows = read_metrics(self.out / "model")
        trained, seconds = int(rows[-1]["step"]), self.timings["training"]
        summary = {
            "trained on": ", ".join(map(str, config.data.sources)),
            "model": f"∞-Brush, preset {config.model.preset}, {trained} steps of {config.optim.batch} windows of "
                     f"{config.data.window} x {config.data.window} px, {config.data.points} points each",
            "training": f"{duration(seconds)} with reading and compiling",
            "generated": f"{self.size} x {self.size} px a class, {self.steps} DPM-Solver++ steps, no guidance",
            "seed": str(self.seed),
        }  # fmt: skip
        return Content(
            title="infbrush demo: real slides in, generated slides out",
            summary=summary,
            pairs=pairs,
            loss=([row["step"] for row in rows], [row["loss"] for row in rows]),
            checks=self.checks,
            timings=dict(self.timings),
            notes=notes(trained, seconds, phantom=raster is not None),
            versions=versions(),
            raster=raster,
        )


def _usual_mpp(sources: Sequence[str], assume: float | None) -> float | None:
    """1.0 where the first image is a slide with finer pixels; None: its own pixel size."""
    item = collect(sources, mpp=assume).items[0]
    with open_source(item.path, mpp=item.mpp) as source:
        fine = source.lattice.unit == "micrometer" and (source.mpp or PHANTOM_MPP) < PHANTOM_MPP
    return PHANTOM_MPP if fine else None
