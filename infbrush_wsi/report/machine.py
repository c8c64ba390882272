"""What this machine has to compute with, and where it can write."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Attributes:
        name: of the maker.
        memory: bytes.
    """

    name: str
    memory: int


@dataclass(frozen=True)
class Machine:
    """Processor, memory and devices.

    Attributes:
        system: operating system and kind of processor.
        cores: that this process may use.
        memory: bytes that this process may use, of the machine or its container.
        free: bytes that are free now.
        gpus: CUDA devices that torch sees.
        no_gpu: why there is none, '' where there is one.
        kernels: whether the kernels for GPUs run, and why (not).
    """

    system: str
    cores: int
    memory: int
    free: int
    gpus: tuple[Gpu, ...]
    no_gpu: str
    kernels: str


@dataclass(frozen=True)
class Folder:
    """A folder that is written into.

    Attributes:
        path: '' where there is none.
        problem: why it cannot be written, '' where it can.
        free: bytes of free space, 0 where it cannot be written.
    """

    path: str
    problem: str
    free: int


def machine() -> Machine:
    """Look at this machine; imports torch."""
    import psutil

    memory = psutil.virtual_memory()
    limit = _container_limit() or int(memory.total)
    gpus, no_gpu, kernels = _devices()
    return Machine(
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=min(limit, int(memory.total)),
        free=min(limit, int(memory.available)),
        gpus=gpus,
        no_gpu=no_gpu,
        kernels=kernels,
    )


def _devices() -> tuple[tuple[Gpu, ...], str, str]:
    """CUDA devices, why there are none, and whether kernels run on them."""
    try:
        import torch

        from infbrush_wsi.operators import triton_support
    except (ImportError, OSError) as error:
        return (), f"torch cannot be imported: {error}", "unknown"
    found = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    gpus = tuple(Gpu(torch.cuda.get_device_name(k), int(torch.cuda.mem_get_info(k)[1])) for k in found)
    built = torch.version.cuda or torch.version.hip
    none = "torch finds no GPU" if built else f"torch {torch.__version__} is built for CPUs"
    return gpus, "" if gpus else none, triton_support.available()[1]


def kernel_folder() -> Folder:
    """Where compiled loops are kept, so that they are compiled once; imports numba."""
    try:
        from infbrush_wsi.fields import _noise_kernels

        path = str(_noise_kernels.white_block.stats.cache_path)  # type: ignore[attr-defined]
    except RuntimeError as error:  # numba finds no folder at all
        return Folder("", f"{error}; set NUMBA_CACHE_DIR to a folder that can be written", 0)
    except (ImportError, OSError) as error:
        return Folder("", f"numba cannot be imported: {error}", 0)
    return _folder(Path(path), "set NUMBA_CACHE_DIR to a folder that can be written")


def scratch_folder() -> Folder:
    """The temporary folder, where computed tiles go."""
    try:
        path = Path(tempfile.gettempdir())
    except OSError as error:
        return Folder("", f"{error}; set TMPDIR to a folder that can be written", 0)
    return _folder(path, "set TMPDIR to a folder that can be written")


def _folder(path: Path, way_out: str) -> Folder:
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path):
            return Folder(str(path), "", shutil.disk_usage(path).free)
    except OSError as error:
        return Folder(str(path), f"{error.strerror or error}; {way_out}", 0)


def _container_limit() -> int | None:
    """Bytes that the container grants, None without a limit."""
    try:
        text = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None
