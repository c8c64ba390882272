"""What the user reads first has to be quick and to show examples."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

COMMANDS = (
    *("demo", "train", "generate", "embed", "augment", "evaluate", "protocol", "info", "export"),
    *("view", "doctor", "validate", "constrain"),
)


def test_help_lists_the_commands_within_a_second_of_computing(command, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    for name in COMMANDS:
        assert f"{name} " in done.stdout


def test_the_command_line_loads_no_heavy_library():
    heavy = "{'torch', 'zarr', 'dask', 'numba', 'scipy', 'diffusers', 'rasterio', 'openslide', 'tifffile', 'pydantic'}"
    code = f"import sys, infbrush_wsi.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_threads_wait_briefly_unless_the_user_says_otherwise():
    code = "import os, infbrush_wsi.cli; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
    for given, expected in (
        ({}, "2000 None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "None ACTIVE"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None"),
    ):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=given)
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples(cli, name):
    result = cli(name, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.output
    assert f"$ infbrush {name} " in result.output


def test_version_is_that_of_the_package(cli):
    from infbrush_wsi import __version__

    assert cli("--version").output.strip() == f"infbrush {__version__}"


def test_a_call_without_arguments_shows_help_and_a_wrong_one_exits_with_two(cli):
    assert "Commands" in cli().output
    assert cli("train", "--no-such-option").exit_code == 2
    assert cli("paint").exit_code == 2


def test_the_package_is_the_command(environment):
    done = subprocess.run(
        [sys.executable, "-m", "infbrush_wsi", "--version"], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.startswith("infbrush ")
