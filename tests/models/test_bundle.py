"""Model directories: loaded as saved, tampering told, and an interrupted save keeps the old model."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infbrush_wsi.domain import Shape
from infbrush_wsi.errors import CheckpointError, OutputError
from infbrush_wsi.models.bundle import ModelBundle, recover_model, write_json
from infbrush_wsi.models.infbrush import InfBrushDenoiser
from infbrush_wsi.models.info import ModelInfo

INFO = ModelInfo(
    system="infbrush",
    spacing=(0.5, 1.0),
    unit="micrometer",
    window=128,
    channel_names=("red", "green", "blue"),
    classes=("a", "b", "c"),
    sigma=1.0,
    process={"prediction": "velocity", "data_mean": [0.1, 0.2, 0.3]},
    training={"steps": 5},
    crs=None,
    package_version="0.0",
)


def load(directory: Path, **options: Any) -> ModelBundle:
    return ModelBundle.load(directory, {"denoiser": InfBrushDenoiser}, **options)


def safetensors(directory: Path) -> Path:
    (found,) = (directory / "denoiser").glob("*.safetensors")
    return found


def test_loaded_as_saved_to_the_last_bit(make: Any, tmp_path: Path) -> None:
    net, shape = make.paper_like(), Shape(20, 16)
    saved = ModelBundle.save(tmp_path / "m", {"denoiser": net}, INFO)
    found = load(tmp_path / "m")
    assert found.info == INFO
    assert found.weights_sha256 == saved.weights_sha256
    assert not found.denoiser.training
    x, t = torch.randn(1, shape.count, 3), torch.tensor([7])
    with torch.no_grad():
        outs = [n(x, make.lattice(net, shape), t, make.labels(1)) for n in (net, found.denoiser)]
    assert torch.equal(*outs)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["denoiser", "infbrush.json"]


def test_saving_again_replaces_the_model_and_leaves_other_files(make: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    first = ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    second = ModelBundle.save(tmp_path, {"denoiser": make.awakened(make.small(), 5)}, INFO)
    assert first.weights_sha256 != second.weights_sha256 == load(tmp_path).weights_sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["denoiser", "infbrush.json", "notes.txt"]


def test_a_changed_byte_is_noticed(make: Any, tmp_path: Path) -> None:
    ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    path = safetensors(tmp_path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="do not match the hash"):
        load(tmp_path)
    assert load(tmp_path, verify=False).weights_sha256


def truncate(directory: Path) -> None:
    path = safetensors(directory)
    path.write_bytes(path.read_bytes()[:500])
    record = json.loads((directory / "infbrush.json").read_text())
    record.pop("weights_sha256")


def edit(**changes: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        record = json.loads((directory / "infbrush.json").read_text()) | changes
        (directory / "infbrush.json").write_text(json.dumps({k: v for k, v in record.items() if v != "gone"}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "infbrush.json").unlink(), "is not a model directory"),
        (lambda d: (d / "infbrush.json").write_text("{"), "not valid JSON"),
        (lambda d: (d / "infbrush.json").write_text("[1]"), "must hold a JSON object"),
        (lambda d: shutil.rmtree(d / "denoiser"), "must hold one safetensors file, it holds 0"),
        (lambda d: (d / "denoiser" / "config.json").unlink(), "the network of .* cannot be made"),
        (truncate, "do not match the hash"),
        (edit(format_version=2), "format 2"),
        (edit(format_version="gone"), "format None"),
        (edit(window="gone"), "window"),
        (edit(colour="blue"), "unknown fields: colour"),
        (edit(spacing=[]), "pixel sizes"),
    ],
)
def test_damage_is_told(make: Any, tmp_path: Path, damage: Callable[[Path], Any], message: str) -> None:
    ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path)


def test_truncated_weights_are_told_without_the_hash_too(make: Any, tmp_path: Path) -> None:
    ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    truncate(tmp_path)
    with pytest.raises(CheckpointError, match="cannot load the weights"):
        load(tmp_path, verify=False)


def test_weights_of_another_shape_are_told(make: Any, tmp_path: Path) -> None:
    ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    config = json.loads((tmp_path / "denoiser" / "config.json").read_text())
    (tmp_path / "denoiser" / "config.json").write_text(json.dumps(config | {"width": 16}))
    with pytest.raises(CheckpointError, match="cannot load the weights"):
        load(tmp_path)


@pytest.mark.parametrize("moment", ["weights", "swap", "record", "interrupt"])
def test_an_interrupted_save_keeps_the_old_model(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    old = ModelBundle.save(tmp_path, {"denoiser": make.small()}, INFO)
    net = make.awakened(make.small(), 5)
    fault: BaseException = KeyboardInterrupt() if moment == "interrupt" else OSError(28, "No space left on device")
    rename = Path.replace

    def broken(path: Path, target: Path) -> Path:
        late = moment == "swap" and ".partial-" in path.name and Path(target).name == "denoiser"
        if late or (moment in ("record", "interrupt") and Path(target).name == "infbrush.json"):
            raise fault
        return rename(path, target)

    def unwritable(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(Path, "replace", broken)
    if moment == "weights":
        monkeypatch.setattr(net, "save_pretrained", unwritable)
    with pytest.raises(KeyboardInterrupt if moment == "interrupt" else OutputError):
        ModelBundle.save(tmp_path, {"denoiser": net}, INFO)
    monkeypatch.undo()
    assert load(tmp_path).weights_sha256 == old.weights_sha256
    assert sorted(p.name for p in tmp_path.iterdir()) == ["denoiser", "infbrush.json"]


def test_a_place_that_cannot_be_written(make: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write the model"):
        ModelBundle.save(tmp_path / "file" / "m", {"denoiser": make.small()}, INFO)


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": "µm"})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": "µm"}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_loaded_convolutions_lie_in_memory_as_fresh_ones(tmp_path: Path) -> None:
    """Otherwise each call of the U-Net copies its weights."""
    fresh = InfBrushDenoiser()
    fresh.save_pretrained(tmp_path)
    loaded = InfBrushDenoiser.from_pretrained(tmp_path, low_cpu_mem_usage=False)
    for net in (fresh, loaded):
        weights = [p for p in net.uno.parameters() if p.dim() == 4]
        assert weights
        assert all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_save_that_is_killed_leaves_the_old_model_or_the_new_one(make: Any, tmp_path: Path, at: int) -> None:
    """Killed before the old weights go, the new ones come, the record comes, and after it."""
    old, new = make.small(), make.small()
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.add_(1.0)
    ModelBundle.save(tmp_path, {"denoiser": old}, INFO)
    process = os.fork()
    if not process:
        moves, move, remove = iter(range(1, 5)), Path.replace, shutil.rmtree

        def killed(path: Path, target: Path) -> Any:
            if next(moves) == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return move(path, target)

        def stopped(path: Path, **options: Any) -> None:
            if ".old-" in path.name and path.is_dir():
                os.kill(os.getpid(), signal.SIGKILL)
            remove(path, **options)

        Path.replace, shutil.rmtree = killed, stopped  # type: ignore[method-assign, assignment]
        ModelBundle.save(tmp_path, {"denoiser": new}, INFO)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    recover_model(tmp_path)
    expected = dict((new if at == 4 else old).named_parameters())
    assert all(torch.equal(value, expected[name]) for name, value in load(tmp_path).denoiser.named_parameters())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["denoiser", "infbrush.json"]
