"""Shells complete commands and options."""

from __future__ import annotations

import subprocess

import pytest


def completed(command, environment, shell, words):
    """What is offered for the last of the words."""
    asked = {"_INFBRUSH_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": " ".join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = subprocess.run(command, env=environment | asked, capture_output=True, text=True, check=False, timeout=120)
    return found.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_are_completed(command, environment, shell):
    offered = completed(command, environment, shell, ["infbrush", "ge"])
    assert "generate" in offered
    assert "train" not in offered


def test_options_are_completed(command, environment):
    offered = completed(command, environment, "bash", ["infbrush", "generate", "--gui"]).split()
    assert offered == ["--guidance"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_printed(command, environment, shell):
    call = [*command, "--show-completion", shell]
    found = subprocess.run(call, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr
    assert "_INFBRUSH_COMPLETE=complete_" in found.stdout
