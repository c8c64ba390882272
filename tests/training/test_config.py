"""Configurations: wrong fields are named, and what is written is read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.config import OptimConfig, RunConfig
from infbrush_wsi.training.loop import schedule


def values(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"data": {"sources": ["x.svs"]}}
    for name, value in changes.items():
        part, field = name.split("__")
        found.setdefault(part, {})[field] = value
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__sources": []}, r"data\.sources"),
        ({"data__pointz": 5}, r"data\.pointz: there is no such value; there are sources, labels, .*points"),
        ({"data__window": 4}, r"data\.window"),
        ({"data__window": 16, "data__points": 257}, r"data\.points.*257 points do not fit a window of 16 x 16"),
        ({"data__sampler": "sobol"}, r"data\.sampler.*'mixed'"),
        ({"data__mpp": [0.5, -1]}, r"data\.mpp\.1"),
        ({"data__mpp": [0.5], "data__resolution": [1.0]}, r"data\.resolution.*not both"),
        ({"data__tissue_fraction": 1.5}, r"data\.tissue_fraction"),
        ({"data__validation": 1.0}, r"data\.validation"),
        ({"model__prediction": "sample"}, r"model\.prediction"),
        ({"model__sigma": 0.5}, r"model\.sigma"),
        ({"optim__steps": 0}, r"optim\.steps"),
        ({"optim__precision": "fp8"}, r"optim\.precision"),
        ({"optim__ema": 1.0}, r"optim\.ema"),
        ({"optim__learning_rate": "fast"}, r"optim\.learning_rate"),
        ({"record__log_every": 0}, r"record\.log_every"),
        ({"record__keep": 0}, r"record\.keep"),
    ],
)
def test_wrong_fields_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig.parse(values(**changes))


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(values(optim__steps=0, record__keep=0, data__window=1))
    assert all(name in str(caught.value) for name in ("optim.steps", "record.keep", "data.window"))


def test_yaml_there_and_back(tmp_path: Path) -> None:
    config = RunConfig.parse(
        values(data__mpp=[0.5, 1], data__sampler_options={"window": 16, "share": 0.25}, model__overrides={"width": 8})
    )
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml())
    again = RunConfig.from_yaml(path)
    assert again == config
    assert isinstance(again.data.sampler_options["window"], int)  # a side in pixels stays whole


@pytest.mark.parametrize("text", ["- a list", "data: [", "5"])
def test_files_that_are_no_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        RunConfig.from_yaml(path)
    with pytest.raises(ConfigError, match=r"missing\.yaml"):
        RunConfig.from_yaml(tmp_path / "missing.yaml")


def test_learning_rate_rises_holds_and_falls() -> None:
    optim = OptimConfig(steps=100, warmup=10, decay=0.3)
    rates = [schedule(step, optim, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:70] == [1.0] * 61
    assert rates[85] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.01
    assert (np.diff(rates[70:]) <= 0).all()
    assert schedule(50, OptimConfig(decay=0.0, warmup=0), 100) == 1.0
    assert schedule(10**6, optim, None) == 1.0
