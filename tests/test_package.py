"""Importing the package is cheap and its public names are reachable."""

import importlib.metadata
import subprocess
import sys

import pytest

import infbrush_wsi

HEAVY = ("torch", "openslide", "rasterio", "zarr", "tifffile", "tiatoolbox", "matplotlib", "numba", "scipy", "dask")


def test_importing_the_package_imports_no_heavy_library():
    code = (
        "import sys, infbrush_wsi, infbrush_wsi.domain, infbrush_wsi.errors, infbrush_wsi._optional\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_version_is_the_installed_one():
    assert infbrush_wsi.__version__ == importlib.metadata.version("infbrush-wsi")


def test_dir_lists_what_is_exported():
    assert set(infbrush_wsi.__all__) <= set(dir(infbrush_wsi))


def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = infbrush_wsi.no_such_name


@pytest.mark.parametrize("name", sorted(set(infbrush_wsi.__all__) - {"__version__"}))
def test_exports_load(name):
    exported = getattr(infbrush_wsi, name)
    assert callable(exported)
    assert vars(infbrush_wsi)[name] is exported


def test_readers_are_registered_as_entry_points():
    names = {point.name for point in importlib.metadata.entry_points(group="infbrush_wsi.sources")}
    assert {"openslide", "rasterio", "ome_zarr", "image"} <= names
