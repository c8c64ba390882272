"""Layouts from their JSON text."""

from __future__ import annotations

import json

from infbrush_wsi.conditioning.layout.base import Layout
from infbrush_wsi.conditioning.layout.grid import EmbeddingGrid
from infbrush_wsi.conditioning.layout.polygons import PolygonLayout
from infbrush_wsi.conditioning.layout.raster import RasterLayout
from infbrush_wsi.conditioning.layout.uniform import UniformLayout
from infbrush_wsi.errors import ConditionError
from infbrush_wsi.formats import LAYOUT

KINDS = {kind.kind: kind for kind in (UniformLayout, PolygonLayout, RasterLayout, EmbeddingGrid)}


def layout_from_json(text: str) -> Layout:
    """The layout that `Layout.to_json` wrote, with an equal token.

    Raises:
        ConditionError: if the text is damaged or of another version.
    """
    try:
        record = json.loads(text)
        version, kind = record["layout"], record["kind"]
        record = LAYOUT.migrated(record, version, where="a stored layout", error=ConditionError)
        if kind not in KINDS:
            raise ConditionError(
                f"a stored layout is of the kind {kind!r}; this package reads {', '.join(KINDS)}: make the layout "
                "again, or use the package that wrote it"
            )
        return KINDS[kind].from_record(record)
    except ConditionError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise ConditionError(f"a stored layout is damaged ({error!r}); make the layout again") from error
