"""How a configuration comes together."""

from __future__ import annotations

import pytest

from infbrush_wsi.cli.options import numbers, size
from infbrush_wsi.cli.settings import default_labels, merged
from infbrush_wsi.errors import ConfigError


def test_options_come_before_the_file_and_settings_before_options():
    base = {"optim": {"steps": 10, "batch": 4}, "data": None}
    options = {"optim.steps": 20, "optim.batch": None, "data.window": 64}
    values = merged(base, options, ["optim.steps=30", "record.preview_every=5", "data.mpp=[0.5, 1]"])
    assert values == {
        "optim": {"steps": 30, "batch": 4},
        "data": {"window": 64, "mpp": [0.5, 1]},
        "record": {"preview_every": 5},
    }


def test_a_setting_can_take_a_value_away():
    values = merged({"optim": {"minutes": 2}}, {"optim.minutes": None}, ["optim.learning_rate=null"])
    assert values == {"optim": {"minutes": 2, "learning_rate": None}}


@pytest.mark.parametrize("text", ["optim.decay", "decay=1", "optim.=1", ".x=1", "optim.decay=[1"])
def test_a_malformed_setting_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        merged({}, {}, [text])


@pytest.mark.parametrize(("text", "expected"), [("4096x2048", (4096, 2048)), ("64", (64, 64)), ("8X4", (8, 4))])
def test_sizes(text, expected):
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "x", "10x", "axb", "1.5x2", "10,10"])
def test_wrong_sizes(text):
    with pytest.raises(ConfigError, match="--size"):
        size(text)


def test_numbers():
    assert numbers("0.5,1", "--mpp") == (0.5, 1.0)
    assert numbers(None, "--mpp") is None
    with pytest.raises(ConfigError, match="--bands"):
        numbers("1;2", "--bands")


def test_folders_are_classes_only_if_all_images_lie_in_two_of_them(tmp_path):
    def touch(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

    assert default_labels([str(tmp_path)]) == "none"
    touch("one/a.png")
    assert default_labels([str(tmp_path)]) == "none"
    touch("two/b.png")
    assert default_labels([str(tmp_path)]) == "folder"
    assert default_labels([str(tmp_path / "one" / "a.png")]) == "none"
    touch("loose.png")
    assert default_labels([str(tmp_path)]) == "none"
