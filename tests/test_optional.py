import math

import pytest

from infbrush_wsi._optional import require
from infbrush_wsi.errors import InfbrushError, MissingExtraError


def test_an_installed_module_is_returned():
    assert require("math", extra="wsi", purpose="count") is math


def test_dotted_names_give_the_inner_module():
    import importlib.metadata

    assert require("importlib.metadata", extra="wsi", purpose="count") is importlib.metadata


def test_an_absent_module_names_the_extra_and_the_purpose():
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_module_here", extra="geo", purpose="read GeoTIFF files")
    message = str(caught.value)
    assert "'no_such_module_here' is needed to read GeoTIFF files" in message
    assert "pip install 'infbrush-wsi[geo]'" in message
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_the_error_is_both_ours_and_an_import_error():
    assert issubclass(MissingExtraError, InfbrushError)
    assert issubclass(MissingExtraError, ImportError)


def test_a_module_that_fails_inside_is_reported_with_its_reason(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import a_library_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="a_library_it_needs"):
        require("half_installed", extra="viz", purpose="draw")
