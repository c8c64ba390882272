"""Configurations that no editor writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from infbrush_wsi.cli.settings import merged, read_mapping
from infbrush_wsi.errors import ConfigError
from infbrush_wsi.training.config import RunConfig
from infbrush_wsi.training.yaml_text import plain_values


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (laughs(9), "it repeats itself"),
        ("a: &a [*a]", "holds itself"),
        ("2001-99-99", "not valid YAML"),
        ("1" * 5000, "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("!!python/object/apply:os.system ['touch hacked']", "not valid YAML"),
        ("{[1]: 2}", "not valid YAML"),
        ("x" * (1 << 23), "too many"),
    ],
)
def test_text_that_is_no_configuration(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        plain_values(text, "x")
    with pytest.raises(ConfigError, match=r"the value of --set data\.window"):
        merged({}, {}, [f"data.window={text}"])
    (tmp_path / "run.yaml").write_text(text)
    for read in (RunConfig.from_yaml, read_mapping):
        with pytest.raises(ConfigError, match=r"run\.yaml"):
            read(tmp_path / "run.yaml")


def test_few_repetitions_are_fine() -> None:
    assert plain_values("a: &a [1, 2]\nb: [*a, *a]", "x") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    assert len(plain_values(laughs(3), "x")) == 3


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"data: \xff\xfe")
    for read in (RunConfig.from_yaml, read_mapping):
        with pytest.raises(ConfigError, match="cannot read the configuration"):
            read(tmp_path / "run.yaml")
