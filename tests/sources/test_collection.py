from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.errors import DatasetError, OutputError
from infbrush_wsi.sources import Collection, Item, collect

CLASSES = ("Benign", "InSitu", "Invasive", "Normal")


@pytest.fixture
def bach(tmp_path: Path, make: Any) -> Path:
    """The layout of BACH: Photos/<Class>/*.tif and things that are no images."""
    root = tmp_path / "Photos"
    for index, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(3):
            pixels = make.texture(60, 80, seed=10 * index + number)
            Image.fromarray(pixels).save(root / name / f"{name[0].lower()}{index}{number}.tif")
        (root / name / "Thumbs.db").write_bytes(b"x")
    (root / "microscopy_ground_truth.csv").write_text("n001.tif,Normal\n")
    Image.fromarray(make.texture(60, 80)).save(root / "loose.png")
    return root


def test_folders_give_the_classes(bach: Path) -> None:
    for root in (bach, bach.parent):
        found = collect([root], labels="folder")
        assert found.classes[:4] == CLASSES
        labels = [item.label for item in found.items if Path(item.path).stem != "loose"]
        assert labels == sorted(name for name in CLASSES for _ in range(3))
        assert all(Path(item.path).parent.name == item.label for item in found.items)
    assert [Path(entry.path).name for entry in collect([bach], labels="folder").skipped] == ["loose.png"]
    assert len(collect([bach], labels="none").items) == 13
    assert collect([bach], labels="none").classes == ()


def test_single_files_and_zarr_directories(tmp_path: Path, make: Any) -> None:
    writer = pytest.importorskip("ome_zarr.writer")
    (tmp_path / "data" / "deep").mkdir(parents=True)
    writer.write_image(
        make.texture(64, 64).transpose(2, 0, 1), str(tmp_path / "data" / "deep" / "a.ome.zarr"), axes="cyx"
    )
    Image.fromarray(make.texture(64, 64)).save(tmp_path / "one.png")
    found = collect([tmp_path / "one.png", tmp_path / "data"])
    assert [Path(item.path).name for item in found.items] == ["one.png", "a.ome.zarr"]
    assert len(collect([tmp_path / "one.png", tmp_path / "one.png"]).items) == 1


def test_groups(tmp_path: Path, make: Any) -> None:
    for name in ("17915_010", "17915_011", "5287_007"):
        Image.fromarray(make.texture(32, 32)).save(tmp_path / f"{name}.jpg")
    assert collect([tmp_path]).groups == ("17915_010", "17915_011", "5287_007")
    assert collect([tmp_path], group_pattern=r"^(\d+)_").groups == ("17915", "5287")
    assert collect([tmp_path], group_pattern=r"^\d+").groups == ("17915", "5287")
    with pytest.raises(DatasetError, match="matches nothing"):
        collect([tmp_path], group_pattern=r"patient(\d+)")
    with pytest.raises(DatasetError, match="no regular expression"):
        collect([tmp_path], group_pattern=r"(")


def test_a_table(bach: Path) -> None:
    table = bach.parent / "labels.csv"
    table.write_text(
        "\ufeffpath, label,group,mpp\n"
        "Photos/Benign/b00.tif,B,p1,0.42\n"
        "Benign/b01.tif,B,p1,\n"
        "Photos/Normal/n30.tif,N,,0.5\n"
        "Photos/Normal/gone.tif,N,p9,0.5\n",
        encoding="utf-8",
    )
    found = collect([bach], labels=table, mpp=0.25)
    rows = {Path(item.path).name: (item.label, item.group, item.mpp) for item in found.items}
    assert rows == {"b00.tif": ("B", "p1", 0.42), "b01.tif": ("B", "p1", 0.25), "n30.tif": ("N", "n30", 0.5)}
    reasons = {Path(entry.path).name: entry.reason for entry in found.skipped}
    assert "no such file" in reasons["gone.tif"]
    assert reasons["i10.tif"] == "not listed in the label table"
    alone = collect([], labels=table)
    assert [Path(item.path).name for item in alone.items] == ["b00.tif", "n30.tif"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,x\n", "lacks the column path"),
        ("", "no header"),
        ("path,label\n", "no lines"),
        ("path,label,mpp\na.png,x,fine\n", "line 2 .* mpp 'fine'"),
        ("path,label,mpp\na.png,x,-1\n", "positive"),
        ("path,label\n,x\n", "line 2 .* no path"),
        ("path,label\na.png,x\na.png,y\n", "line 3 .* contradicts"),
    ],
)
def test_bad_tables_are_named_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        collect([tmp_path], labels=tmp_path / "t.csv")


def test_tables_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        collect([tmp_path], labels=tmp_path / "nothing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DatasetError, match="cannot be read"):
        collect([tmp_path], labels=tmp_path / "binary.csv")


def test_empty_data_sets_say_why(tmp_path: Path, bach: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"empty can be read; known are .*\.svs"):
        collect([tmp_path / "empty"])
    with pytest.raises(DatasetError, match="nothing at"):
        collect([tmp_path / "nowhere"])
    with pytest.raises(DatasetError, match=r"(?s)12 skipped.*n30|12 skipped.*physical pixel size"):
        collect([bach / name for name in CLASSES], labels="none").check(spacing=0.5)


def test_check_drops_what_cannot_be_used(bach: Path, make: Any, tmp_path: Path) -> None:
    folder = bach / "Normal"
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 50)
    (folder / "empty.jpg").write_bytes(b"")
    Image.fromarray(make.texture(64, 64)[:20]).save(folder / "small.png")
    Image.fromarray(make.texture(64, 64)[..., 0]).save(folder / "gray.png")
    cut = folder / "cut.jpg"
    Image.fromarray(make.texture(300, 300)).save(cut)
    cut.write_bytes(cut.read_bytes()[:2000])
    Image.new("RGBA", (64, 64)).save(folder / "clear.png")
    checked = collect([bach], labels="folder", mpp=0.42).check(spacing=0.84, min_shape=(16, 16))
    assert len(checked.items) == 12
    reasons = {Path(entry.path).name: entry.reason for entry in checked.skipped}
    assert set(reasons) == {"loose.png", "broken.png", "empty.jpg", "small.png", "gray.png", "cut.jpg", "clear.png"}
    assert "10 x 32 pixels" in reasons["small.png"]
    assert "1 channels (gray), where the data set has 3" in reasons["gray.png"]
    assert "is empty" in reasons["empty.jpg"]
    assert "truncated" in reasons["cut.jpg"]
    assert "background" in reasons["clear.png"]


def test_a_missing_pixel_size_is_a_reason(bach: Path) -> None:
    table = bach.parent / "labels.csv"
    table.write_text("path,label,mpp\nPhotos/Benign/b00.tif,B,0.42\nPhotos/Benign/b01.tif,B,\n")
    checked = collect([], labels=table).check(spacing=0.84)
    assert [Path(item.path).name for item in checked.items] == ["b00.tif"]
    assert "mpp=" in checked.skipped[0].reason


def test_a_blank_slide_is_skipped(tmp_path: Path, make: Any) -> None:
    pytest.importorskip("openslide")
    tissue = make.texture(256, 256)
    make.slide(tmp_path / "tissue.tif", [tissue])
    make.slide(tmp_path / "blank.tif", [np.full_like(tissue, 244)])
    checked = collect([tmp_path]).check(spacing=1.0)
    assert [Path(item.path).name for item in checked.items] == ["tissue.tif"]
    assert "no tissue" in checked.skipped[0].reason


def test_the_manifest_is_written_whole_or_not_at_all(bach: Path, tmp_path: Path) -> None:
    found = collect([bach], labels="folder", mpp=0.42)
    found.write_manifest(tmp_path / "manifest.json")
    read = json.loads((tmp_path / "manifest.json").read_text())
    assert read["classes"] == list(CLASSES)
    assert read["counts"] == dict.fromkeys(CLASSES, 3)
    assert len({item["fingerprint"] for item in read["items"]}) == 12
    assert read["items"][0]["mpp"] == 0.42
    assert "class folder" in read["skipped"][0]["reason"]
    with pytest.raises(OutputError):
        found.write_manifest(tmp_path / "no" / "manifest.json")
    gone = Collection((*found.items, Item(str(tmp_path / "gone.png"))))
    with pytest.raises(OutputError, match="gone"):
        gone.write_manifest(tmp_path / "other.json")
    assert sorted(path.name for path in tmp_path.glob("*.json*")) == ["manifest.json"]


def test_a_dicom_slide_counts_once(tmp_path: Path) -> None:
    (tmp_path / "slide").mkdir()
    for name in ("a", "b", "c"):
        (tmp_path / "slide" / f"{name}.dcm").write_bytes(b"x")
    found = collect([tmp_path])
    assert [Path(item.path).name for item in found.items] == ["a.dcm"]
    assert all("DICOM" in entry.reason for entry in found.skipped)


@pytest.mark.shared_data
def test_real_tiles_by_patient(shared: Any) -> None:
    found = collect([shared("hne/breakhis_200x_224")], labels="folder", mpp=0.46, group_pattern=r"^([^_]+)_")
    assert len(found.items) == 639
    assert len(found.classes) == 8
    assert 10 < len(found.groups) < 100
    some = Collection(found.items[::40]).check(spacing=0.92, min_shape=(100, 100), channels=3)
    assert (len(some.items), some.skipped) == (16, ())
