"""Run tutorials in full and store their outputs: python tutorials/run.py [NAME ...].

A notebook runs in a temporary folder. What is stored are its outputs, in place, without times or paths.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TIMEOUT = 1800
"""Seconds for one cell."""


def notebooks() -> list[Path]:
    """All tutorials."""
    return sorted(HERE.glob("*.ipynb"))


def execute(path: Path, folder: Path, *, fast: bool) -> Any:
    """Run a notebook.

    Args:
        path: of the notebook, which is left as it is.
        folder: where it runs, and where it writes.
        fast: in the small version that tests run.

    Returns:
        the notebook with the outputs of this run.

    Raises:
        nbclient.exceptions.CellExecutionError: if a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    settings = {"INFBRUSH_FAST": "1" if fast else "0", "OMP_WAIT_POLICY": "PASSIVE"}
    settings["PYTHONPATH"] = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute(env=os.environ | settings)
    return notebook


def main() -> None:
    """Run the named tutorials, or all."""
    import nbformat

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="without .ipynb; none: all")
    names = parser.parse_args().names
    for path in [HERE / f"{name}.ipynb" for name in names] or notebooks():
        print(path.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(path, Path(folder), fast=False)
        notebook.metadata.get("language_info", {}).pop("version", None)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
