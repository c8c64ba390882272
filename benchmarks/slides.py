"""Large slides in little time: mosaics of phantom slides, assembled from their compressed tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

TILE = 256
BLOCK = 4096
"""Side of the different phantoms that a large slide is made of."""
REPEATED = 2048
"""Side of the one phantom that a slide repeats where time is short."""
MPP = 0.5
LABEL: Final = "Invasive"


def write_slide(path: Path, side: int, *, repeat: bool = False) -> str:
    """Write a square pyramidal TIFF that OpenSlide reads, and say what it holds.

    Args:
        path: of the file.
        side: in pixels; beyond 4096 (2048 with `repeat`) a multiple of that.
        repeat: let a large slide repeat one phantom instead of holding a different one in every block.
    """
    from infbrush_wsi.phantom import write_phantom_slide

    block = min(side, REPEATED if repeat else BLOCK)
    if block == side:
        write_phantom_slide(path, LABEL, size=(side, side), mpp=MPP)
        return "one phantom"
    count = side // block
    different = 1 if repeat else count**2
    parts = [path.with_name(f"{path.stem}-{k}.tif") for k in range(different)]
    for seed, part in enumerate(parts):
        write_phantom_slide(part, LABEL, size=(block, block), mpp=MPP, seed=seed)
    _assemble(path, [[parts[(i * count + j) % different] for j in range(count)] for i in range(count)])
    for part in parts:
        part.unlink()
    return f"{different} phantom{'s' * (different > 1)} of {block}² in {count} x {count} blocks"


def _assemble(path: Path, blocks: Sequence[Sequence[Path]]) -> None:
    """The blocks, equal in size and with the same levels, as one pyramid; no tile is decoded."""
    import tifffile

    encoded = {part: _encoded(part) for row in blocks for part in row}
    levels = len(next(iter(encoded.values())))
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            side = len(blocks) * encoded[blocks[0][0]][level][0]
            tiff.write(
                data=_tiles(blocks, {part: found[level] for part, found in encoded.items()}),
                shape=(side, side, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                subfiletype=int(level > 0),
                resolution=(1e4 / (MPP * 2**level),) * 2,
                resolutionunit="CENTIMETER",
                metadata=None,
            )


def _encoded(path: Path) -> list[tuple[int, list[bytes]]]:
    """Side and compressed tiles, row by row, of every level whose side is a whole number of tiles."""
    import tifffile

    found = []
    page: Any
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            if page.imagewidth % TILE:
                break
            segments: Any = tiff.filehandle.read_segments(page.dataoffsets, page.databytecounts)
            found.append((page.imagewidth, [data for data, _ in segments]))
    return found


def _tiles(blocks: Sequence[Sequence[Path]], level: dict[Path, tuple[int, list[bytes]]]) -> Iterator[bytes]:
    """The compressed tiles of one level of the mosaic, row by row."""
    across = level[blocks[0][0]][0] // TILE
    for row in blocks:
        for line in range(across):
            for part in row:
                yield from level[part][1][line * across : (line + 1) * across]
