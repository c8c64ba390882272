"""A phantom of breast tissue stained with haematoxylin and eosin, in the four classes of the BACH challenge."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infbrush_wsi.domain import Extent, Lattice, Shape
from infbrush_wsi.errors import ConfigError, RegionError
from infbrush_wsi.phantom import cells
from infbrush_wsi.phantom.architecture import CLASSES, TissueClass, layout
from infbrush_wsi.phantom.glands import Bend, Filling, draw_glands
from infbrush_wsi.phantom.nuclei import NuclearMaps, Nuclei, draw_nuclei
from infbrush_wsi.phantom.plane import Floats, PixelGrid, SmoothNoise, generator
from infbrush_wsi.phantom.stain import Stain
from infbrush_wsi.phantom.stroma import Fat, Fibres, Flow, draw_fat, draw_fibres, draw_strands

_FINEST_USEFUL_MPP = 1.0
_LARGEST_CANVAS = 1 << 27


@dataclass(frozen=True)
class _Recipe:
    """What else distinguishes a class besides its glands.

    Attributes:
        eosin: amount in the collagen.
        fat: share of fat away from glands.
        fibroblast_spacing: mean distance of fibroblasts in µm.
        lymphocytes: share of the stroma that they crowd.
        waviness: of the collagen, in µm.
        luminal_size: factor on the nuclei of open glands.
    """

    eosin: float
    fat: float
    fibroblast_spacing: float
    lymphocytes: float
    waviness: float
    luminal_size: float


_RECIPES: dict[str, _Recipe] = {
    "Normal": _Recipe(eosin=0.50, fat=0.42, fibroblast_spacing=34, lymphocytes=0.0, waviness=33, luminal_size=0.95),
    "Benign": _Recipe(eosin=0.38, fat=0.0, fibroblast_spacing=23, lymphocytes=0.004, waviness=37, luminal_size=1.05),
    "InSitu": _Recipe(eosin=0.46, fat=0.10, fibroblast_spacing=26, lymphocytes=0.05, waviness=33, luminal_size=1.0),
    "Invasive": _Recipe(eosin=0.43, fat=0.0, fibroblast_spacing=19, lymphocytes=0.03, waviness=40, luminal_size=1.0),
}


def hne_image(label: TissueClass, shape: Shape, mpp: float, seed: int, *, glass: float = 0.035) -> NDArray[np.uint8]:
    """A field of H&E-stained breast tissue of one class, deterministic in all its arguments.

    All structures have physical sizes, so the same seed and extent at another pixel size is the same tissue.

    Args:
        label: 'Normal', 'Benign', 'InSitu' or 'Invasive'.
        shape: rows and columns.
        mpp: pixel size in µm; beyond 1 µm the field is drawn finer and averaged, at the cost of the finer field.
        seed: selects the slide: its tissue and its stain.
        glass: width of the empty glass around the tissue, as a share of the shorter side; 0 for none.

    Returns:
        uint8 (h, w, 3), RGB.

    Raises:
        ConfigError: if the class is unknown or the seed is not an integer >= 0.
        RegionError: if the shape or pixel size is not positive, or the field is too large to be drawn at once.
    """
    factor = _check(label, shape, mpp, glass)
    fine = Shape(shape.h * factor, shape.w * factor)
    lattice = Lattice.regular(fine, mpp / factor)
    painter = _Painter(label, lattice.extent, PixelGrid.of(lattice), seed, glass)
    haematoxylin, eosin = painter.dyes()
    picture = Stain.draw(generator(seed, 0)).develop(haematoxylin, eosin)
    if factor == 1:
        return picture
    blocks = picture.reshape(shape.h, factor, shape.w, factor, 3)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32) + 0.5, dtype=np.float32).astype(np.uint8)


def _check(label: str, shape: Shape, mpp: float, glass: float) -> int:
    """Refuse impossible requests; return how many times finer than asked the field is drawn."""
    if label not in CLASSES:
        raise ConfigError(f"no tissue class {label!r}; the phantom knows {', '.join(CLASSES)}")
    if shape.h < 1 or shape.w < 1:
        raise RegionError(f"a phantom needs at least one pixel, not {shape}")
    if not (math.isfinite(mpp) and mpp > 0):
        raise RegionError(f"a pixel size must be positive (µm), not {mpp!r}")
    if not 0 <= glass < 0.5:
        raise ConfigError(f"glass is the share of the shorter side, from 0 to below 0.5, not {glass!r}")
    factor = math.ceil(mpp / _FINEST_USEFUL_MPP)
    if shape.count * factor**2 > _LARGEST_CANVAS:
        raise RegionError(
            f"a phantom of {shape.h} x {shape.w} pixels of {mpp} µm is drawn at once and needs too much memory; "
            f"ask for at most {_LARGEST_CANVAS // factor**2} pixels at this pixel size"
        )
    return factor


class _Painter:
    """The steps of one picture, with what they share."""

    def __init__(self, label: TissueClass, extent: Extent, pixels: PixelGrid, seed: int, glass: float) -> None:
        self.label, self.extent, self.pixels, self.seed, self.glass = label, extent, pixels, seed, glass
        self.recipe = _RECIPES[label]
        self.glands = layout(label, self._draw("glands"), extent)
        self.bend = Bend.draw(self._draw("bend"), 42.0, 7.0 if label == "InSitu" else 11.0)
        self.maps = draw_glands(self.glands, self.bend, pixels)

    def _draw(self, ingredient: str) -> np.random.Generator:
        """Each ingredient has its own generator, so that adding one leaves the others as they were."""
        return generator(self.seed, 1 + CLASSES.index(self.label), zlib.crc32(ingredient.encode()))

    def _noise(self, ingredient: str, scale: float) -> Floats:
        return SmoothNoise(self._draw(ingredient), scale).grid(self.pixels)

    def dyes(self) -> tuple[Floats, Floats]:
        """Amounts of (haematoxylin, eosin), each (h, w)."""
        flow = Flow(self._draw("flow"), self.recipe.waviness)
        fat = draw_fat(self._draw("fat"), self.extent, self.recipe.fat, self.maps.depth, self.pixels)
        growth, tissue = self._growth(flow), self._tissue()
        epithelium, lumen, necrosis = self._epithelium()
        hollow = np.maximum.reduce([lumen, necrosis, fat.inside, 1 - tissue])
        sheet = cells.Tissue(self.extent, self.pixels, self.glands, self.bend, self.maps, flow, growth, hollow)
        nuclear = draw_nuclei(self._nuclei(sheet, necrosis), self.pixels)
        fibres = draw_fibres(self._draw("fibres"), flow, self.maps.depth, self.pixels)
        grain = self._noise("grain", 0.9)
        haematoxylin, eosin = self._ground(fibres, fat, grain)
        cellular = np.maximum(epithelium, growth)
        self._add_cytoplasm(haematoxylin, eosin, cellular, nuclear, grain)
        keep = 1 - lumen
        haematoxylin *= keep
        eosin *= keep
        if necrosis.any():
            clumps = 0.5 * grain + 0.8 * self._noise("clumps", 3.2)
            eosin += necrosis * np.clip(0.62 + 0.12 * clumps - eosin, -1, 1)
            haematoxylin += necrosis * (0.10 + 0.04 * clumps - haematoxylin)
        self._add_nuclei(haematoxylin, eosin, nuclear)
        haematoxylin *= tissue
        eosin *= tissue
        return np.maximum(haematoxylin, 0), np.maximum(eosin, 0)

    def _tissue(self) -> Floats:
        """1 on tissue, 0 on glass, with a ragged outline."""
        margin = self.glass * min(self.extent.h, self.extent.w)
        if margin == 0:
            return np.ones(self.pixels.shape, dtype=np.float32)
        y, x = self.pixels.y, self.pixels.x
        border = np.minimum(
            np.minimum(y, np.float32(self.extent.h) - y)[:, None], np.minimum(x, np.float32(self.extent.w) - x)[None, :]
        )
        outline = SmoothNoise(self._draw("outline"), 2.2 * margin).grid(self.pixels)
        outline += 0.35 * SmoothNoise(self._draw("frays"), 0.4 * margin).grid(self.pixels)
        return np.asarray(np.clip((border - margin - 0.45 * margin * np.clip(outline, -2, 2)) / 2 + 0.5, 0, 1))

    def _growth(self, flow: Flow) -> Floats:
        """Where invasive cells grow: cords along the collagen that join into nests."""
        if self.label != "Invasive":
            return np.zeros(self.pixels.shape, dtype=np.float32)
        strands = draw_strands(self._draw("cords"), flow, 15.0, 58.0, self.pixels)
        nests, fine = self._noise("nests", 48.0), self._noise("cord edges", 13.0)
        return np.asarray(np.clip((0.55 * strands + 0.55 * nests + 0.35 * fine - 0.02) * 3 + 0.5, 0, 1))

    def _epithelium(self) -> tuple[Floats, Floats, Floats]:
        """(epithelium, lumen, necrosis), each (h, w) in 0 to 1."""
        depth, owner = self.maps.depth, self.maps.owner
        inside = np.clip(depth + 0.5, 0, 1)
        if not len(self.glands):
            return inside, np.zeros_like(inside), np.zeros_like(inside)
        filling, wall, width = self.glands.filling[owner], self.glands.wall[owner], self.glands.b[owner]
        wobble = self._noise("apical", 5.0)
        opening = np.clip((depth - wall - 1.2 * wobble) / 1.5 + 0.5, 0, 1) * (filling == Filling.OPEN)
        if self.label != "InSitu":
            return inside, opening * inside, np.zeros_like(inside)
        holes = np.clip((self._noise("holes", 15.0) - 0.75) * 6, 0, 1) * np.clip((depth - 16) / 3, 0, 1)
        lumen = np.maximum(opening, holes * (filling == Filling.CRIBRIFORM))
        core = np.clip((depth - 0.5 * width - 4 * wobble) / 5 + 0.5, 0, 1)
        return inside, lumen * inside, core * (filling == Filling.NECROTIC)

    def _nuclei(self, sheet: cells.Tissue, necrosis: Floats) -> Nuclei:
        """All cells of the slide."""
        recipe = self.recipe
        parts = [cells.stroma_nuclei(sheet, self._draw, recipe.fibroblast_spacing)]
        if recipe.lymphocytes:
            parts.append(cells.lymphocytes(sheet, self._draw, recipe.lymphocytes))
        if self.label in ("Normal", "Benign"):
            parts.append(cells.wall_nuclei(sheet, self._draw, recipe.luminal_size))
        elif self.label == "InSitu":
            parts += [cells.filled_duct_nuclei(sheet, self._draw), cells.debris(sheet, self._draw, necrosis)]
        else:
            parts.append(cells.cord_nuclei(sheet, self._draw))
        return Nuclei.join(*parts)

    def _ground(self, fibres: Fibres, fat: Fat, grain: Floats) -> tuple[Floats, Floats]:
        """Collagen with clefts, basement membranes and fat."""
        depth = self.maps.depth
        patchy = self._noise("patches", 60.0)
        eosin = self.recipe.eosin * (1 + 0.17 * fibres.bundle + 0.2 * fibres.fibril + 0.12 * patchy + 0.06 * grain)
        cleft = np.clip((-fibres.bundle - 1.15 - 0.5 * patchy) * 3, 0, 1)
        eosin *= 1 - 0.85 * cleft
        loose = np.exp(np.minimum(depth + 4, 0) / 9) * (0.3 if self.label == "Normal" else 0.12)
        eosin *= 1 - loose
        haematoxylin: Floats = np.asarray(0.05 + 0.025 * fibres.bundle + 0.12 * loose, dtype=np.float32)
        membrane = np.exp(-(((depth + 0.6) / 1.1) ** 2))
        eosin += 0.22 * membrane
        if fat.inside.any():
            eosin += fat.inside * (0.34 * fat.wall + 0.012 - eosin)
            haematoxylin += fat.inside * (0.06 * fat.wall - haematoxylin)
        return haematoxylin, eosin

    def _add_cytoplasm(
        self, haematoxylin: Floats, eosin: Floats, cellular: Floats, nuclear: NuclearMaps, grain: Floats
    ) -> None:
        """Replace the ground by cell bodies where there is epithelium or tumour, in place."""
        bodies = 0.72 + 0.28 * np.minimum(2.5 * nuclear.cell, 1) if self.label in ("InSitu", "Invasive") else 1.0
        eosin += cellular * ((0.36 + 0.05 * grain) * bodies - eosin)
        haematoxylin += cellular * ((0.26 + 0.05 * grain) * bodies - haematoxylin)

    def _add_nuclei(self, haematoxylin: Floats, eosin: Floats, nuclear: NuclearMaps) -> None:
        """Lay the nuclei with their chromatin over everything, in place."""
        chromatin = 1 + 0.16 * self._noise("chromatin", 0.7) + 0.1 * self._noise("clots", 1.5)
        haematoxylin *= 1 - nuclear.cover
        haematoxylin += nuclear.dye * chromatin
        eosin *= 1 - 0.45 * nuclear.cover
