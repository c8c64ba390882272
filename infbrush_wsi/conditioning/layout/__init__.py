"""Layouts: which condition a generated image has where, in physical units.

Every layout is a map of condition indices on the nodes of a square lattice, bilinear in between, whatever it was made
from: annotation polygons, a label raster, a grid of embeddings, or one condition.
"""

from infbrush_wsi.conditioning.layout.base import Layout
from infbrush_wsi.conditioning.layout.condition import Condition
from infbrush_wsi.conditioning.layout.geojson import parse_geojson, polygons_from_geojson
from infbrush_wsi.conditioning.layout.grid import EmbeddingGrid
from infbrush_wsi.conditioning.layout.labels import LabelMap, label_map
from infbrush_wsi.conditioning.layout.polygons import PolygonLayout
from infbrush_wsi.conditioning.layout.raster import RasterLayout
from infbrush_wsi.conditioning.layout.raster_file import raster_from_file
from infbrush_wsi.conditioning.layout.reference import embedding_grid, rearranged
from infbrush_wsi.conditioning.layout.stored import layout_from_json
from infbrush_wsi.conditioning.layout.to_geojson import layout_to_geojson, write_geojson
from infbrush_wsi.conditioning.layout.uniform import UniformLayout, uniform

__all__ = [
    "Condition",
    "EmbeddingGrid",
    "LabelMap",
    "Layout",
    "PolygonLayout",
    "RasterLayout",
    "UniformLayout",
    "embedding_grid",
    "label_map",
    "layout_from_json",
    "layout_to_geojson",
    "parse_geojson",
    "polygons_from_geojson",
    "raster_from_file",
    "rearranged",
    "uniform",
    "write_geojson",
]
