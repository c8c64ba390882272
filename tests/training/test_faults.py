"""What goes wrong around a run: full and read-only disks, vanishing images, interrupts, clocks; and bad values."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infbrush_wsi import open_source
from infbrush_wsi.errors import InfbrushError, OutputError, TrainingError
from infbrush_wsi.training.build import load_data
from infbrush_wsi.training.checkpoint import checkpoints, step_of
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.loop import TrainingLoop
from infbrush_wsi.training.record import read_metrics
from infbrush_wsi.training.run import train
from infbrush_wsi.training.systems import system
from tests.powers import largest_file, read_only
from tests.training.conftest import run_values, write_images

Make = Callable[..., RunConfig]
Whole = Callable[[str], Path]
LATTICES = {"width": 8, "multipliers": (1, 2), "embedding_width": 16}
FAR = {"record__checkpoint_every": 4, "record__log_every": 1, "optim__steps": 12}


@pytest.fixture
def of(config: Make) -> Make:
    """Makes configurations of a system."""

    def make(name: str = "infbrush", **changes: Any) -> RunConfig:
        if name == "multilevel":
            changes = {"model__system": name, "model__overrides": LATTICES} | changes
        return config(**FAR | changes)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Directory of an uninterrupted run of a system."""
    folder = tmp_path_factory.mktemp("whole")
    images = write_images(folder / "images")

    @cache
    def run(name: str) -> Path:
        changes = FAR | ({"model__system": name, "model__overrides": LATTICES} if name == "multilevel" else {})
        train(RunConfig.parse(run_values(images, **changes)), folder / name)
        return folder / name

    return run


def state(out: Path) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint."""
    return {
        f"{path.stem}/{name}": tensor
        for path in checkpoints(out)[-1].glob("*.safetensors")
        for name, tensor in load_file(path).items()
    }


def same(one: Path, other: Path) -> bool:
    a, b = state(one), state(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def notes(error: BaseException) -> str:
    return " ".join([str(error), *getattr(error, "__notes__", [])])


@pytest.mark.parametrize("name", ["infbrush", "multilevel"])
def test_a_full_disk_at_a_checkpoint_keeps_the_one_before_and_the_run_goes_on_from_it(
    of: Make, whole: Whole, tmp_path: Path, name: str
) -> None:
    message = r"cannot write the checkpoint .*step-0000008.*File too large"
    with pytest.raises(OutputError, match=message) as caught, largest_file(1 << 40):
        train(of(name), tmp_path / "run", report=lambda step, _: step == 6 and _limit(20_000))
    assert "step 4 is saved" in notes(caught.value)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-0000004"]
    train(of(name), tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole(name))
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == list(range(1, 13))


def _limit(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_a_full_disk_under_the_log_is_told_once_and_takes_nothing_away(
    of: Make, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"

    def fill(step: int, _: object) -> None:
        if step == 6:
            _limit((out / "metrics.jsonl").stat().st_size)

    with pytest.raises(OutputError, match=r"cannot write the log .*File too large"), largest_file(1 << 40):
        train(of(), out, report=fill)
    assert "Traceback" not in capfd.readouterr().err
    kept = {name: (out / name).read_bytes() for name in ("metrics.jsonl", "run.yaml", "manifest.json")}
    with pytest.raises(OutputError, match="File too large"), largest_file(10):
        train(of(), out, resume=True)
    assert kept == {name: (out / name).read_bytes() for name in kept}
    assert [step_of(path) for path in checkpoints(out)] == [4]
    assert [row["step"] for row in read_metrics(out)] == list(range(1, 7))
    assert not list(out.glob(".*.partial-*"))


def test_read_only_directories_are_told(of: Make, tmp_path: Path, images: Path) -> None:
    with read_only(tmp_path), pytest.raises(OutputError, match=r"cannot make the directory .*Permission denied"):
        train(of(), tmp_path / "run")
    out = tmp_path / "run"
    out.mkdir()
    with read_only(out), pytest.raises(OutputError, match="cannot be made or locked: Permission denied"):
        train(of(), out)
    assert list(out.iterdir()) == []


def test_a_directory_that_becomes_read_only_keeps_what_it_has(of: Make, tmp_path: Path) -> None:
    out, held = tmp_path / "run", []

    def close(step: int, _: object) -> None:
        if step == 6:
            held.append(read_only(out / "checkpoints"))
            held[0].__enter__()

    try:
        with pytest.raises(OutputError, match=r"cannot write the checkpoint .*Permission denied") as caught:
            train(of(), out, report=close)
    finally:
        held[0].__exit__(None, None, None)
    assert "step 4 is saved" in notes(caught.value)
    assert [step_of(path) for path in checkpoints(out)] == [4]


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_vanish_end_the_run_with_one_line_and_its_state_or_do_not_matter(
    of: Make, images: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "run"
    ended = None
    try:
        train(
            of(data__workers=workers, optim__steps=40, data__cache_bytes=30_000),  # one tile at a time
            out,
            report=lambda step, _: step == 2 and shutil.rmtree(images),
        )
    except InfbrushError as error:
        ended = error
    assert ended is None or ("Traceback" not in str(ended) and "is saved in" in notes(ended))
    assert len(checkpoints(out)) >= 1
    assert ended is None or step_of(checkpoints(out)[-1]) >= 2


def spoil(loop: TrainingLoop, step: int) -> None:
    """A value of a batch is no number."""
    get = loop.dataset.__class__.__getitem__

    def broken(dataset: Any, number: int) -> Any:
        batch = get(dataset, number)
        if number == step:
            batch.clean[0, 3, 1] = float("nan")
        return batch

    loop.dataset.__class__ = type("Broken", (loop.dataset.__class__,), {"__getitem__": broken})


@pytest.mark.parametrize("name", ["infbrush", "multilevel"])
def test_a_loss_that_is_no_number_names_the_windows_of_its_batch(of: Make, tmp_path: Path, name: str) -> None:
    run, out = of(name, data__flips=False), tmp_path / "run"
    with pytest.raises(TrainingError, match="the loss is nan at step 5") as caught:
        train(run, out, started=lambda _, loop: spoil(loop, 5))
    assert "step 5 is saved" in notes(caught.value)
    assert [step_of(path) for path in checkpoints(out)] == [4, 5]
    named = re.findall(r"(\S+\.png) at \((\d+), (\d+)\), 32 x 32 pixels", str(caught.value))
    assert len(named) == 2
    if name == "multilevel":
        batch = system(name)(run, load_data(run.data), {}, 0, 1).dataset[5]
        for (path, x, y), clean in zip(named, batch.clean, strict=True):
            with open_source(path, mpp=0.5) as source:
                window = source.read_region((int(x), int(y)), 0, (32, 32))
            np.testing.assert_array_equal(((clean.numpy() + 1) * 127.5).round().reshape(32, 32, 3), window)


class Killed(Exception):
    """Ends a run as a kill would."""


def test_an_interrupt_within_an_update_waits_for_its_end(of: Make, whole: Whole, tmp_path: Path) -> None:
    def interrupt(loop: TrainingLoop) -> None:
        step = loop.optimizer.step

        def cut() -> None:
            step()
            if loop.step == 5:  # the network has moved, its average has not
                signal.raise_signal(signal.SIGINT)

        loop.optimizer.step = cut

    with pytest.raises(KeyboardInterrupt):
        train(of(), tmp_path / "run", started=lambda _, loop: interrupt(loop))
    assert step_of(checkpoints(tmp_path / "run")[-1]) == 6
    train(of(), tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole("infbrush"))


def test_an_update_that_fails_half_way_is_not_saved(of: Make, tmp_path: Path) -> None:
    def fail(loop: TrainingLoop) -> None:
        def raising(*_: object) -> None:
            if loop.step == 5:
                raise TrainingError("the second network failed")
            update(loop.task.network)

        update, loop.average.update_parameters = loop.average.update_parameters, raising

    with pytest.raises(TrainingError, match="the second network failed") as caught:
        train(of(), tmp_path / "run", started=lambda _, loop: fail(loop))
    assert "step 4 is saved" in notes(caught.value)
    assert [step_of(path) for path in checkpoints(tmp_path / "run")] == [4]


def test_a_clock_that_jumps_back_changes_nothing(
    of: Make, whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, hours = time.time, [0.0]

    def jumping() -> float:
        hours[0] -= 1.0
        return true() + 3600 * hours[0]

    with monkeypatch.context() as patch, suppress(Killed):
        patch.setattr(time, "time", jumping)
        train(of(), tmp_path / "run", report=_kill_at_6)
    assert hours[0] < -5  # TensorBoard asks for the time of day
    assert (tmp_path / "run" / ".lock").is_file()  # left behind, and in nobody's way
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", jumping)
        train(of(), tmp_path / "run", resume=True)
    assert same(tmp_path / "run", whole("infbrush"))
    assert [step_of(path) for path in checkpoints(tmp_path / "run")] == [8, 12]
    rows = read_metrics(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert all(0 < row["seconds_per_step"] < 60 and 0 <= row["waiting_for_data"] <= 1 for row in rows)


def _kill_at_6(step: int, _: object) -> None:
    if step == 6:
        raise Killed
