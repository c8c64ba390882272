"""Which of the libraries that this package names are installed, and in which version."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

PACKAGE = "infbrush-wsi"
FOR_DEVELOPERS = frozenset({"all", "dev", "docs"})
"""Extras that hold other extras, or what only the project itself needs."""
PURPOSES = {
    "wsi": "slides, pyramidal TIFF",
    "geo": "rasters",
    "tiatoolbox": "TIAToolbox",
    "augment": "infbrush protocol",
    "encoders": "encoders of images and words",
    "gpu": "kernels for GPUs",
    "viz": "pictures of infbrush demo",
    "distributed": "many processes, clusters",
    "metrics": "infbrush evaluate",
    "napari": "napari",
    "dicom": "slides written as DICOM",
    "torchgeo": "torchgeo",
    "validate": "infbrush validate",
    "view": "infbrush view",
    "watermark": "invisible watermarks",
}
"""What an extra is for; extras that are not named here are listed without it."""


@dataclass(frozen=True)
class Library:
    """A library that is asked for.

    Attributes:
        name: of its distribution.
        needs: versions that will do, '' for any.
        version: that is installed; None: it is not.
    """

    name: str
    needs: str
    version: str | None

    @property
    def fits(self) -> bool:
        """Whether it is installed in a version that will do."""
        if self.version is None:
            return False
        try:
            return Requirement(f"{self.name}{self.needs}").specifier.contains(Version(self.version), prereleases=True)
        except InvalidVersion:  # a build of somebody's own: its number says nothing
            return True

    @property
    def problem(self) -> str:
        """What is wrong with it, '' for nothing."""
        if self.version is None:
            return f"{self.name} is not installed"
        return "" if self.fits else f"{self.name} {self.version} is installed, {self.needs} is needed"


@dataclass(frozen=True)
class Extra:
    """A group of optional libraries.

    Attributes:
        name: as in ``pip install 'infbrush-wsi[name]'``.
        purpose: what it is for.
        libraries: that it brings.
    """

    name: str
    purpose: str
    libraries: tuple[Library, ...]

    @property
    def missing(self) -> tuple[Library, ...]:
        """Those that are not there, or too old."""
        return tuple(library for library in self.libraries if not library.fits)

    @property
    def install(self) -> str:
        """The command that brings it."""
        return f"pip install '{PACKAGE}[{self.name}]'"


def required_libraries() -> tuple[Library, ...]:
    """What the package cannot do without, sorted by name."""
    return _libraries(extra="")


def extras() -> tuple[Extra, ...]:
    """The groups of optional libraries that users may want, as the installed package names them."""
    names = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    return tuple(
        Extra(name, PURPOSES.get(name, ""), tuple(lib for lib in _libraries(name) if _normal(lib.name) != PACKAGE))
        for name in names
        if name not in FOR_DEVELOPERS
    )


def _libraries(extra: str) -> tuple[Library, ...]:
    found = [_library(requirement) for requirement in _requirements(extra)]
    return tuple(sorted(found, key=lambda library: library.name.lower()))


def _requirements(extra: str) -> Iterable[Requirement]:
    """Requirements of this machine that are asked for by an extra, or without any."""
    environment = {str(name): str(value) for name, value in default_environment().items()}
    for text in metadata.requires(PACKAGE) or []:
        requirement = Requirement(text)
        marker = requirement.marker
        always = marker is None or marker.evaluate(environment | {"extra": ""})
        asked = marker is not None and marker.evaluate(environment | {"extra": extra})
        if (asked and not always) if extra else always:
            yield requirement


def _library(requirement: Requirement) -> Library:
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        version = None
    return Library(requirement.name, str(requirement.specifier), version)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
