"""Block sizes for kernels that work on a block of rows times a block of channels. Imports triton.

A kernel adds the terms of an output in one fixed order whatever its blocks, so that the configuration that
happens to win the timing on one day does not change a bit of the result.

Rows that have ended read the index of their last pair again, and only values are masked: with masks of indices as well
Triton 3.6 fails to compile the loop for many of these blocks (TritonGPURemoveLayoutConversions, "mask type").
"""

from __future__ import annotations

from typing import Any

import triton

from infbrush_wsi.operators.triton_support import interpreted


def blocks() -> list[Any]:
    """Configurations to time on the first call for a number of channels; one only under the interpreter."""
    if interpreted():
        return [triton.Config({"ROWS": 32, "COLUMNS": 64, "UNROLL": 2}, num_warps=1)]
    return [
        triton.Config({"ROWS": rows, "COLUMNS": columns, "UNROLL": unroll}, num_warps=warps)
        for columns in (16, 32, 64, 128)
        for elements, warps in ((1024, 4), (4096, 8))
        for unroll in (1, 4)
        if (rows := elements // columns) <= 128
    ]


def fitting(configs: list[Any], arguments: dict[str, Any], **named: Any) -> list[Any]:
    """Leave out blocks of more channels than there are, but for the smallest block that holds them all."""
    channels = {**arguments, **named}["CHANNELS"]
    widest = max(16, triton.next_power_of_2(channels))
    return [c for c in configs if c.kwargs["COLUMNS"] <= widest] or configs


def tuned(**options: Any) -> Any:
    """``triton.autotune`` over `blocks`, once for each number of channels (and, as always, each set of dtypes)."""
    return triton.autotune(blocks(), key=["CHANNELS"], prune_configs_by={"early_config_prune": fitting}, **options)
