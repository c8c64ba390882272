"""Images like a stored one, and from an embedding, by command."""

from __future__ import annotations

import numpy as np
import pytest

from infbrush_wsi import InfBrushPipeline, open_source
from infbrush_wsi.conditioning.encoders import EmbeddingStore


@pytest.fixture(scope="module")
def embedded(slides, quick, tmp_path_factory):
    """A store of the slides' embeddings, and a model trained on them by the command."""
    from typer.testing import CliRunner

    from infbrush_wsi.cli import app

    folder = tmp_path_factory.mktemp("embedded")
    store, model = folder / "e.zarr", folder / "model"
    calls = (
        ["embed", slides, "--out", store, "--tile", 64, "--stride", 32],
        ["train", "--source", slides, "--embeddings", store, "--steps", 2, "--out", model, *quick],
    )
    for call in calls:
        result = CliRunner().invoke(app, [str(argument) for argument in call])
        assert result.exit_code == 0, result.output
    return store, model


@pytest.fixture
def call(cli, embedded, tmp_path):
    def run(*options):
        out = tmp_path / "out.ome.zarr"
        return cli("generate", embedded[1], "--out", out, "--size", 96, "--steps", 2, "--overwrite", *options)

    return run


def pixels(folder):
    with open_source(folder / "out.ome.zarr") as source:
        return source.read_region((0, 0), 0, (96, 96))


def test_an_image_like_a_region_of_a_stored_one(call, embedded, tmp_path):
    store, model = embedded
    result = call("--like", store, "--like-image", "Invasive.tif", "--like-at", "64,32")
    assert result.exit_code == 0, result.output
    layout = EmbeddingStore(store).layout("Invasive.tif", (64.0, 32.0), outside="mirror")
    pipe = InfBrushPipeline.from_pretrained(model)
    expected = pipe(layout, size=(96, 96), num_inference_steps=2, guidance_scale=1.5)
    np.testing.assert_array_equal(pixels(tmp_path), expected.read_region((0, 0), 0, (96, 96)))


def test_the_same_tissue_elsewhere(call, embedded, tmp_path):
    found = []
    for order in ("as-is", "shuffle"):
        result = call("--like", embedded[0], "--like-image", "Benign.tif", "--like-order", order, "--seed", "3")
        assert result.exit_code == 0, result.output
        found.append(pixels(tmp_path))
    assert (found[0] != found[1]).any()


def test_an_embedding_from_a_file(call, embedded, tmp_path):
    values = EmbeddingStore(embedded[0]).sample(0, 1)[0]
    np.save(tmp_path / "one.npy", values)
    result = call("--embedding", tmp_path / "one.npy")
    assert result.exit_code == 0, result.output
    expected = InfBrushPipeline.from_pretrained(embedded[1])(
        values, size=(96, 96), num_inference_steps=2, guidance_scale=1.5
    )
    np.testing.assert_array_equal(pixels(tmp_path), expected.read_region((0, 0), 0, (96, 96)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--like", "{store}"], "--like-image"),
        (["--like", "{store}", "--like-image", "other.tif"], "no image 'other.tif'"),
        (["--like", "{store}", "--like-image", "Benign.tif", "--like-at", "9000,0"], "outside"),
        (["--like", "{store}", "--like-image", "Benign.tif", "--like-at", "12"], "--like-at"),
        (["--like", "{store}", "--like-image", "Benign.tif", "--like-order", "turn"], "as-is, shift"),
        (["--like", "{store}", "--embedding", "{folder}/e.npy"], "not both"),
        (["--like-image", "Benign.tif"], "--like-image say how --like FILE is read"),
        (["--like", "{folder}"], "infbrush embed"),
        (["--embedding", "{folder}/none.npy"], "numpy.save"),
        (["--embedding", "{folder}/cube.npy"], "(D,) or (M, D)"),
        (["--embedding", "{folder}/short.npy"], "(34,)"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(call, embedded, tmp_path, options, message):
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    np.save(tmp_path / "short.npy", np.zeros(3))
    result = call(*(text.format(store=embedded[0], folder=tmp_path) for text in options))
    assert result.exit_code == 1
    (line,) = (text for text in result.stderr.splitlines() if text.strip())
    assert line.startswith("error: ")
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cube.npy", "short.npy"]


def test_a_model_without_an_encoder_says_so(cli, model, embedded, tmp_path):
    like = ("--like", embedded[0], "--like-image", "Benign.tif")
    result = cli("generate", model, "--out", tmp_path / "o.ome.zarr", *like)
    assert result.exit_code == 1
    assert "not trained on the embeddings" in result.stderr
