"""Real networks with random weights in local files: what the libraries would download, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

RNG = np.random.default_rng(0)


@pytest.fixture
def patches() -> np.ndarray:
    """Five patches of 48 x 48 pixels of smooth colours and noise, uint8."""
    smooth = RNG.normal(size=(5, 6, 6, 3)).repeat(8, 1).repeat(8, 2)
    return (128 + 30 * smooth + 10 * RNG.normal(size=smooth.shape)).clip(0, 255).astype(np.uint8)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a network whose caches are empty: the libraries' own switches, no stand-ins."""
    import huggingface_hub.constants as hub
    import torch

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "torch"))
    yield
    torch.hub.set_dir(before)
