"""Embeddings of real files in a store: written, stopped and taken up, read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from infbrush_wsi.conditioning.encoders import EmbeddingStore, EncoderRecord, load_encoder, write_embeddings
from infbrush_wsi.conditioning.layout import embedding_grid
from infbrush_wsi.errors import ConditionError, ConfigError, DatasetError, OutputError, OutputExistsError, RegionError
from infbrush_wsi.sources import Collection, collect, open_source

RNG = np.random.default_rng(7)
MPP, SIDE = 0.5, 32


class MeanColour:
    """The mean colour of a tile: easily known by other ways. Counts what it is given, and may be stopped."""

    def __init__(self, stop_after: int | None = None, scale: float = 1.0) -> None:
        self.record = EncoderRecord("mean", "0" * 64, 3, (0.0,) * 3, (1.0,) * 3)
        self.tiles, self.stop_after, self.scale = 0, stop_after, scale

    def __call__(self, patches: np.ndarray) -> np.ndarray:
        if self.stop_after is not None and self.tiles >= self.stop_after:
            raise KeyboardInterrupt
        self.tiles += len(patches)
        return patches.mean((1, 2), dtype=np.float32) * np.float32(self.scale)


def picture(path: Path, shape: tuple[int, int], holes: tuple[slice, ...] = ()) -> np.ndarray:
    """A PNG of coloured noise; `holes` are transparent."""
    pixels = RNG.integers(0, 256, (*shape, 4), dtype=np.uint8)
    pixels[..., :3] = pixels[::8, ::8, :3].repeat(8, 0).repeat(8, 1)[: shape[0], : shape[1]]
    pixels[..., 3] = 255
    if holes:
        pixels[holes] = 0
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels[..., :3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes with three pictures; in one of them the left third is not there."""
    folder = tmp_path_factory.mktemp("pictures")
    picture(folder / "Benign" / "a.png", (160, 224))
    picture(folder / "Benign" / "b.png", (150, 210), (slice(None), slice(0, 64)))
    picture(folder / "Invasive" / "c.png", (96, 640))
    return folder


@pytest.fixture
def collection(folder: Path) -> Collection:
    return collect([folder], labels="folder", mpp=MPP)


@pytest.fixture(scope="module")
def store(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    out = tmp_path_factory.mktemp("store") / "embeddings.zarr"
    return write_embeddings(
        collect([folder], labels="folder", mpp=MPP), MeanColour(), out, spacing=MPP, tile=SIDE, batch=4
    )


def pixels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(next(folder.rglob(name))).convert("RGB")).astype(np.float64)


def test_each_cell_has_the_embedding_of_its_tile(store: EmbeddingStore, folder: Path) -> None:
    found = store.grid("a.png")
    expected = pixels(folder, "a.png").reshape(5, SIDE, 7, SIDE, 3).mean((1, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    slide = store.slide("a.png")
    assert (slide.label, slide.rows, slide.columns, slide.embedded) == ("Benign", 5, 7, 35)
    assert (slide.width, slide.height) == (112.0, 80.0)
    assert slide.transform == (16.0, 0.0, 0.0, 0.0, 16.0, 0.0)
    assert slide.key == open_source(folder / "Benign" / "a.png").fingerprint
    assert (store.settings.cell, store.settings.unit, store.classes) == (16.0, "micrometer", ("Benign", "Invasive"))


def test_tiles_without_anything_in_them_are_marked_and_not_embedded(store: EmbeddingStore) -> None:
    present = store.present("b.png")
    np.testing.assert_array_equal(present, np.arange(7)[None] >= 2 + np.zeros((5, 1)))
    np.testing.assert_array_equal(np.isfinite(store.grid("b.png")), present[..., None].repeat(3, 2))
    assert store.slide("b.png").embedded == present.sum()


def test_it_is_what_the_layouts_make_of_the_image_themselves(folder: Path, tmp_path: Path) -> None:
    encoder, images = load_encoder(), collect([folder / "Invasive"], mpp=MPP)
    store = write_embeddings(images, encoder, tmp_path / "e.zarr", spacing=1.0, tile=48, stride=40)
    source = open_source(folder / "Invasive" / "c.png", mpp=MPP)
    theirs = embedding_grid(source, encoder, cell=40.0, patch=48, spacing=1.0)
    ours = store.layout("c.png")
    np.testing.assert_array_equal(ours.embeddings, theirs.embeddings)
    assert ours == theirs


def test_means_are_weighted_by_area(store: EmbeddingStore) -> None:
    values = store.grid("b.png").astype(np.float64)
    fine = values.repeat(16, 0).repeat(16, 1)  # a micrometre a pixel
    for x, y, w, h in [(40, 3, 50, 60), (20, 10, 17, 5), (33, 0, 1, 80), (-10, -10, 200, 200), (90, 70, 100, 100)]:
        part = fine[max(y, 0) : y + h, max(x, 0) : x + w]
        expected = np.nanmean(part, axis=(0, 1))
        np.testing.assert_allclose(store.mean("b.png", (x, y), (w, h)), expected, rtol=1e-5)
    assert store.mean("b.png", (0, 0), (32, 80)) is None
    with pytest.raises(RegionError, match=r"outside b\.png"):
        store.mean("b.png", (500, 0), (10, 10))
    with pytest.raises(RegionError, match="positive size"):
        store.mean("b.png", (0, 0), (10, 0))


def test_means_of_unit_vectors_have_length_one(folder: Path, tmp_path: Path) -> None:
    encoder = MeanColour(scale=1 / 255)
    encoder.record = EncoderRecord("mean", "0" * 64, 3, (0.0,) * 3, (1.0,) * 3, unit_length=True)
    images = collect([folder / "Invasive"], mpp=MPP)
    store = write_embeddings(images, encoder, tmp_path / "e.zarr", spacing=MPP, tile=SIDE)
    assert np.linalg.norm(store.mean("c.png", (3, 5), (100, 20))) == pytest.approx(1.0)


def test_regions_of_grids_and_layouts(store: EmbeddingStore) -> None:
    whole = store.grid("c.png")
    np.testing.assert_array_equal(store.grid("c.png", (50, 14), (60, 30)), whole[1:3, 3:7])
    np.testing.assert_array_equal(store.grid("c.png", (160, 0)), whole[:, 10:])
    np.testing.assert_array_equal(store.grid("c.png", (0, 0), (1, 1)), whole[:1, :1])
    with pytest.raises(RegionError, match="outside"):
        store.grid("c.png", (0, 100), (10, 10))
    layout = store.layout("b.png", outside="mirror")
    filled = store.grid("b.png")
    filled[:, :2] = filled[:, 2:3]
    np.testing.assert_array_equal(layout.embeddings, filled)
    assert (layout.cell, layout.outside) == (16.0, "mirror")
    with pytest.raises(ConditionError, match="no tile with tissue"):
        store.layout("b.png", (0, 0), (32, 80))


def test_a_stopped_run_goes_on_where_it_was(collection: Collection, store: EmbeddingStore, tmp_path: Path) -> None:
    out = tmp_path / "e.zarr"
    call = {"spacing": MPP, "tile": SIDE, "stride": 8, "batch": 16}
    with pytest.raises(KeyboardInterrupt):
        write_embeddings(collection, MeanColour(stop_after=720), out, **call)
    with pytest.raises(ConditionError, match="not complete; the call that began it goes on"):
        EmbeddingStore(out)
    assert len(EmbeddingStore(out, partial=True).slides) == 1
    again, seen = MeanColour(), []
    found = write_embeddings(collection, again, out, **call, progress=lambda done, total: seen.append((done, total)))
    once = MeanColour()
    whole = write_embeddings(collection, once, tmp_path / "whole.zarr", **call)
    for slide in whole.slides:
        np.testing.assert_array_equal(found.grid(slide.key), whole.grid(slide.key))
    assert once.tiles - 720 <= again.tiles <= once.tiles - 720 + 256 + 16
    assert found.slides == whole.slides
    assert seen[-1] == (sum(slide.rows * slide.columns for slide in whole.slides),) * 2
    assert seen[0][0] == 560 + 256  # a.png and a block of b.png were there
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert not list(tmp_path.glob(".*"))
    third = MeanColour()
    write_embeddings(collection, third, out, **call)
    assert third.tiles == 0


def test_new_images_are_added(folder: Path, tmp_path: Path) -> None:
    out, encoder = tmp_path / "e.zarr", MeanColour()
    write_embeddings(collect([folder / "Benign"], mpp=MPP), encoder, out, spacing=MPP, tile=SIDE)
    tiles = encoder.tiles
    store = write_embeddings(collect([folder / "Invasive"], mpp=MPP), encoder, out, spacing=MPP, tile=SIDE)
    assert encoder.tiles - tiles == 60
    assert {slide.name for slide in store.slides} == {"a.png", "b.png", "c.png"}


def test_other_settings_and_other_things_are_not_overwritten(
    store: EmbeddingStore, collection: Collection, tmp_path: Path
) -> None:
    with pytest.raises(OutputExistsError, match="other settings: tile 32, not 64; stride 32, not 64"):
        write_embeddings(collection, MeanColour(), store.path, spacing=MPP, tile=64)
    with pytest.raises(OutputExistsError, match=r"the encoder mean \(000000000000\.\.\.\), not statistics"):
        write_embeddings(collection, load_encoder(), store.path, spacing=MPP, tile=SIDE)
    for name in ("file", "folder", "zarr"):
        path = tmp_path / name
        if name == "file":
            path.write_text("mine")
        else:
            path.mkdir()
        if name == "zarr":
            zarr.create_group(str(path))
        before = sorted(path.rglob("*"))
        with pytest.raises(OutputExistsError, match="holds no embeddings"):
            write_embeddings(collection, MeanColour(), path, spacing=MPP, tile=SIDE)
        assert sorted(path.rglob("*")) == before
        with pytest.raises(ConditionError, match="infbrush embed"):
            EmbeddingStore(path)
    assert EmbeddingStore(store.path).slides == store.slides


def test_images_that_cannot_be_used_are_left_out_and_told(folder: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in" / "blank.png", (64, 64), (slice(None), slice(None)))
    (tmp_path / "in" / "copy.png").write_bytes((folder / "Benign" / "a.png").read_bytes())
    (tmp_path / "in" / "copy2.png").write_bytes((folder / "Benign" / "a.png").read_bytes())
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "in" / "grey.png")
    whole = (folder / "Invasive" / "c.png").read_bytes()
    (tmp_path / "in" / "torn.png").write_bytes(whole[: len(whole) // 2])
    images = collect([tmp_path / "in"], mpp=MPP)
    store = write_embeddings(images, MeanColour(), tmp_path / "e.zarr", spacing=MPP, tile=SIDE)
    assert [slide.name for slide in store.slides] == ["copy.png"]
    skipped = {Path(entry["path"]).name: entry["reason"] for entry in zarr.open_group(store.path).attrs["skipped"]}
    assert set(skipped) == {"blank.png", "copy2.png", "grey.png", "torn.png"}
    assert "no tile of" in skipped["blank.png"]
    assert "same pixels as copy.png" in skipped["copy2.png"]
    assert "1 bands" in skipped["grey.png"]


def test_nothing_is_left_of_a_call_that_embeds_nothing(tmp_path: Path, collection: Collection) -> None:
    picture(tmp_path / "in" / "blank.png", (64, 64), (slice(None), slice(None)))
    out = tmp_path / "e.zarr"
    with pytest.raises(DatasetError, match=r"(?s)no image can be embedded.*blank\.png: no tile of"):
        write_embeddings(collect([tmp_path / "in"], mpp=MPP), MeanColour(), out, spacing=MPP, tile=SIDE)
    with pytest.raises(DatasetError, match="physical pixel size"):
        write_embeddings(collect([tmp_path / "in"]), MeanColour(), out, spacing=MPP, tile=SIDE)
    with pytest.raises(ConditionError, match="too large for float16"):
        write_embeddings(collection, MeanColour(scale=1e3), out, spacing=MPP, tile=SIDE, dtype="float16")
    with pytest.raises(ConditionError, match=r"finite numbers \(32, 3\)"):
        write_embeddings(collection, MeanColour(scale=np.nan), out, spacing=MPP, tile=SIDE)
    for bad, message in (
        ({"spacing": 0}, "pixel size"), ({"min_tissue": 0}, "min_tissue"), ({"dtype": "int8"}, "int8"),
        ({"batch": 0}, "batch"), ({"stride": 0}, "stride"), ({"tile": 0}, "tile"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            write_embeddings(collection, MeanColour(), out, **{"spacing": MPP, "tile": SIDE} | bad)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot be written"):
        write_embeddings(collection, MeanColour(), tmp_path / "none" / "e.zarr", spacing=MPP, tile=SIDE)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_two_calls_at_once_are_refused(collection: Collection, tmp_path: Path) -> None:
    class Intruder(MeanColour):
        def __call__(self, patches: np.ndarray) -> np.ndarray:
            with pytest.raises(OutputError, match="another process writes"):
                write_embeddings(collection, MeanColour(), tmp_path / "e.zarr", spacing=MPP, tile=SIDE)
            return super().__call__(patches)

    write_embeddings(collection, Intruder(), tmp_path / "e.zarr", spacing=MPP, tile=SIDE)


def test_samples_are_tiles_of_the_data_and_follow_from_the_seed(store: EmbeddingStore) -> None:
    tiles = {name: store.grid(name)[store.present(name)] for name in ("a.png", "b.png", "c.png")}
    everything = np.concatenate(list(tiles.values()))
    found = store.sample(1, 40)
    np.testing.assert_array_equal(found, store.sample(1, 40))
    assert not np.array_equal(found, store.sample(2, 40))
    known = {tuple(row) for row in everything.tolist()}
    assert {tuple(row) for row in found.tolist()} <= known
    every = store.sample(0, len(everything))
    np.testing.assert_array_equal(np.unique(every, axis=0), np.unique(everything, axis=0))
    invasive = {tuple(row) for row in tiles["c.png"].tolist()}
    assert {tuple(row) for row in store.sample(3, 90, "invasive").tolist()} <= invasive  # more than there are
    assert store.sample(0, 0).shape == (0, 3)
    with pytest.raises(ConditionError, match=r"Necrosis.*Benign, Invasive"):
        store.sample(0, 1, "Necrosis")
    with pytest.raises(ConfigError, match="not be negative"):
        store.sample(-1, 1)


def test_it_pickles_as_its_path_and_knows_its_images(store: EmbeddingStore) -> None:
    other = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(other.grid("a.png"), store.grid("a.png"))
    assert len(pickle.dumps(store)) < 500
    with pytest.raises(ConditionError, match=r"no image 'd\.png'; it holds "):
        store.slide("d.png")


def test_damaged_stores_are_told(store: EmbeddingStore, tmp_path: Path) -> None:
    import shutil

    for key, value in (("settings", {"tile": 3}), ("infbrush_embeddings", 2), ("settings", None)):
        copy = tmp_path / f"{key}{value}.zarr"
        shutil.copytree(store.path, copy)
        zarr.open_group(copy).attrs[key] = value
        with pytest.raises(ConditionError, match=r"damaged|of this version"):
            EmbeddingStore(copy)


def test_images_of_one_name_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    for number in "12":
        picture(tmp_path / number / "x.png", (64, 64))
    store = write_embeddings(
        collect([tmp_path / "1", tmp_path / "2"], mpp=MPP), MeanColour(), tmp_path / "e.zarr", spacing=MPP, tile=SIDE
    )
    with pytest.raises(ConditionError, match=r"2 images named 'x\.png'; name one by its key"):
        store.grid("x.png")
    first, second = (store.grid(slide.key) for slide in store.slides)
    assert not np.array_equal(first, second)
