"""Levels of a pyramid as wsidicom asks for them: tiles in turn, and what DICOM wants to know of a slide."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import PIL.Image
from pydicom import Dataset
from pydicom.uid import UID, generate_uid
from wsidicom import WsiDicom
from wsidicom.codec import Encoder, Jpeg2kSettings, JpegSettings
from wsidicom.codec.settings import Channels
from wsidicom.geometry import Point, PointMm, Size, SizeMm
from wsidicom.instance import ImageData, WsiInstance
from wsidicom.metadata import (
    Equipment,
    Image,
    ImageCoordinateSystem,
    ImageType,
    Label,
    OpticalPath,
    Patient,
    Pyramid,
    Series,
    Slide,
    SlideSample,
    Study,
    WsiMetadata,
)
from wsidicom.metadata.schema.dicom.wsi import WsiMetadataDicomSchema
from wsidicom.source import Source

from infbrush_wsi import __version__
from infbrush_wsi.domain import XY
from infbrush_wsi.writers.description import to_description
from infbrush_wsi.writers.picture import JPEG, as_picture
from infbrush_wsi.writers.tile_stream import TileStream

LONGEST_COMMENT = 10_240
"""Characters that DICOM allows in a long text."""


def save_levels(stream: TileStream, folder: Path, spacing: XY, record: Mapping[str, Any], *, lossless: bool) -> None:
    """Write a file for each level.

    Args:
        stream: the pyramid, of one or three channels.
        folder: where to.
        spacing: of the pixels of level 0, in millimetres.
        record: how the image was made.
        lossless: JPEG 2000 instead of JPEG.
    """
    channels = Channels.GRAYSCALE if stream.channels == 1 else Channels.YBR
    how = Jpeg2kSettings(0, channels=channels) if lossless else JpegSettings(JPEG["quality"], channels=channels)
    base = _base_dataset(record, coloured=stream.channels == 3)
    images = [_Level(Encoder.create_for_settings(how), stream, level, spacing) for level in range(len(stream.shapes))]
    with WsiDicom(_Levels([_instance(image, base, level) for level, image in enumerate(images)])) as slide:
        slide.save(folder)


class _Level(ImageData):  # type: ignore[misc]
    """One level; wsidicom asks for its tiles row by row, and for the next level's after its last."""

    def __init__(self, encoder: Encoder, stream: TileStream, level: int, spacing: XY) -> None:
        super().__init__(encoder)
        self.shape, self.side, self.channels = stream.shapes[level], stream.tile, stream.channels
        self.spacing = SizeMm(spacing.x * 2**level, spacing.y * 2**level)
        self._tiles = enumerate(stream.tiles(level))

    transfer_syntax = property(lambda self: self.encoder.transfer_syntax)
    photometric_interpretation = property(lambda self: self.encoder.photometric_interpretation)
    transcoder = property(lambda self: self.encoder)
    image_size = property(lambda self: Size(self.shape.w, self.shape.h))
    tile_size = property(lambda self: Size(self.side, self.side))
    samples_per_pixel = property(lambda self: self.channels)
    pixel_spacing = property(lambda self: self.spacing)
    imaged_size = property(lambda self: None)
    bits = property(lambda self: 8)
    image_coordinate_system = property(lambda self: ImageCoordinateSystem(PointMm(0, 0), 0))
    thread_safe = property(lambda self: False)
    lossy_compression = property(lambda self: None)

    def get_decoded_tile(self, tile_point: Point, z: float, path: str) -> PIL.Image.Image:
        """The next tile."""
        number, tile = next(self._tiles)
        if number != tile_point.y * self.tiled_size.width + tile_point.x:
            raise RuntimeError(f"wsidicom asks for tile {tile_point}, but number {number} is next")
        return as_picture(tile)

    def get_encoded_tile(self, tile: Point, z: float, path: str) -> bytes:
        """The next tile, compressed."""
        return bytes(self.encoder.encode(self.get_decoded_tile(tile, z, path)))


class _Levels(Source):  # type: ignore[misc]
    """A slide of nothing but levels."""

    def __init__(self, instances: Iterable[WsiInstance]) -> None:
        super().__init__()
        self._instances = list(instances)

    base_dataset = property(lambda self: self._instances[0].dataset)
    level_instances = property(lambda self: self._instances)
    label_instances = overview_instances = thumbnail_instances = annotation_instances = property(lambda self: [])

    def close(self) -> None:
        """Nothing is open."""


def _instance(image: _Level, base: Dataset, level: int) -> WsiInstance:
    instance = WsiInstance.create_instance(image, copy.deepcopy(base), ImageType.VOLUME, level)
    dataset = instance.dataset
    # wsidicom says ORIGINAL of the finest level: pixels that a scanner has seen.
    kind = ["DERIVED", *list(dataset.ImageType)[1:]]
    dataset.ImageType = kind
    groups = dataset.SharedFunctionalGroupsSequence[0]
    groups.WholeSlideMicroscopyImageFrameTypeSequence[0].FrameType = kind
    return instance


def _base_dataset(record: Mapping[str, Any], *, coloured: bool) -> Dataset:
    """What all levels say."""
    text = "synthetic image" if record["synthetic"] else "converted image"
    metadata = WsiMetadata(
        study=Study(uid=_uid()),
        series=Series(uid=_uid(), number=1, description=text),
        patient=Patient(),
        equipment=Equipment("infbrush-wsi", "infbrush-wsi", software_versions=[__version__]),
        slide=Slide(text, samples=[SlideSample(text, uid=_uid(), short_description=text)]),
        label=Label(),
        pyramid=Pyramid(Image(datetime.now(UTC)), [OpticalPath()], uid=_uid(), description=text),
        frame_of_reference_uid=_uid(),
        dimension_organization_uids=[_uid()],
    )
    dataset: Dataset = WsiMetadataDicomSchema().dump(metadata, ImageType.VOLUME, coloured)
    dataset.DerivationDescription = f"{text}, written by infbrush-wsi"
    comment = to_description(record)
    if len(comment) <= LONGEST_COMMENT:
        dataset.ImageComments = comment
    return dataset


def _uid() -> UID:
    return generate_uid(prefix=None)
