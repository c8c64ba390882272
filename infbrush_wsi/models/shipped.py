"""Models that come with the package, found by name."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).with_name("weights")


def shipped_models() -> tuple[str, ...]:
    """Names that stand for a model directory wherever one is asked for, for example 'hne-tiny'."""
    return tuple(sorted(path.parent.name for path in WEIGHTS.glob("*/infbrush.json")))


def model_directory(model: str | Path) -> Path:
    """The directory of a model.

    Args:
        model: a directory, or the name of a model that comes with the package; a directory of that name, where there
            is one, goes first.
    """
    given = Path(model)
    return WEIGHTS / given.name if not given.exists() and str(given) in shipped_models() else given
