"""Every error that infbrush_wsi raises on bad input.

Each class is also the built-in that callers would expect (``FileNotFoundError``, ``ValueError``, ...), and
each message says what was wrong, where, and what to do about it.
"""

from __future__ import annotations


class InfbrushError(Exception):
    """Base class: ``except InfbrushError`` catches everything that this package raises on purpose."""


class MissingExtraError(InfbrushError, ImportError):
    """An optional library is needed and absent; the message names the extra that installs it."""


class SourceError(InfbrushError):
    """A source of pixels cannot be used."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is nothing at the given path."""


class UnsupportedSourceError(SourceError, ValueError):
    """No installed reader knows this kind of file."""


class CorruptSourceError(SourceError, ValueError):
    """The file is empty, truncated or damaged."""


class SourceTooLargeError(SourceError, ValueError):
    """The image declares a size beyond the limit that protects memory."""


class BandMismatchError(SourceError, ValueError):
    """The source has other bands than the model, the data set or the call asks for."""


class MissingMppError(SourceError, ValueError):
    """The source does not say its physical pixel size and none was given."""


class RegionError(InfbrushError, ValueError):
    """A region, level or size that makes no sense for this image."""


class DatasetError(InfbrushError, ValueError):
    """A collection of sources from which no training sample can be drawn, or a bad label table."""


class SamplingError(InfbrushError, ValueError):
    """A set of coordinates that cannot be drawn (more points than pixels, empty mask, ...)."""


class ConfigError(InfbrushError, ValueError):
    """A run or model configuration that is not valid."""


class ConditionError(InfbrushError, ValueError):
    """A condition (class, embedding) that the model was not trained for."""


class CheckpointError(InfbrushError, ValueError):
    """A model directory or training checkpoint that is incomplete, damaged or of another version."""


class TrainingError(InfbrushError, RuntimeError):
    """Training cannot go on (non-finite loss, ...); the last good state has been kept."""


class PlanError(InfbrushError, ValueError):
    """A plan that is damaged, or that belongs to another model or canvas."""


class MemorisedError(InfbrushError, ValueError):
    """Generated images are near copies of training images, and nobody has said that they may be used all the same."""


class OutputExistsError(InfbrushError, FileExistsError):
    """The output path exists and overwriting was not asked for."""


class OutputError(InfbrushError, OSError):
    """An output could not be written; what was begun has been removed, or is kept for a call that goes on with it."""
