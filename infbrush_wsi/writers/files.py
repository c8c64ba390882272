"""A single output file appears under its name only when it is complete."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from infbrush_wsi.errors import InfbrushError, OutputError, OutputExistsError


@contextmanager
def staged_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a hidden name beside `target`, of the same suffix, which becomes `target` if the block ends well.

    Raises:
        OutputExistsError: if `target` exists and may not be replaced.
        OutputError: if it is a folder or cannot be written; what was begun is removed. The cause is chained.
    """
    if os.path.lexists(target) and not overwrite:
        raise OutputExistsError(f"'{target}' exists; choose another name, or ask to overwrite it")
    if target.is_dir():
        raise OutputError(f"cannot write '{target}': it is a folder; choose another name")
    draft = target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.part{target.suffix}")
    try:
        yield draft
        draft.replace(target)
    except InfbrushError:
        raise
    except Exception as error:
        # Codecs, GDAL and file systems each fail in their own way; the reader of the message needs the path.
        raise OutputError(
            f"cannot write '{target}': {error}; check the folder, its permissions and its free space"
        ) from error
    finally:
        # Also for KeyboardInterrupt; where no draft could be made, there is none to remove either.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
