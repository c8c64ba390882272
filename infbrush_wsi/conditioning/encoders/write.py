"""Embeds a collection of images into a Zarr store."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from affine import Affine
from filelock import FileLock, Timeout

import infbrush_wsi
from infbrush_wsi import formats
from infbrush_wsi.conditioning.encoders.protocol import Encoder
from infbrush_wsi.conditioning.encoders.settings import KEY, Dtype, StoredSlide, StoreSettings
from infbrush_wsi.conditioning.encoders.slide_writer import COMPLETE, SlideWriter
from infbrush_wsi.conditioning.encoders.store import SETTINGS, SKIPPED, SLIDES, STATE, EmbeddingStore
from infbrush_wsi.conditioning.encoders.tiling import Tiling
from infbrush_wsi.errors import (
    BandMismatchError,
    ConfigError,
    DatasetError,
    InfbrushError,
    MissingExtraError,
    OutputError,
    OutputExistsError,
    SourceError,
)
from infbrush_wsi.sources.collection import Collection, Item, Skipped
from infbrush_wsi.sources.registry import open_source

DEFAULT_TILE = 224
Progress = Callable[[int, int], None]


def write_embeddings(
    collection: Collection,
    encoder: Encoder,
    out: str | Path,
    *,
    spacing: float,
    tile: int | None = None,
    stride: int | None = None,
    min_tissue: float = 0.1,
    dtype: Dtype = "float32",
    bands: Sequence[int] | None = None,
    batch: int = 32,
    progress: Progress | None = None,
) -> EmbeddingStore:
    """Embed every image of a collection on a grid of tiles.

    Memory is bounded by a batch of tiles and a block of 16 x 16 embeddings. A call that was stopped is taken up by the
    same call again; images that are new in the collection are added. An image that cannot be used is left out, and the
    store says why.

    Args:
        collection: see `infbrush_wsi.sources.collect`.
        encoder: see `load_encoder`.
        out: folder of the store.
        spacing: pixel size of the tiles in the unit of the images (micrometres for slides).
        tile: side of a tile in pixels; None: the encoder's, or 224.
        stride: distance of tiles in pixels; None: the tile's side.
        min_tissue: least share of tissue (or valid pixels) in a tile that is embedded.
        dtype: 'float32', or 'float16' for half the size.
        bands: 1-based bands of the images; None: all.
        batch: tiles embedded at a time.
        progress: called with (cells done, cells in all).

    Returns:
        the finished store.

    Raises:
        ConfigError: if an argument is not valid.
        DatasetError: if no image can be used.
        ConditionError: if the encoder's embeddings cannot be stored.
        OutputExistsError: if `out` is something else, or was made with other settings.
        OutputError: if it cannot be written; what was begun is kept for a call that goes on with it.
    """
    _check(spacing, min_tissue, dtype, batch)
    size = (encoder.record.size or DEFAULT_TILE) if tile is None else tile
    step, kept = size if stride is None else stride, None if bands is None else tuple(bands)
    writers, skipped = _opened(
        collection,
        lambda unit: StoreSettings(encoder.record, float(spacing), unit, size, step, min_tissue, dtype, kept),
    )
    path = Path(out)
    with _sole_writer(path):
        _Run(path, writers, skipped, encoder, batch, progress).write()
    return EmbeddingStore(path)


@contextmanager
def _sole_writer(path: Path) -> Iterator[None]:
    if not path.resolve().parent.is_dir():
        raise OutputError(f"'{path}' cannot be written: there is no folder {path.resolve().parent}")
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"another process writes '{path}'; wait until that ends, or choose another name") from error
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


class _Run:
    """One call of `write_embeddings` that has the store for itself."""

    def __init__(
        self,
        path: Path,
        writers: list[SlideWriter],
        skipped: list[Skipped],
        encoder: Encoder,
        batch: int,
        progress: Progress | None,
    ) -> None:
        self.path, self.writers, self.skipped, self.encoder, self.batch = path, writers, skipped, encoder, batch
        self._progress = progress or (lambda done, total: None)
        self._done, self._total = 0, sum(writer.tiling.grid.count for writer in writers)

    def write(self) -> None:
        fresh = not self.path.exists()
        try:
            root = self._root(fresh)
            earlier = sum(writer.finished(root[SLIDES]) for writer in self.writers)
            self._advance(earlier)
            for writer in self.writers:
                self._slide(root[SLIDES], writer)
            if not any(writer.slide.key in root[SLIDES] for writer in self.writers):
                raise DatasetError(f"no image can be embedded{_reasons(self.skipped)}")
            root.attrs.update({SKIPPED: [asdict(entry) for entry in self.skipped], STATE: COMPLETE})
        except BaseException as error:
            if fresh and not _begun(self.path):
                shutil.rmtree(self.path, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, InfbrushError):
                raise OutputError(
                    f"'{self.path}' cannot be written ({error}); the same call goes on with it"
                ) from error
            raise

    def _root(self, fresh: bool) -> Any:
        import zarr

        settings = self.writers[0].settings
        if fresh:
            root = zarr.create_group(str(self.path), zarr_format=3)
            root.create_group(SLIDES)
            facts: dict[str, Any] = {
                SETTINGS: settings.to_dict(),
                STATE: "writing",
                "package_version": infbrush_wsi.__version__,
            }
            facts |= {KEY: formats.EMBEDDINGS.stamp, "package_version": infbrush_wsi.__version__}
            root.attrs.update(facts)
            return root
        try:
            root = zarr.open_group(str(self.path), mode="r+", zarr_format=3, use_consolidated=False)
            found = dict(root.attrs)
        except (OSError, ValueError, KeyError) as error:
            raise OutputExistsError(f"'{self.path}' exists and holds no embeddings; choose another name") from error
        if KEY not in found:
            raise OutputExistsError(f"'{self.path}' exists and holds no embeddings; choose another name")
        formats.EMBEDDINGS.check(found[KEY], where=f"'{self.path}'", error=OutputExistsError)
        StoreSettings.from_dict(found.get(SETTINGS), str(self.path)).check_same(settings, self.path)
        root.attrs[STATE] = "writing"
        return root

    def _slide(self, parent: Any, writer: SlideWriter) -> None:
        key = writer.slide.key
        end = self._done + writer.tiling.grid.count - writer.finished(parent)
        try:
            if not (key in parent and parent[key].attrs.get(COMPLETE)):
                writer.write(parent, self.encoder, self.batch, self._advance)
        except (SourceError, DatasetError) as error:
            self.skipped.append(Skipped(writer.source.path, str(error)))
            if key in parent:
                del parent[key]
        finally:
            writer.source.close()
        if self._done < end:  # it was left out
            self._advance(end - self._done)

    def _advance(self, cells: int) -> None:
        self._done += cells
        self._progress(self._done, self._total)


def _begun(path: Path) -> bool:
    """Whether a store holds at least one block of embeddings."""
    return any((path / SLIDES).glob("*/embeddings/c/*/*/*"))


def _opened(
    collection: Collection, settings: Callable[[str], StoreSettings]
) -> tuple[list[SlideWriter], list[Skipped]]:
    """All images that can be opened; copies and images of another unit than the first are left out."""
    writers: list[SlideWriter] = []
    skipped = list(collection.skipped)
    for item in collection.items:
        try:
            writer = _writer(item, settings)
            first = writers[0].settings.unit if writers else writer.settings.unit
            if writer.settings.unit != first:
                raise DatasetError(f"it is measured in {writer.settings.unit}, the first image in {first}")
            same = [other.slide.name for other in writers if other.slide.key == writer.slide.key]
            if same:
                raise DatasetError(f"it has the same pixels as {same[0]}")
            writers.append(writer)
        except MissingExtraError:
            raise
        except (SourceError, DatasetError) as error:
            skipped.append(Skipped(item.path, str(error)))
    if not writers:
        raise DatasetError(f"no image can be embedded{_reasons(skipped)}")
    return writers, skipped


def _writer(item: Item, made: Callable[[str], StoreSettings]) -> SlideWriter:
    probe = made("")
    source = open_source(item.path, mpp=item.mpp, bands=probe.bands)
    settings, bands = made(source.lattice.unit), probe.encoder.channels
    if source.channels != bands:
        raise BandMismatchError(f"it has {source.channels} bands, the encoder takes {bands}; choose bands")
    view = source.at(settings.spacing)
    tiling = Tiling(view.shape, settings.tile, settings.stride)
    transform = view.lattice.transform @ Affine.scale(settings.stride)
    extent = view.lattice.extent
    slide = StoredSlide(
        key=source.fingerprint,
        name=item.path.rstrip("/").rpartition("/")[2],
        label=item.label,
        group=item.group,
        rows=tiling.grid.h,
        columns=tiling.grid.w,
        width=extent.w,
        height=extent.h,
        transform=tuple(transform)[:6],
        crs=source.lattice.crs,
        embedded=0,
    )
    return SlideWriter(source, view, tiling, slide, settings)


def _check(spacing: float, min_tissue: float, dtype: Any, batch: int) -> None:
    if not (math.isfinite(spacing) and spacing > 0):
        raise ConfigError(f"the pixel size of tiles must be positive, not {spacing}")
    if not 0 < min_tissue <= 1:
        raise ConfigError(f"min_tissue must be a share above 0 and up to 1, not {min_tissue}")
    if dtype not in get_args(Dtype):
        raise ConfigError(f"embeddings are stored as {' or '.join(get_args(Dtype))}, not {dtype!r}")
    if batch < 1:
        raise ConfigError(f"a batch has at least one tile, not {batch}")


def _reasons(skipped: Sequence[Skipped]) -> str:
    lines = [f"\n  {entry.path}: {entry.reason}" for entry in skipped[:5]]
    return ":" + "".join(lines) + (f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else "")
