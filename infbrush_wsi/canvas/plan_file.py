"""A plan as a file: safetensors with the states of frames and, in its header, what they belong to."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from infbrush_wsi.canvas.state_bytes import from_tensors, to_tensors
from infbrush_wsi.canvas.trajectory import FrameState
from infbrush_wsi.errors import OutputError, PlanError
from infbrush_wsi.formats import PLAN

SEPARATOR = "|"


def save_states(path: Path, states: Mapping[str, FrameState], token: str, facts: Mapping[str, Any]) -> None:
    """Write frame states through a temporary file and a rename.

    Args:
        path: of the file.
        states: by the name of their frame.
        token: of the canvas.
        facts: about the generation, plain JSON, for people.

    Raises:
        OutputError: if it cannot be written.
    """
    tensors = {f"{key}{SEPARATOR}{name}": t for key, s in states.items() for name, t in to_tensors(s).items()}
    header = {"format": PLAN.version, "token": token, "facts": json.dumps(dict(facts), default=str)}
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        partial.touch()
        mode = stat.S_IMODE(partial.stat().st_mode)
        save_file(tensors, partial, metadata=header)
        partial.chmod(mode)  # safetensors makes files that nobody else may read
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"cannot write the plan {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def load_states(path: Path, token: str) -> dict[str, FrameState]:
    """Read frame states.

    Args:
        path: of the file.
        token: of the canvas that they must belong to.

    Raises:
        PlanError: if there is no plan, it is damaged, or it is of another canvas or format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            _check(path, header, token)
            parts: dict[str, dict[str, Tensor]] = {}
            for name in file.keys():  # noqa: SIM118
                frame, _, part = name.partition(SEPARATOR)
                parts.setdefault(frame, {})[part] = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise PlanError(f"cannot read the plan {path}: {error}") from error
    except ValueError as error:  # of a header that is no text
        raise PlanError(f"cannot read the plan {path}: {error}") from error
    return {frame: from_tensors(tensors) for frame, tensors in parts.items()}


def _check(path: Path, header: Mapping[str, str], token: str) -> None:
    if "format" not in header:
        raise PlanError(f"{path} is not a plan; give the file that --save-plan or save_plan wrote")
    PLAN.check(header["format"], where=f"the plan {path}", error=PlanError)
    if header.get("token") != token:
        raise PlanError(
            f"the plan {path} belongs to another canvas: model, condition, size, seed and sampler must be the same; "
            f"it was made for {header.get('facts', 'nothing known')}"
        )
