"""Grids of embeddings: bilinear as scipy has it, made from a real image, rearranged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from infbrush_wsi.conditioning.layout import EmbeddingGrid, embedding_grid, label_map, rearranged, uniform
from infbrush_wsi.conditioning.layout.raster import RasterLayout
from infbrush_wsi.domain import Box, Lattice, Shape
from infbrush_wsi.errors import ConditionError, ConfigError, MissingMppError
from infbrush_wsi.sources import ArraySource, Source

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(6, 9, 4)).astype(np.float32)


def blended(grid: EmbeddingGrid, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    indices, weights = grid.weights(y, x)
    return weights @ grid.conditions.array[indices]


@pytest.mark.parametrize(("outside", "mode"), [("edge", "nearest"), ("wrap", "grid-wrap"), ("mirror", "reflect")])
def test_it_is_bilinear_between_the_middles_of_cells(outside: str, mode: str) -> None:
    grid = EmbeddingGrid(VALUES, 32.0, outside)  # type: ignore[arg-type]
    y, x = RNG.uniform(-150, 350, 40), RNG.uniform(-300, 600, 50)
    at = np.meshgrid(y / 32 - 0.5, x / 32 - 0.5, indexing="ij")
    expected = [ndimage.map_coordinates(VALUES[..., k].astype(float), at, order=1, mode=mode) for k in range(4)]
    np.testing.assert_allclose(blended(grid, y, x), np.stack(expected, axis=-1), atol=3e-6)


def test_conditions_are_the_cells_row_by_row_and_tuples_on_demand() -> None:
    grid = EmbeddingGrid(VALUES, 1.0)
    assert len(grid.conditions) == 54
    assert grid.conditions[10] == tuple(VALUES[1, 1].tolist())
    assert grid.conditions[-1] == tuple(VALUES[5, 8].tolist())
    assert grid.conditions[1:3] == (tuple(VALUES[0, 1].tolist()), tuple(VALUES[0, 2].tolist()))
    assert np.shares_memory(grid.conditions.array, grid.embeddings)
    with pytest.raises(ValueError, match="read-only"):
        grid.embeddings[0] = 0
    assert VALUES.flags.writeable


@pytest.mark.parametrize(
    "bad", [VALUES[0], VALUES[:0], np.full((2, 2, 1), np.nan), [[["a"]]], [[1], [1, 2]], np.full((1, 1, 1), 1e39)]
)
def test_arrays_that_are_no_grid_are_refused(bad: object) -> None:
    with np.errstate(over="ignore"), pytest.raises(ConditionError, match="embedding grid"):
        EmbeddingGrid(bad, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ConditionError, match="outside must be edge, wrap, mirror"):
        EmbeddingGrid(VALUES, 1.0, "zero")  # type: ignore[arg-type]


class MeanColour:
    """A real, if simple, encoder that remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        assert patches.dtype == np.uint8
        self.batches.append(patches.shape)
        return patches.mean(axis=(1, 2), dtype=np.float32)


def checked_image(cells: tuple[int, int], side: int, mpp: float = 0.5) -> tuple[Source, np.ndarray]:
    colours = RNG.integers(0, 256, (*cells, 3), dtype=np.uint8)
    return ArraySource(np.kron(colours, np.ones((side, side, 1), np.uint8)), mpp=mpp), colours


def test_a_grid_of_an_image_has_the_cells_colours() -> None:
    source, colours = checked_image((5, 7), 40)
    encoder = MeanColour()
    grid = embedding_grid(source, encoder, cell=20.0, patch=16, spacing=0.5, batch=8)
    np.testing.assert_array_equal(grid.embeddings, colours)
    assert grid.cell == 20.0
    assert encoder.batches == [(8, 16, 16, 3)] * 4 + [(3, 16, 16, 3)]
    coarse = embedding_grid(source, encoder, cell=20.0, patch=4, spacing=2.0)
    np.testing.assert_allclose(coarse.embeddings, colours, atol=1.0)


def test_patches_lie_in_the_middle_of_their_cells() -> None:
    ramp = np.stack(np.broadcast_arrays(np.arange(120)[:, None], np.arange(200), 0), axis=-1).astype(np.uint8)
    grid = embedding_grid(ArraySource(ramp, mpp=0.5), MeanColour(), cell=10.0, patch=8, spacing=0.5)
    rows, columns = 20.0 * np.arange(6) + 9.5, 20.0 * np.arange(10) + 9.5  # index of a pixel = its centre - 0.5
    np.testing.assert_array_equal(grid.embeddings[..., 0], np.broadcast_to(rows[:, None], (6, 10)))
    np.testing.assert_array_equal(grid.embeddings[..., 1], np.broadcast_to(columns, (6, 10)))


def test_half_a_cell_at_the_edge_is_a_cell_and_patches_are_mirrored_there() -> None:
    source, colours = checked_image((2, 3), 40)
    grid = embedding_grid(source, MeanColour(), cell=25.0, patch=30, spacing=0.5)
    assert grid.embeddings.shape == (2, 3, 3)
    # The last column's middle lies beyond the image, which is mirrored there.
    np.testing.assert_array_equal(grid.embeddings[:, 2], colours[:, 2])
    whole = embedding_grid(source, MeanColour(), cell=1000.0, patch=400, spacing=0.5)
    assert whole.embeddings.shape == (1, 1, 3)
    exact = embedding_grid(source, MeanColour(), cell=20.0 * (1 - 1e-12), patch=4, spacing=0.5)
    np.testing.assert_array_equal(exact.embeddings, colours)


def test_a_raster_is_measured_in_its_own_unit_or_a_length() -> None:
    pixels = np.kron(RNG.integers(0, 256, (2, 2, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    metres = ArraySource(pixels, lattice=Lattice.regular(Shape(16, 16), 0.5, "meter"))
    own = embedding_grid(metres, MeanColour(), cell=4.0, patch=4, spacing=0.5, unit="meter")
    micro = embedding_grid(metres, MeanColour(), cell=4e6, patch=4, spacing=0.5e6)
    np.testing.assert_array_equal(own.embeddings, pixels[::8, ::8])
    np.testing.assert_array_equal(own.embeddings, micro.embeddings)
    degrees = ArraySource(pixels, lattice=Lattice.regular(Shape(16, 16), 1e-5, "degree"))
    with pytest.raises(ConfigError, match="unit='degree'"):
        embedding_grid(degrees, MeanColour(), cell=4.0, patch=4, spacing=0.5)
    assert embedding_grid(degrees, MeanColour(), cell=8e-5, patch=4, spacing=1e-5, unit="degree").cell == 8e-5


def test_sources_encoders_and_arguments_that_do_not_fit() -> None:
    source, _ = checked_image((2, 2), 16)
    with pytest.raises(MissingMppError, match="physical pixel size"):
        embedding_grid(ArraySource(np.zeros((9, 9, 3), np.uint8)), MeanColour(), cell=1.0, patch=4, spacing=0.5)
    with pytest.raises(ConditionError, match=r"cells of 0\.001"):
        embedding_grid(source, MeanColour(), cell=0.001, patch=4, spacing=0.5)
    with pytest.raises(ConditionError, match="pixel size of patches"):
        embedding_grid(source, MeanColour(), cell=8.0, patch=4, spacing=-1.0)
    with pytest.raises(ConfigError, match="patch and batch"):
        embedding_grid(source, MeanColour(), cell=8.0, patch=0, spacing=0.5)
    for wrong in (
        lambda patches: patches,
        lambda patches: patches.mean(axis=(1, 2))[:1],
        lambda patches: np.full((len(patches), 2), np.nan),
        lambda patches: ["a"] * len(patches),
    ):
        with pytest.raises(ConditionError, match="the encoder made an array"):
            embedding_grid(source, wrong, cell=8.0, patch=4, spacing=0.5)
    widths = iter([2, 3, 4, 5])
    with pytest.raises(ConditionError, match="different widths"):
        embedding_grid(source, lambda p: np.ones((len(p), next(widths))), cell=8.0, patch=4, spacing=0.5, batch=1)


def rows(grid: EmbeddingGrid) -> list[tuple[float, ...]]:
    return sorted(grid.conditions)  # type: ignore[arg-type, type-var]


@pytest.mark.parametrize("how", ["shift", "flip", "shuffle"])
def test_rearranging_keeps_the_embeddings_and_follows_the_seed(how: str) -> None:
    grid = EmbeddingGrid(RNG.normal(size=(6, 6, 4)), 5.0, "wrap")
    made = [rearranged(grid, seed, how) for seed in range(20)]  # type: ignore[arg-type]
    assert all(rows(each) == rows(grid) for each in made)
    assert all((each.cell, each.outside) == (5.0, "wrap") for each in made)
    assert len({each.token for each in made}) >= (5 if how == "flip" else 12)
    assert [rearranged(grid, seed, how) for seed in range(20)] == made  # type: ignore[arg-type]


def test_a_shift_is_a_roll_and_a_flip_of_an_oblong_stays_oblong() -> None:
    grid = EmbeddingGrid(VALUES, 1.0)
    shifted = rearranged(grid, 3, "shift").embeddings
    rolls = [np.roll(VALUES, (i, j), axis=(0, 1)) for i in range(6) for j in range(9)]
    assert sum(np.array_equal(shifted, each) for each in rolls) == 1
    flips = [VALUES[::a, ::b] for a in (1, -1) for b in (1, -1)]
    for seed in range(10):
        flipped = rearranged(grid, seed, "flip").embeddings
        assert sum(np.array_equal(flipped, each) for each in flips) == 1
    with pytest.raises(ConditionError, match="shift, flip, shuffle"):
        rearranged(grid, 0, "turn")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="negative"):
        rearranged(grid, -1)


def test_labels_number_conditions_from_one_and_nothing_is_zero() -> None:
    values = np.array([[0, 1, 2, 3]])
    layout = RasterLayout(values, {1: "Tumor", 2: None, 3: [1.0]}, 1.0)
    labels = label_map(layout)
    np.testing.assert_array_equal(labels.read(Box(-1, 0, 5, 1)), [[0, 0, 1, 0, 2]])
    assert labels.names == {1: "Tumor", 2: "embedding 2"}
    assert labels.dtype == "uint8"
    assert label_map(uniform(None)).names == {}
    named = label_map(RasterLayout(values, {1: "Tumor", 2: None, 3: [1.0]}, 1.0, background="Glass"))
    np.testing.assert_array_equal(named.read(Box(0, 0, 4, 1)), [[1, 2, 0, 3]])


@pytest.mark.parametrize(("cells", "dtype"), [(255, "uint8"), (256, "uint16"), (65_535, "uint16"), (65_536, "int32")])
def test_labels_are_as_wide_as_they_must_be(cells: int, dtype: str) -> None:
    labels = label_map(EmbeddingGrid(np.zeros((1, cells, 1)), 1.0))
    assert labels.dtype == dtype
    assert labels.read(Box(cells - 1, 0, 1, 1))[0, 0] == cells
    assert len(labels.names) == (cells if cells <= 1024 else 0)
