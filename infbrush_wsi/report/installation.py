"""What is installed, what it can do here, and what is missing: the facts of `infbrush doctor`."""

from __future__ import annotations

import importlib
import platform
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from infbrush_wsi.report.libraries import PACKAGE, Extra, Library, extras, required_libraries
from infbrush_wsi.report.machine import Folder, Machine, kernel_folder, machine, scratch_folder

NATIVE = ("torch", "numba", "openslide", "imagecodecs", "rasterio")
"""Modules that load libraries of the system: they can be installed and still not work."""


@dataclass(frozen=True)
class Installation:
    """Facts about this installation.

    Attributes:
        version: of this package.
        python: version.
        libraries: that the package needs.
        extras: groups of optional libraries.
        broken: modules that are installed and cannot be imported, with the error.
        readers: of images, in the order in which they are asked.
        machine: processor, memory and devices.
        kernels: where compiled loops are kept.
        scratch: the temporary folder.
    """

    version: str
    python: str
    libraries: tuple[Library, ...]
    extras: tuple[Extra, ...]
    broken: dict[str, str]
    readers: tuple[str, ...]
    machine: Machine
    kernels: Folder
    scratch: Folder

    @property
    def problems(self) -> tuple[str, ...]:
        """What does not work and should; optional libraries that are missing are no problem."""
        found = [library.problem for library in self.libraries if library.problem]
        found += [f"{module} is installed and cannot be imported: {error}" for module, error in self.broken.items()]
        for folder, what in ((self.kernels, "compiled loops are not kept"), (self.scratch, "no temporary folder")):
            if folder.problem:
                found.append(f"{what}: {folder.path or 'no folder'}: {folder.problem}")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self) | {"problems": list(self.problems)}
        for entry, extra in zip(values["extras"], self.extras, strict=True):
            entry |= {"missing": [library.name for library in extra.missing], "install": extra.install}
        return values


def inspect_installation() -> Installation:
    """Look at this installation; imports the modules of `NATIVE` that are there."""
    from infbrush_wsi.sources.registry import readers

    return Installation(
        version=metadata.version(PACKAGE),
        python=platform.python_version(),
        libraries=required_libraries(),
        extras=extras(),
        broken=_broken(),
        readers=tuple(readers()),
        machine=machine(),
        kernels=kernel_folder(),
        scratch=scratch_folder(),
    )


def _broken() -> dict[str, str]:
    errors = {}
    for module in NATIVE:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                errors[module] = str(error)
        except (ImportError, OSError) as error:
            errors[module] = str(error)
    return errors
