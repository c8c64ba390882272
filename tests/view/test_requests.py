"""Nothing but the page and the opened images can be had, and a refusal says why in plain text."""

import http.client
import shutil
import socket
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from werkzeug.test import Client

from infbrush_wsi.sources import ArraySource, open_source
from infbrush_wsi.view.app import ViewApp
from infbrush_wsi.view.image import shown
from infbrush_wsi.view.limits import CONNECTIONS, RequestLimits
from infbrush_wsi.view.page import MIMETYPES, static_file


@pytest.fixture
def page(serve, pixels):
    return serve(ArraySource(pixels, mpp=1.0, name="picture"))


def test_the_page_and_its_files_are_there(page):
    status, headers, body = page.request("/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"static/viewer.js" in body
    for name, content_type in MIMETYPES.items():
        status, headers, body = page.request(f"/static/{name}")
        assert (status, headers["content-type"], body) == (200, content_type, static_file(name))


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/static/",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/..%5capp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/index.html/../../app.py",
        "/static/viewer.js%00",
        "//etc/passwd",
        "/../../../../etc/passwd",
        "/tiles/../static/viewer.js",
        "/tiles/KEY/0/0_0.png/../../../../etc/passwd",
        "/tiles/KEY/0/../../etc/passwd",
        "/tiles/%2e%2e/0/0_0.png",
        "/images.json/",
        "/tiles/KEY/0/-1_0.png",
        "/tiles/KEY/-1/0_0.png",
        "/tiles/KEY/0/0_0.tif",
        "/tiles/KEY/0/0_0",
        "/tiles/KEY/zero/0_0.png",
        "/tiles/KEY/0/0.5_0.png",
    ],
)
def test_other_addresses_are_not_found(page, path):
    status, headers, body = page.request(path.replace("KEY", page.images()[0]["key"]))
    assert status == 404, body
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert b"root:" not in body
    assert b"import" not in body


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/tiles/KEY/0/3_0.png", "picture has no tile in column 3, row 0 of level 0"),
        ("/tiles/KEY/0/0_2.png", "picture has no tile in column 0, row 2 of level 0"),
        ("/tiles/KEY/9/0_0.png", "picture has no level 9: its levels are 0 to 2"),
        ("/tiles/KEY/0/99999999999999999999_0.png", "has no tile in column 99999999999999999999"),
        ("/tiles/another/0/0_0.png", "there is no such image on this page; load the page again"),
        ("/static/openseadragon.min.js.map", "there is no such file on this page"),
    ],
)
def test_tiles_and_files_that_do_not_exist_are_told(page, path, message):
    status, headers, body = page.request(path.replace("KEY", page.images()[0]["key"]))
    assert status == 404
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert message in body.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "OPTIONS"])
def test_other_methods_are_refused(page, method):
    if method == "OPTIONS":
        status, headers, body = page.request("/", method)
        assert (status, body) == (405, b"The method is not allowed for the requested URL.\n")
        return
    status, headers, body = page.request("/images.json", method)
    assert status == 405
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert b"not allowed" in body


def test_a_head_request_has_no_body(page):
    status, headers, body = page.request("/images.json", "HEAD")
    assert (status, headers["content-type"], body) == (200, "application/json", b"")


def test_addresses_are_short(page):
    status, _, body = page.request("/" + "a" * 600)
    assert (status, body) == (414, b"no address of this page is that long\n")
    assert page.request("/?" + "a" * 600)[0] == 414
    assert page.request("/" + "a" * 100_000)[0] == 414


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_this_machine_may_be_called_by_its_names(page, name):
    assert page.request("/", headers={"Host": f"{name}:{urlsplit(page.url).port}"})[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8642",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "10.0.0.1",
        "",
        "[",
        "a b",
    ],
)
def test_a_name_that_only_points_here_is_refused(page, name):
    for path in ("/", "/images.json", f"/tiles/{page.images()[0]['key']}/0/0_0.png"):
        status, headers, body = page.request(path, headers={"Host": name})
        assert status == 400
        assert headers["content-type"] == "text/plain; charset=utf-8"
        assert b"only, not as" in body


def test_other_pages_can_neither_read_nor_embed_it(page):
    key = page.images()[0]["key"]
    for path in ("/", "/images.json", "/static/viewer.js", f"/tiles/{key}/0/0_0.png", "/nothing"):
        _, headers, _ = page.request(path, headers={"Origin": "http://evil.example"})
        assert "access-control-allow-origin" not in headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]


def test_keys_are_of_one_run_so_that_a_browser_never_shows_another_runs_tiles(serve, pixels):
    source = ArraySource(pixels, mpp=1.0)
    (one,), (other,) = (serve(source).images() for _ in range(2))
    assert one["key"] != other["key"]
    assert len(one["key"]) >= 12


def test_a_damaged_tile_is_told_without_the_path_which_the_log_has(serve, zarr_store, tmp_path, caplog):
    broken = tmp_path / "secret place" / "broken.ome.zarr"
    shutil.copytree(zarr_store, broken)
    with open_source(broken) as source:
        page = serve(source)
        (image,) = page.images()
        for chunk in [file for file in (broken / "0").rglob("*") if file.is_file() and file.name != "zarr.json"]:
            chunk.write_bytes(b"not what it was")
        status, headers, body = page.request(f"/tiles/{image['key']}/0/0_0.png")
    assert (status, headers["content-type"]) == (500, "text/plain; charset=utf-8")
    assert body.decode() == "a tile of broken.ome.zarr cannot be read; the terminal of infbrush view says why\n"
    assert "secret place" in caplog.text
    assert "is damaged" in caplog.text


class Held(ArraySource):
    """Reading waits until it is told to go on."""

    def __init__(self, pixels):
        super().__init__(pixels, mpp=1.0)
        self.going, self.boxes = threading.Event(), []

    def _read(self, box, level):
        self.boxes.append(box)
        assert self.going.wait(30)
        return super()._read(box, level)


def test_what_nobody_waits_for_any_more_is_not_made(serve, pixels):
    source = Held(pixels)
    page = serve(source, at_once=1)
    (image,) = page.images()
    first = threading.Thread(target=page.tile, args=(image, 0, 0, 0))
    first.start()
    until(lambda: source.boxes)
    where = urlsplit(page.url)
    with socket.create_connection((where.hostname, where.port)) as left:
        left.sendall(f"GET /tiles/{image['key']}/0/1_0.png HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        time.sleep(0.3)
    time.sleep(0.1)
    source.going.set()
    first.join()
    np.testing.assert_array_equal(page.tile(image, 0, 0, 1), pixels[511:, :513])
    assert [(box.x0, box.y0) for box in source.boxes] == [(0, 0), (0, 511)]


def test_a_closed_server_makes_no_more_tiles(serve, pixels):
    source = Held(pixels)
    page = serve(source, at_once=2)
    store = page.server.app.tiles
    (image,) = page.images()
    asked = [threading.Thread(target=store.get, args=(image["key"], 0, column, 0, "png")) for column in range(3)]
    for thread in asked:
        thread.start()
    until(lambda: len(source.boxes) == 2)
    assert store.close(0.1) is False
    source.going.set()
    assert store.close(20) is True
    for thread in asked:
        thread.join()
    assert len(source.boxes) == 2
    assert store.get(image["key"], 0, 0, 1, "png") is None


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_broken_request_does_not_stop_the_server(page):
    where = urlsplit(page.url)
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b""):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(garbage)
    assert page.request("/")[0] == 200


@pytest.mark.parametrize("header", [{"Content-Length": "7"}, {"Transfer-Encoding": "chunked"}])
def test_nothing_may_be_sent_to_it(page, header):
    status, _, body = page.request("/", headers=header)
    assert (status, body) == (413, b"this page takes nothing that is sent to it\n")


def test_an_address_that_asks_too_often_is_told_to_wait_and_others_are_answered(pixels):
    app = ViewApp([shown(ArraySource(pixels, mpp=1.0, name="picture"))], limits=RequestLimits(3, 60))
    client = Client(app)
    answers = [client.get("/images.json", environ_base={"REMOTE_ADDR": "127.0.0.1"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].headers["Retry-After"] == "60"
    assert answers[3].text == "too many requests at once; wait a moment\n"
    assert client.get("/images.json", environ_base={"REMOTE_ADDR": "127.0.0.2"}).status_code == 200


def test_connections_beyond_the_limit_are_closed_and_free_ones_are_taken_again(page):
    where = urlsplit(page.url)
    idle = [socket.create_connection((where.hostname, where.port)) for _ in range(CONNECTIONS)]
    try:
        until(lambda: threading.active_count() > CONNECTIONS)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            page.request("/")
    finally:
        for connection in idle:
            connection.close()
    until(lambda: answers(page))


def answers(page):
    try:
        return page.request("/")[0] == 200
    except (ConnectionError, http.client.HTTPException):
        return False


def test_a_connection_on_which_nothing_comes_is_closed(page, monkeypatch):
    monkeypatch.setattr(page.server._server.RequestHandlerClass, "timeout", 0.2)
    where = urlsplit(page.url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        connection.sendall(b"GET / HT")
        assert connection.recv(1) == b""
