"""The Triton kernels: run in the interpreter, compiled for GPUs that need not be there, and run on one that is."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from infbrush_wsi.errors import ConfigError, MissingExtraError
from infbrush_wsi.operators import triton_support

CASES = Path(__file__).with_name("triton_cases.py")
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
SM = {"sm_80": 80, "sm_90": 90}


def run_cases(interpret: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": interpret}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(CASES)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed is not None
    assert int(passed.group(1)) >= 40, found.stdout


@needs_triton
def test_kernels_in_the_interpreter() -> None:
    run_cases("1")


@needs_triton
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_on_the_gpu() -> None:
    run_cases("0")


def compiled(kernel: Any, types: dict[str, str], constants: dict[str, Any], sm: int, warps: int) -> str:
    """The PTX of a kernel, assembled into machine code on the way; pointers are aligned as torch aligns tensors."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = kernel if isinstance(kernel, triton.JITFunction) else kernel.fn
    names = function.arg_names
    source = ASTSource(
        fn=function,
        signature=types | dict.fromkeys(constants, "constexpr"),
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs={(names.index(n),): [["tt.divisibility", 16]] for n, t in types.items() if t.startswith("*")},
    )
    built = triton.compile(source, target=GPUTarget("cuda", sm, 32), options={"num_warps": warps})
    assert len(built.asm["cubin"]) > 0
    return str(built.asm["ptx"])


def signatures(dtype: str, sums: str) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Types of the arguments of each tuned kernel, and its constants that are not block sizes."""
    rows = {"starts": "*i64", "stops": "*i64", "out": f"*{sums}"}
    pairs = {"pair_rows": "*i32", "pair_sources": "*i32", "segment_taps": "*i64", "segments": "i32"}
    return {
        "convolve_rows": (
            {"x": f"*{dtype}", "weight": "*fp32", "indptr": "*i64", "indices": "*i32", "taps": "*i16"}
            | {"residual": f"*{dtype}", "out": f"*{dtype}", "rows": "i32", "last_tap": "i32", "full": "fp32"},
            {"FLIP": True, "DENSITY": True, "RESIDUAL": True},
        ),
        "correlate_segments": ({"x": f"*{dtype}", "gradient": f"*{dtype}"} | pairs | rows, {"ATOMIC": False}),
        "multiply_rows": (
            {"x": f"*{dtype}", "indices": "*i32", "data": "*fp32", "partial": f"*{sums}", "bounds": "*i64"}
            | {"rows": "i32"}
            | rows,
            {"LONGEST": 128, "SEGMENTS": True},
        ),
    }


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """All kernels by name, as they are compiled; compiled code goes to a folder of the test."""
    pytest.importorskip("triton")
    if triton_support.interpreted():
        pytest.skip("TRITON_INTERPRET is set for this process")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from infbrush_wsi.operators import sparse_product_programs
    from infbrush_wsi.operators.sparse_conv import triton_programs

    return vars(triton_programs) | vars(sparse_product_programs)


@pytest.mark.parametrize(("sm", "dtype", "channels"), [("sm_90", "bf16", 64), ("sm_80", "fp32", 15)])
def test_all_block_sizes_compile_for_a_gpu(kernels: dict[str, Any], sm: str, dtype: str, channels: int) -> None:
    """Not to be seen in the interpreter: a configuration that the compiler refuses would end the tuning."""
    import triton.language as tl

    from infbrush_wsi.operators.triton_tuning import blocks, fitting

    sums = "fp64" if dtype == "fp64" else "fp32"
    configs = fitting(blocks(), {"CHANNELS": channels})
    assert len(configs) > 1
    common = {"CHANNELS": channels, "SUM": getattr(tl, sums.replace("fp", "float"))}
    for name, (types, constants) in signatures(dtype, sums).items():
        for config in configs:
            compiled(kernels[name], types, common | constants | config.kwargs, SM[sm], config.num_warps)
    types = {"partial": f"*{sums}", "bounds": "*i64", "out": f"*{sums}"}
    compiled(kernels["add_partials"], types, common | {"ROWS": 64, "COLUMNS": 32}, SM[sm], 4)


@pytest.mark.parametrize(("channels", "wide"), [(64, True), (24, True), (33, False)])
def test_rows_are_read_by_vector_loads_where_channels_allow(kernels: dict[str, Any], channels: int, wide: bool) -> None:
    import triton.language as tl

    types, constants = signatures("bf16", "fp32")["correlate_segments"]
    blocks = {"ROWS": 64, "COLUMNS": 64, "UNROLL": 1}
    code = compiled(
        kernels["correlate_segments"], types, constants | blocks | {"CHANNELS": channels, "SUM": tl.float32}, 90, 4
    )
    assert bool(re.search(r"ld\.global(\.\w+)*\.v4", code)) == wide


def test_unusable_without_a_gpu_or_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    if importlib.util.find_spec("triton") is not None:
        usable, reason = triton_support.available(torch.device("cpu"))
        assert (usable, "values are on cpu" in reason) == (False, True)
        with pytest.raises(ConfigError, match="values are on cpu"):
            triton_support.require_triton(torch.zeros(1), "run the sparse convolution on a GPU")
    monkeypatch.setitem(sys.modules, "triton", None)  # what a package that is not installed looks like to import
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    usable, reason = triton_support.available()
    assert (usable, "infbrush-wsi[gpu]" in reason) == (False, True)
    with pytest.raises(MissingExtraError, match="infbrush-wsi\\[gpu\\]"):
        triton_support.require_triton(torch.zeros(1), "run the sparse convolution on a GPU")


def test_importing_the_operators_imports_no_triton() -> None:
    modules = "infbrush_wsi.operators.sparse_conv.triton_kernel, infbrush_wsi.operators.sparse_product_triton"
    code = f"import sys, {modules}; sys.exit('triton' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
