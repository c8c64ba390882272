"""`infbrush embed`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from infbrush_wsi.cli import options as o
from infbrush_wsi.cli.console import examples, messages
from infbrush_wsi.cli.progress import counting
from infbrush_wsi.cli.settings import default_labels
from infbrush_wsi.cli.summary import Summary
from infbrush_wsi.errors import ConfigError, InfbrushError

if TYPE_CHECKING:
    from infbrush_wsi.conditioning.encoders import EmbeddingStore, Encoder
    from infbrush_wsi.conditioning.encoders.settings import Dtype
    from infbrush_wsi.sources.collection import Collection

EPILOG = examples(
    "infbrush embed slides/ --out embeddings.zarr --mpp 0.5",
    "infbrush embed slides/ --encoder timm:resnet50.a1_in1k --mpp 1.0 --out embeddings.zarr",
    "infbrush embed slides/ --encoder tiatoolbox:UNI --dtype float16 --out embeddings.zarr",
    "infbrush embed tiles/ --encoder open_clip:ViT-B-32/laion2b_s34b_b79k --assume-mpp 0.42 --out embeddings.zarr",
    "infbrush embed aerial.tif --resolution 0.6 --bands 1,2,3 --tile 64 --stride 32 --out embeddings.zarr",
)
SHOWN_SKIPPED = 5
Sources = Annotated[list[str], typer.Argument(help="Slides, rasters, images, OME-Zarr, or folders of them.")]
EncoderName = Annotated[
    str,
    typer.Option(help="statistics (needs no weights), timm:NAME, torchvision:NAME, tiatoolbox:NAME, "
                      "open_clip:NAME/TAG, hf:NAME, or a plugin's."),
]  # fmt: skip
Weights = Annotated[
    Path | None, typer.Option(help="Local file with the encoder's weights.", show_default="the library finds them")
]
Mpp = Annotated[
    float | None, typer.Option(help="Micrometres per pixel of the tiles.", show_default="the encoder's, or the images'")
]
Resolution = Annotated[float | None, typer.Option(help="The same for rasters, in the unit of their CRS.")]
Tile = Annotated[int | None, typer.Option(help="Side of a tile in pixels.", show_default="the encoder's, or 224")]
Stride = Annotated[int | None, typer.Option(help="Distance of tiles in pixels.", show_default="the tile's side")]
MinTissue = Annotated[float, typer.Option(help="Least share of tissue in a tile that is embedded.")]
Precision = Annotated[str, typer.Option("--dtype", help="float32 or float16.")]
Batch = Annotated[int, typer.Option(help="Tiles embedded at a time.")]
Device = Annotated[str | None, typer.Option(help="Where a network runs.", show_default="cuda if there is one")]


def embed(
    sources: Sources,
    out: Annotated[Path, typer.Option("--out", "-o", help="Zarr store to write, or to add to.")],
    encoder: EncoderName = "statistics",
    weights: Weights = None,
    mpp: Mpp = None,
    resolution: Resolution = None,
    assume_mpp: o.AssumeMpp = None,
    bands: o.Bands = None,
    labels: o.Labels = None,
    group_pattern: o.GroupPattern = None,
    tile: Tile = None,
    stride: Stride = None,
    min_tissue: MinTissue = 0.1,
    dtype: Precision = "float32",
    batch: Batch = 32,
    device: Device = None,
) -> None:
    """Compute embeddings of slides, rasters or images on a grid of tiles, and store them.

    A call that was stopped is taken up by the same call again, and images that are new are added. Tiles without tissue
    are marked and not embedded.
    """
    from infbrush_wsi.conditioning.encoders import load_encoder, write_embeddings
    from infbrush_wsi.sources.collection import collect

    summary = Summary()
    if mpp is not None and resolution is not None:
        raise ConfigError("give --mpp (slides) or --resolution (rasters), not both")
    chosen = o.band_numbers(bands)
    found = collect(sources, labels=labels or default_labels(sources), mpp=assume_mpp, group_pattern=group_pattern)
    with messages().status("loading the encoder"):
        loaded = load_encoder(
            encoder, weights=weights, device=device or _device(encoder), channels=_channels(found, chosen)
        )
    spacing = mpp if mpp is not None else resolution if resolution is not None else _spacing(found, loaded)
    with _resumable(out), counting("embedding") as progress:
        store = write_embeddings(
            found, loaded, out, spacing=spacing, tile=tile, stride=stride, min_tissue=min_tissue,
            dtype=cast("Dtype", dtype), bands=chosen, batch=batch, progress=progress,
        )  # fmt: skip
    _tell(store, out, summary)


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Within the block Ctrl-C says what is left."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt("the same call goes on" if out.exists() else "nothing was embedded") from interrupt


def _channels(found: Collection, bands: tuple[int, ...] | None) -> int:
    """Bands of the first image that can be opened; without one, it is left to the writer to say why."""
    from infbrush_wsi.sources.registry import open_source

    if bands is not None:
        return len(bands)
    for item in found.items:
        try:
            with open_source(item.path, mpp=item.mpp) as source:
                return source.channels
        except InfbrushError:
            continue
    return 3


def _spacing(found: Collection, encoder: Encoder) -> float:
    """Pixel size that the encoder was trained with, or else that of all images.

    Raises:
        ConfigError: if the encoder's is not known and the images differ.
    """
    from infbrush_wsi.sources.registry import open_source

    sizes: dict[str, float] = {}
    unknown: list[str] = []
    for item in found.items:
        try:
            with open_source(item.path, mpp=item.mpp) as source:
                if source.lattice.unit == "micrometer" and encoder.record.mpp is not None:
                    return encoder.record.mpp
                if source.lattice.unit == "pixel":
                    unknown.append(item.path)
                else:
                    sizes[item.path] = (source.lattice.spacing.x * source.lattice.spacing.y) ** 0.5
        except InfbrushError:
            continue
    if unknown and not sizes:
        raise ConfigError(f"no image says its physical pixel size, {unknown[0]} for one; give --assume-mpp")
    if not sizes:
        return 1.0  # none can be opened: the writer tells why
    least, most = min(sizes, key=lambda path: sizes[path]), max(sizes, key=lambda path: sizes[path])
    if sizes[most] > 1.01 * sizes[least]:
        raise ConfigError(
            f"the images differ in pixel size ({sizes[least]:g} in {least}, {sizes[most]:g} in {most}); give --mpp, or "
            "--resolution for rasters"
        )
    return sizes[least]


def _device(encoder: str) -> str:
    if encoder == "statistics":
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _tell(store: EmbeddingStore, out: Path, summary: Summary) -> None:
    console, settings = messages(), store.settings
    for entry in store.skipped[:SHOWN_SKIPPED]:
        console.print(f"[yellow]skipped[/] {escape(entry.path)}: {escape(entry.reason)}", soft_wrap=True)
    if len(store.skipped) > SHOWN_SKIPPED:
        console.print(f"[yellow]skipped[/] {len(store.skipped) - SHOWN_SKIPPED} more")
    tiles = sum(slide.embedded for slide in store.slides)
    summary.tell(
        out,
        f"{tiles} embeddings of {settings.encoder.dimension} values from {len(store.slides)} images",
        f"a cell is {settings.cell:g} {settings.unit}",
        then=f"train with them: infbrush train --embeddings {out}; imitate an image: infbrush generate --like {out}",
    )
