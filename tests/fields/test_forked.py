"""The kernels in forked loader workers, after the parent used numba's and torch's own thread pools."""

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import sys
import numba
import numpy as np
import torch
from infbrush_wsi.domain import Box, Shape
from infbrush_wsi.fields import Mollifier, NoiseField, WienerInverse
from infbrush_wsi.fields._threads import default_threads

WARM, THREADS = sys.argv[1] == "warm", {"default": None, "two": 2}[sys.argv[2]]

@numba.njit(parallel=True)
def total(x):
    t = 0.0
    for i in numba.prange(x.shape[0]):
        t += x[i]
    return t

class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 6

    def __getitem__(self, index):
        torch.set_num_threads(1)
        field = NoiseField(seed=index, channels=3)
        near = np.random.default_rng(index).uniform(-90, 90, (6000, 2))
        tile = np.random.default_rng(index).integers(0, 256, (90, 90, 3), dtype=np.uint8)
        points = np.random.default_rng(index).integers(8, 80, (6000, 2))
        parts = [
            field.at(near, threads=THREADS),
            field.at(near * 1e4, threads=THREADS),
            field.on_lattice((0.0, 0.0), 0.5, Shape(300, 300), threads=THREADS),
            field.white(Box(-9, 3, 200, 200), threads=THREADS),
            Mollifier().gather(tile, points, threads=THREADS),
            WienerInverse().apply(field.white(Box(0, 0, 100, 100)), threads=THREADS),
        ]
        workers = torch.utils.data.get_worker_info()
        assert workers is None or default_threads() == 1
        return torch.from_numpy(np.concatenate([part.ravel() for part in parts]))

def main():
    data = Samples()
    assert total(np.ones(1000)) == 1000.0
    (torch.ones(600, 600) @ torch.ones(600, 600)).sum().item()
    expected = [data[i] for i in range(len(data))] if WARM else None
    for _ in range(2):
        loader = torch.utils.data.DataLoader(
            data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
        )
        loaded = list(loader)
        expected = expected or [data[i] for i in range(len(data))]
        assert all(torch.equal(a, b) for a, b in zip(loaded, expected, strict=True))
    print("equal", len(loaded))

main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["default", "two"])
@pytest.mark.parametrize("parent", ["warm", "cold"])
def test_forked_workers(parent: str, threads: str) -> None:
    """`warm`: the parent used the fields on several threads before it forked; `cold`: the workers are the first."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), parent, threads],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.split() == ["equal", "6"]
