"""Types of the options of `infbrush generate`, with their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

IMAGE, PAINT, SAMPLING = "Image", "Layout: which class is where", "Sampling"
LIKE = "Likeness: more like this image, for models trained on embeddings"
RENDERING, OUTPUT = "Rendering", "Output"

Out = Annotated[Path, typer.Option("--out", "-o", help="OME-Zarr to write (.ome.zarr).", rich_help_panel=OUTPUT)]
SizeText = Annotated[str, typer.Option(help="Width x height in pixels.", rich_help_panel=IMAGE)]
Mpp = Annotated[
    float | None, typer.Option(help="Micrometres per pixel.", show_default="the model's", rich_help_panel=IMAGE)
]
Resolution = Annotated[
    float | None, typer.Option(help="Pixel size in CRS units, for models of rasters.", rich_help_panel=IMAGE)
]
Condition = Annotated[str | None, typer.Option(help="Class, see infbrush info MODEL.", rich_help_panel=IMAGE)]
Embedding = Annotated[
    Path | None,
    typer.Option(help="Instead of --condition: embedding (D,) or (M, D) in a .npy file.", rich_help_panel=IMAGE),
]
Reference = Annotated[
    Path | None,
    typer.Option(
        help="Instead of --condition: image whose latent is taken, for infdiff models.", rich_help_panel=IMAGE
    ),
]
ReferenceRegion = Annotated[
    str | None,
    typer.Option(help="x,y,width,height of a region of it in its level-0 pixels.", show_default="all of it",
                 rich_help_panel=IMAGE),
]  # fmt: skip
Seed = Annotated[int, typer.Option(help="Of the noise field.", rich_help_panel=IMAGE)]
Origin = Annotated[str | None, typer.Option(help="x,y of the top left corner in CRS units.", rich_help_panel=IMAGE)]
Crs = Annotated[str | None, typer.Option(help="CRS of the result.", show_default="the model's", rich_help_panel=IMAGE)]

Paint = Annotated[
    Path | None,
    typer.Option(help="Instead of --condition: GeoJSON of areas with classes (as QuPath exports it), or a label raster "
                      "(PNG, TIFF, GeoTIFF, label image of an OME-Zarr).", rich_help_panel=PAINT),
]  # fmt: skip
Classes = Annotated[
    str | None,
    typer.Option(help="Which class of the model is meant, e.g. Tumor=Invasive,Stroma=Benign; for rasters "
                      "1=Invasive,2=Benign.", show_default="same names", rich_help_panel=PAINT),
]  # fmt: skip
Background = Annotated[
    str | None, typer.Option(help="Class of everywhere else.", show_default="no class", rich_help_panel=PAINT)
]
Ignore = Annotated[str | None, typer.Option(help="Classes of the file to leave out.", rich_help_panel=PAINT)]
PaintMpp = Annotated[
    float | None,
    typer.Option(help="Micrometres per pixel of what was annotated (CRS units for rasters).", rich_help_panel=PAINT),
]
PaintUnit = Annotated[
    str | None,
    typer.Option(help="Of GeoJSON coordinates: pixel, micrometer or crs.", show_default="pixel; crs for rasters",
                 rich_help_panel=PAINT),
]  # fmt: skip
PaintOrigin = Annotated[
    str | None,
    typer.Option(help="x,y of the image's top left corner in the file, in µm or CRS units.", show_default="its corner",
                 rich_help_panel=PAINT),
]  # fmt: skip
PaintCell = Annotated[
    float | None,
    typer.Option(help="How finely borders are followed, in µm or CRS units.", show_default="one cell of the grid",
                 rich_help_panel=PAINT),
]  # fmt: skip

Like = Annotated[
    Path | None,
    typer.Option(help="Instead of --condition: store of infbrush embed, one of whose images is imitated.",
                 rich_help_panel=LIKE),
]  # fmt: skip
LikeImage = Annotated[
    str | None, typer.Option(help="Name or key of the image.", show_default="the only one", rich_help_panel=LIKE)
]
LikeAt = Annotated[
    str | None,
    typer.Option(help="x,y of the top left corner in that image, in µm or CRS units.", show_default="its corner",
                 rich_help_panel=LIKE),
]  # fmt: skip
LikeOrder = Annotated[
    str,
    typer.Option(help="as-is, or the same tissue elsewhere, by the seed: shift, flip or shuffle.",
                 rich_help_panel=LIKE),
]  # fmt: skip

Steps = Annotated[int, typer.Option(help="Network evaluations.", rich_help_panel=SAMPLING)]
Guidance = Annotated[
    float, typer.Option(help="Classifier-free guidance; 1 is none and half the cost.", rich_help_panel=SAMPLING)
]
SamplerName = Annotated[str, typer.Option(help="dpmsolver++ or ddim.", rich_help_panel=SAMPLING)]
Precision = Annotated[str, typer.Option(help="float32 or bfloat16.", rich_help_panel=SAMPLING)]
Engine = Annotated[
    str,
    typer.Option(help="lazy: tiles from a plan, any size; sweep: all tiles from a plan, with exact halos; "
                 "joint: the whole image at once, with exact global sums.", rich_help_panel=SAMPLING),
]  # fmt: skip
Halo = Annotated[
    str | None,
    typer.Option(help="Training pixels rendered around a tile, or exact (slow).",
                 show_default="the pipeline's", rich_help_panel=SAMPLING),
]  # fmt: skip
Frame = Annotated[
    int | None,
    typer.Option(help="Side in training pixels of the frames in which large images are planned.",
                 show_default="training window", rich_help_panel=SAMPLING),
]  # fmt: skip
NoCoarse = Annotated[
    bool, typer.Option("--no-coarse", help="Do not guide large images by a coarser one.", rich_help_panel=SAMPLING)
]
Tile = Annotated[
    int | None,
    typer.Option(help="Side of the tiles evaluated at a time.", show_default="96; joint 256", rich_help_panel=SAMPLING),
]

Scheduler = Annotated[
    str | None,
    typer.Option(help="Dask cluster that renders: tcp://HOST:PORT, or its scheduler file.", metavar="ADDRESS",
                 rich_help_panel=RENDERING),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option(help="Render in so many processes of this machine, one thread each.", show_default="threads",
                 rich_help_panel=RENDERING),
]  # fmt: skip
Plan = Annotated[
    Path | None,
    typer.Option(help="File of the plan (.plan.safetensors): loaded if it is there, else written and kept.",
                 show_default="kept until the image is complete", rich_help_panel=RENDERING),
]  # fmt: skip
MemoryGib = Annotated[
    float, typer.Option(help="Memory for computed tiles, of each process that renders.", rich_help_panel=RENDERING)
]
Workdir = Annotated[Path | None, typer.Option(help="Folder for scratch files.", rich_help_panel=RENDERING)]

OmeVersion = Annotated[str, typer.Option(help="0.5 or 0.4.", rich_help_panel=OUTPUT)]
Layout = Annotated[
    str,
    typer.Option(help="Of the store: flat for slides, nested for rasters (xarray, rioxarray).", rich_help_panel=OUTPUT),
]
Chunk = Annotated[int, typer.Option(help="Side of the stored chunks in pixels.", rich_help_panel=OUTPUT)]
Shard = Annotated[
    int | None,
    typer.Option(help="Chunks along a side of a shard (0.5 only): fewer, larger files.", show_default="no shards",
                 rich_help_panel=OUTPUT),
]  # fmt: skip
Watermark = Annotated[
    str | None,
    typer.Option(help="Up to 8 ASCII characters, hidden in the pixels; infbrush validate looks for them.",
                 show_default="none", rich_help_panel=OUTPUT),
]  # fmt: skip
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an OME-Zarr.", rich_help_panel=OUTPUT)]
NoResume = Annotated[
    bool,
    typer.Option("--no-resume", help="Keep nothing of a call that fails or is stopped; the next one begins anew.",
                 rich_help_panel=OUTPUT),
]  # fmt: skip
Thumbnail = Annotated[Path | None, typer.Option(help="Also write a small PNG.", rich_help_panel=OUTPUT)]
