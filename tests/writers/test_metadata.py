"""What the OME block says: axes, units, physical place of every level, colours."""

import json

import pytest
from affine import Affine

from infbrush_wsi.domain import Lattice, Shape
from infbrush_wsi.writers.image import ImageMeta, name_channels
from infbrush_wsi.writers.layout import StoreLayout
from infbrush_wsi.writers.metadata import coordinate_transformations, ome_attributes

SLIDE = Lattice.regular(Shape(400, 600), 0.5)
TIATOOLBOX_CHANNEL_KEYS = {"active", "coefficient", "color", "family", "inverted", "label", "window"}


def meta(lattice=SLIDE, count=3, names=None):
    return ImageMeta("a slide", lattice, name_channels(count, names))


def test_version_04_has_the_version_in_the_multiscale_and_no_ome_key():
    attributes = ome_attributes(meta(), StoreLayout("0.4"), 2)
    assert set(attributes) == {"multiscales", "omero"}
    assert attributes["multiscales"][0]["version"] == "0.4"
    assert attributes["omero"]["version"] == "0.4"


def test_version_05_has_everything_under_ome_and_one_version():
    attributes = ome_attributes(meta(), StoreLayout("0.5"), 2)
    assert set(attributes) == {"ome"}
    assert attributes["ome"]["version"] == "0.5"
    assert "version" not in attributes["ome"]["multiscales"][0]


def test_attributes_are_json():
    for version in ("0.4", "0.5"):
        attributes = ome_attributes(meta(), StoreLayout(version), 3)
        assert json.loads(json.dumps(attributes)) == attributes


@pytest.mark.parametrize(("layout", "paths"), [("flat", ["0", "1"]), ("nested", ["0/image", "1/image"])])
def test_paths_follow_the_layout(layout, paths):
    datasets = ome_attributes(meta(), StoreLayout("0.5", layout), 2)["ome"]["multiscales"][0]["datasets"]
    assert [dataset["path"] for dataset in datasets] == paths


@pytest.mark.parametrize(
    ("unit", "written"), [("micrometer", "micrometer"), ("meter", "meter"), ("degree", None), ("pixel", None)]
)
def test_units_are_written_if_they_are_lengths(unit, written):
    lattice = Lattice.regular(Shape(4, 4), 1.0, unit)
    c, y, x = ome_attributes(meta(lattice), StoreLayout(), 1)["ome"]["multiscales"][0]["axes"]
    assert c == {"name": "c", "type": "channel"}
    assert (y.get("unit"), x.get("unit")) == (written, written)


@pytest.mark.parametrize("number", range(5))
def test_a_level_covers_the_pixels_below_it(number):
    """The centre of its first pixel is the mean of the centres of the 2**k level-0 pixels below it."""
    lattice = Lattice(Shape(64, 64), Affine(0.25, 0, 100.0, 0, 0.5, 300.0))
    fine, coarse = (coordinate_transformations(lattice, k) for k in (0, number))
    for axis, spacing, corner in ((1, 0.5, 300.0), (2, 0.25, 100.0)):
        scale, translation = coarse[0]["scale"][axis], coarse[1]["translation"][axis]
        assert scale == spacing * 2**number
        below = [fine[1]["translation"][axis] + spacing * i for i in range(2**number)]
        assert translation == pytest.approx(sum(below) / len(below))
        assert fine[1]["translation"][axis] == corner
    assert coarse[0]["scale"][0] == 1.0
    assert coarse[1]["translation"][0] == 0.0


def test_a_raster_whose_y_runs_upwards_starts_from_zero_with_positive_scale():
    lattice = Lattice(Shape(64, 64), Affine(2.0, 0, 5e5, 0, -2.0, 5e6), "meter", "EPSG:26914")
    scale, translation = coordinate_transformations(lattice, 1)
    assert scale == {"type": "scale", "scale": [1.0, 4.0, 4.0]}
    assert translation == {"type": "translation", "translation": [0.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("count", "names", "colours"),
    [
        (1, ["Intensity"], ["FFFFFF"]),
        (2, ["Band 1", "Band 2"], ["00FF00", "FF00FF"]),
        (3, ["Red", "Green", "Blue"], ["FF0000", "00FF00", "0000FF"]),
        (4, ["Red", "Green", "Blue", "Band 4"], ["FF0000", "00FF00", "0000FF", "00FF00"]),
    ],
)
def test_channels_have_names_and_colours_by_number(count, names, colours):
    omero = ome_attributes(meta(count=count), StoreLayout("0.4"), 1)["omero"]
    assert [channel["label"] for channel in omero["channels"]] == names
    assert [channel["color"] for channel in omero["channels"]] == colours
    assert omero["rdefs"]["model"] == ("greyscale" if count == 1 else "color")


def test_named_channels_keep_their_colours_and_only_three_are_shown():
    omero = ome_attributes(meta(count=5, names=["NIR", "red", "green", "blue", "swir"]), StoreLayout(), 1)["ome"][
        "omero"
    ]
    assert [channel["color"] for channel in omero["channels"]] == ["FF00FF", "FF0000", "00FF00", "0000FF", "00FF00"]
    assert [channel["active"] for channel in omero["channels"]] == [True, True, True, False, False]


def test_channels_hold_only_what_tiatoolbox_accepts():
    omero = ome_attributes(meta(count=12), StoreLayout("0.4"), 1)["omero"]
    assert all(set(channel) <= TIATOOLBOX_CHANNEL_KEYS for channel in omero["channels"])
    assert set(omero["rdefs"]) == {"defaultT", "defaultZ", "model"}
