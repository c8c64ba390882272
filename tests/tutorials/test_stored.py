"""What readers see without running anything: outputs and pictures are there, are small, and tell no paths."""

from __future__ import annotations

import base64
import getpass
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import anchors, links
from tutorials.run import HERE, notebooks

LARGEST = 600_000
TITLES = {
    "augment_a_classifier", "cluster", "from_slide_to_slide", "gis", "paint_a_layout", "reader_plugin",
}  # fmt: skip
ABSOLUTE = re.compile(r"(?<![\w.:])/(?:home|root|tmp|Users|work|usr|opt|var|private|mnt|srv)/|[A-Z]:\\\\|file://")
PATHS = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)


def _cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def _outputs(path: Path) -> list[dict[str, Any]]:
    return [output for cell in _cells(path, "code") for output in cell["outputs"]]


def _words(output: dict[str, Any]) -> str:
    """The text of an output, without pictures."""
    data = {key: value for key, value in output.get("data", {}).items() if not key.startswith("image/")}
    return json.dumps([output.get("text"), data], ensure_ascii=False)


def test_all_tutorials_are_there():
    assert {path.stem for path in notebooks()} == TITLES
    listed = (HERE / "README.md").read_text()
    assert all(f"({name}.ipynb)" in listed for name in TITLES)


@PATHS
def test_a_tutorial_was_run_from_its_beginning_to_its_end(path):
    numbers = [cell["execution_count"] for cell in _cells(path, "code")]
    assert numbers == list(range(1, len(numbers) + 1))
    kinds = {output["output_type"] for output in _outputs(path)}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert {output["name"] for output in _outputs(path) if output["output_type"] == "stream"} <= {"stdout"}


@PATHS
def test_its_pictures_are_there_and_small(path):
    from PIL import Image

    assert path.stat().st_size < LARGEST
    pictures = [output["data"]["image/jpeg"] for output in _outputs(path) if "image/jpeg" in output.get("data", {})]
    assert len(pictures) >= 2
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert image.width >= 300
            assert max(high - low for low, high in image.convert("RGB").getextrema()) > 60  # not an empty figure


@PATHS
def test_it_tells_no_paths_and_no_names(path):
    for output in _outputs(path):
        assert not ABSOLUTE.search(_words(output)), _words(output)[:500]
        assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", _words(output))
        assert "\\u001b" not in _words(output)
    assert not any("execution" in cell["metadata"] for cell in _cells(path, "code"))


@PATHS
def test_its_links_lead_somewhere(path):
    for cell in _cells(path, "markdown"):
        for link in links("".join(cell["source"])):
            file, _, anchor = link.partition("#")
            if not re.match(r"https?:", link):
                target = (HERE / file).resolve()
                assert target.exists(), link
                assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("text", ["saved in /tmp/x/y", "'/home/me/slide.svs'", "file:///root/x"])
def test_paths_are_found(text):
    assert ABSOLUTE.search(text)


def test_other_text_is_no_path():
    assert not ABSOLUTE.search("1/2 of tutorial_gis/tmp/x and https://example.org/home/x")
