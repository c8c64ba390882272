"""The page in a real Chromium: what is on the screen is what the image holds."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infbrush_wsi.sources import ArraySource, open_source

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs the packages chromium and chromium-driver")
WINDOW = (1200, 800)
SECONDS = 60


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "hide-scrollbars", f"user-data-dir={profile}",
        f"window-size={WINDOW[0]},{WINDOW[1]}",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # A proxy that the machine may have is not for this page.
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER, env=environment))
    yield driver
    driver.quit()


@pytest.fixture
def look(chromium: Any) -> Any:
    """Go to an address and wait until the image is fully there."""

    def go(url: str) -> Any:
        chromium.get("about:blank")
        chromium.get_log("browser")
        chromium.get(url)
        ready(chromium)
        return chromium

    return go


def ready(driver: Any) -> None:
    until(driver, lambda d: d.execute_script("return document.body.dataset.state") == "ready")


def until(driver: Any, condition: Callable[[Any], bool]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(driver, SECONDS).until(condition)


def text(driver: Any, name: str) -> str:
    return str(driver.find_element("id", name).text)


def screen(driver: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB"))


def stage(driver: Any) -> tuple[int, int]:
    """Width and height of the part of the screen that shows the image, from its corner."""
    return tuple(driver.execute_script("const b = document.getElementById('viewer').getBoundingClientRect();"
                                       "return [b.width, b.height]"))  # fmt: skip


def seen(driver: Any, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Pixels of the screen about its middle, and which pixel of the image the first of them should be at 1:1."""
    w, h = stage(driver)
    _, x, y, _ = (float(part) for part in driver.execute_script("return location.hash").lstrip("#").split("/"))
    left, top = int(w) // 2 - side // 2, int(h) // 2 - side // 2
    place = (round(x - w / 2) + left, round(y - h / 2) + top)
    return screen(driver)[top : top + side, left : left + side].astype(int), place


@pytest.mark.parametrize("thing", ["slide", "zarr_store", "canvas"])
def test_at_one_to_one_the_screen_shows_the_pixels(request, serve, look, thing):
    made = request.getfixturevalue(thing)
    opened = made if thing == "canvas" else open_source(made)
    page = serve(opened)
    side = 200
    found, place = seen(look(f"{page.url}#0/300.4/210/1"), side)
    expected = opened.read_region(place, 0, (side, side)).astype(int)
    assert abs(place[0] + side / 2 - 300.4) <= 1
    assert expected.std() > 5
    assert np.abs(found - expected).max() <= 1


def test_the_whole_image_is_shown_first_and_zooming_goes_to_its_finest_level(serve, look, pixels):
    page = serve(ArraySource(pixels, mpp=1.0, name="picture.png"))
    driver = look(page.url)
    w, h = stage(driver)
    shown = screen(driver)[: int(h), : int(w)]
    # It runs from dark to bright red from left to right, as the picture does.
    row = shown[int(h) // 2, :, 0].astype(int)
    assert row[5] < 20
    assert row[int(w) - 6] > 235
    for _ in range(2):
        driver.find_element("id", "zoom-in").click()
    driver.find_element("id", "one").click()
    until(driver, lambda d: d.execute_script("return location.hash").endswith("/1.000"))
    ready(driver)
    asked = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert any("/0/1_0.png" in name for name in asked)


def test_nothing_comes_from_elsewhere_and_nothing_goes_wrong(serve, look, canvas, slide):
    with open_source(slide) as source:
        page = serve([source, canvas])
        for index in (0, 1):
            driver = look(f"{page.url}#{index}")
            asked = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
            assert len(asked) > 4
            assert all(name.startswith((page.url, "data:")) for name in asked)
            assert driver.get_log("browser") == []


def test_what_is_synthetic_is_marked_with_class_and_seed(serve, look, canvas, slide):
    with open_source(slide) as source:
        page = serve([source, canvas])
        driver = look(page.url)
        mark = driver.find_element("id", "synthetic")
        assert not mark.is_displayed()
        assert text(driver, "title") == "phantom.tif"
        driver.find_elements("css selector", "#images button")[1].click()
        ready(driver)
        assert mark.is_displayed()
        assert mark.text == "Synthetic, not for diagnosis"
        assert text(driver, "title") == "Invasive, seed 7"
        assert text(driver, "kind") == "virtual slide, computed where you look"
        facts = text(driver, "facts").split("\n")
        assert facts[facts.index("class") + 1] == "Invasive"
        assert facts[facts.index("seed") + 1] == "7"


def test_the_scale_bar_is_as_long_as_it_says(serve, look, zarr_store):
    with open_source(zarr_store) as source:
        page = serve(source)
        for downsample, label, length in ((1, "100 µm", 100), (8, "1 mm", 125), (0.1, "10 µm", 100)):
            driver = look(f"{page.url}#0/600/400/{downsample}")
            assert text(driver, "scale-text") == label
            found = driver.execute_script("return document.getElementById('scale-bar').getBoundingClientRect().width")
            assert found == pytest.approx(length, abs=0.6)


def test_a_tile_that_cannot_be_read_is_told_on_the_page(serve, chromium, zarr_store, tmp_path):
    broken = tmp_path / "broken.ome.zarr"
    shutil.copytree(zarr_store, broken)
    with open_source(broken) as source:
        page = serve(source)
        for chunk in [file for file in broken.rglob("*") if file.is_file() and file.name != "zarr.json"]:
            chunk.write_bytes(b"not what it was")
        chromium.get("about:blank")
        chromium.get(page.url)
        until(chromium, lambda d: "cannot be read" in text(d, "doing"))


def test_names_of_files_are_text_and_never_markup(serve, look, pixels):
    name = "<img src=x onerror=document.title='taken'>.png"
    driver = look(serve(ArraySource(pixels, mpp=1.0, name=name.replace("/", ""))).url)
    assert text(driver, "title") == name
    assert not driver.execute_script("return document.querySelectorAll('aside img').length")


def test_openseadragon_shows_an_exported_deepzoom_pyramid(chromium, tmp_path):
    import functools
    import http.server
    import threading
    from pathlib import Path

    import dask.array as da

    import infbrush_wsi.view
    from infbrush_wsi.domain import Lattice, Shape
    from infbrush_wsi.writers.deepzoom import write_deepzoom

    y, x = np.mgrid[:400, :600]
    pixels = np.stack([x * 255 / 600, y * 255 / 400, 128 + 90 * np.sin(x / 9) * np.sin(y / 9)], -1).astype(np.uint8)
    lattice = Lattice.regular(Shape(400, 600), 0.5)
    write_deepzoom(da.from_array(pixels), tmp_path / "a.dzi", lattice=lattice, provenance={}, tile_format="png")
    script = Path(infbrush_wsi.view.__file__).parent / "static" / "openseadragon.min.js"
    shutil.copy(script, tmp_path)
    (tmp_path / "page.html").write_text(
        '<body style="margin: 0"><div id="slide" style="width: 600px; height: 400px"></div>'
        '<script src="openseadragon.min.js"></script><script>var viewer = OpenSeadragon({id: "slide", '
        'tileSources: "a.dzi", showNavigationControl: false, immediateRender: true, drawer: "canvas"})</script>'
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        chromium.get(f"http://127.0.0.1:{server.server_port}/page.html")
        loaded = "return viewer.world.getItemCount() > 0 && viewer.world.getItemAt(0).getFullyLoaded()"
        until(chromium, lambda driver: driver.execute_script(loaded))
        until(chromium, lambda driver: np.abs(screen(driver)[:400, :600].astype(int) - pixels).max() <= 2)
        server.shutdown()
