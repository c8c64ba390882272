"""The page is for this machine, unless somebody asks for more; what is said of the images is true."""

import socket

import numpy as np
import pytest

from infbrush_wsi.errors import ConfigError, OutputError
from infbrush_wsi.sources import ArraySource, open_source
from infbrush_wsi.view import ViewServer, show, shown
from infbrush_wsi.view.page import static_file
from infbrush_wsi.view.server import FIRST_PORT
from tests.view.conftest import Page


@pytest.fixture(scope="module")
def image():
    return shown(ArraySource(np.zeros((8, 9, 3), np.uint8), mpp=1.0, name="nothing"))


def test_by_default_only_this_machine_can_reach_it(image):
    with ViewServer([image], port=0) as server:
        assert server.local
        assert server.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])  # noqa: S104
def test_other_addresses_need_a_word_of_consent(image, host):
    with pytest.raises(ConfigError, match=r"other machines could see these images.*--allow-remote"):
        ViewServer([image], host=host, port=0)


def test_with_it_any_address_and_name_will_do(image):
    with ViewServer([image], host="0.0.0.0", port=0, allow_remote=True) as server:  # noqa: S104
        assert not server.local
        server.start()
        page = Page(server.url.replace("0.0.0.0", "127.0.0.1"))  # noqa: S104
        assert page.request("/", headers={"Host": "workstation.example"})[0] == 200


def test_localhost_and_the_newer_protocol_are_this_machine(image):
    for host in ("localhost", "127.0.0.1", "::1"):
        with ViewServer([image], host=host, port=0).start() as server:
            assert server.local
            assert Page(server.url).request("/")[0] == 200


def test_the_next_port_is_taken_where_one_is_not_free(image):
    with ViewServer([image]) as one, ViewServer([image]) as other:
        ports = [int(server.url.rstrip("/").rpartition(":")[2]) for server in (one, other)]
    assert FIRST_PORT <= ports[0] < ports[1]


def test_a_port_that_is_not_free_is_told(image):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OutputError, match=f"cannot listen at 127.0.0.1, port {port}: .*choose another --port"):
            ViewServer([image], port=port)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": -1}, "--port must be 0"),
        ({"port": 65536}, "--port must be 0"),
        ({"host": "no such host"}, "--host must be an address"),
        ({"host": "a" * 300}, "--host must be an address"),
        ({"kind": "tif"}, "tiles are png or jpg, not 'tif'"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused(image, options, message):
    with pytest.raises(ConfigError, match=message):
        ViewServer([image], **{"port": 0} | options)


def test_a_page_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="nothing to show"):
        show([])


def test_closing_frees_the_port_and_twice_is_harmless(image):
    server = show(image, port=0)
    port = int(server.url.rstrip("/").rpartition(":")[2])
    server.close()
    server.close()
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_an_image_of_our_own_says_how_it_was_made(serve, zarr_store):
    with open_source(zarr_store) as source:
        (image,) = serve(source).images()
    assert image["synthetic"] is True
    assert image["virtual"] is False
    assert (image["unit"], image["spacing"]) == ("micrometer", 1.0)
    facts = dict(image["facts"])
    assert facts["class"] == "Invasive"
    assert facts["seed"] == "7"
    assert facts["guidance"] == "1.5"
    assert facts["model"] == "infbrush 0123456789ab"
    assert facts["size"] == "1,201 × 833 px"
    assert facts["pixel size"] == "1 µm"
    assert facts["created"].startswith("20")


def test_a_virtual_slide_says_what_it_is(serve, canvas):
    (image,) = serve(canvas).images()
    assert (image["synthetic"], image["virtual"]) == (True, True)
    assert image["title"] == "Invasive, seed 7"
    facts = dict(image["facts"])
    assert (facts["class"], facts["seed"], facts["steps"], facts["pixel size"]) == ("Invasive", "7", "2", "0.5 µm")


def test_an_image_without_a_class_says_none_and_a_painted_one_painted(make_pipeline):
    from infbrush_wsi.conditioning.layout import RasterLayout

    pipe = make_pipeline()
    assert shown(pipe(None, size=(64, 64))).facts["class"] == "none"
    layout = RasterLayout(np.ones((4, 4), np.int32), {1: "Normal"}, 8.0)
    assert shown(pipe(layout, size=(64, 64))).facts["class"] == "painted"


def test_real_images_are_not_marked_and_show_no_names_of_persons(serve, slide, raster):
    with open_source(slide) as one, open_source(raster) as other:
        images = serve([one, other]).images()
    assert [image["synthetic"] for image in images] == [False, False]
    assert [image["title"] for image in images] == ["phantom.tif", "aerial.tif"]
    facts = [dict(image["facts"]) for image in images]
    assert set(facts[0]) == {"size", "pixel size", "levels", "channels", "read by"}
    assert facts[0]["pixel size"] == "0.5 µm"
    assert facts[1]["pixel size"] == "0.6 m"
    assert facts[1]["coordinates"] == "EPSG:26914"
    assert images[1]["unit"] == "meter"


def test_the_viewer_is_shipped_unchanged_with_its_licence():
    script = static_file("openseadragon.min.js")
    assert script.startswith(b"//! openseadragon 6.1.1\n")
    assert len(script) < 400_000
    assert b"Redistribution and use in source and binary forms" in static_file("openseadragon.LICENSE.txt")


def test_the_page_loads_nothing_from_elsewhere():
    for name in ("index.html", "viewer.css", "viewer.js"):
        text = static_file(name).decode()
        assert "http://" not in text
        assert "https://" not in text
        assert "//cdn" not in text
