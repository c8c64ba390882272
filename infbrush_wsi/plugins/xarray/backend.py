"""xarray's ``engine="infbrush"``: OME-Zarr pyramids, and every slide and raster that `open_source` opens."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from xarray.backends import BackendEntrypoint

if TYPE_CHECKING:
    import xarray as xr

    from infbrush_wsi.plugins.pyramid import Pyramid


class InfbrushBackend(BackendEntrypoint):
    """Opens a level as a Dataset and a pyramid as a DataTree, lazily, with physical coordinates.

    xarray loads it to list its engines, so that this module imports nothing else until something is opened.
    """

    description: ClassVar[str] = "Open OME-Zarr pyramids, slides and rasters level by level with infbrush-wsi"
    supports_groups: ClassVar[bool] = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether xarray should take this engine by itself: for our stores that its own Zarr engine cannot open.

        A nested store is left to that engine, which names the groups as they are stored.
        """
        from infbrush_wsi.plugins.stores import is_ours, level_paths, root_attributes

        paths = level_paths(root_attributes(filename_or_obj))
        return bool(paths) and "/" not in paths[0] and is_ours(filename_or_obj)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        level: int = 0,
        mpp: float | tuple[float, float] | None = None,
        bands: tuple[int, ...] | None = None,
        scale: tuple[float, float] | None = None,
        reader: str | None = None,
    ) -> xr.Dataset:
        """One level: the variable 'image' (band, y, x), uint8.

        Args:
            filename_or_obj: a path or URL, an opened source, or a canvas.
            drop_variables: names to leave out.
            level: of the pyramid, 0 is the finest.
            mpp: micrometres per level-0 pixel, if the file does not say it.
            bands: 1-based bands to read.
            scale: (low, high) raw values that become 0 and 255, for anything but 8-bit.
            reader: of `open_source`.

        Raises:
            SourceError: one of its kinds, if it cannot be opened.
            RegionError: if the level does not exist.
        """
        from infbrush_wsi.plugins.xarray.labelled import dataset

        pyramid = _open(filename_or_obj, mpp=mpp, bands=bands, scale=scale, reader=reader)
        return dataset(pyramid, level).drop_vars(_names(drop_variables), errors="ignore")

    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **options: Any
    ) -> dict[str, xr.Dataset]:
        """All levels by the paths of their groups; options as of `open_dataset`, without the level."""
        import xarray as xr

        from infbrush_wsi.plugins.xarray.labelled import groups

        found = groups(_open(filename_or_obj, **options), chunked=False)
        dropped = _names(drop_variables)
        return {
            "/": xr.Dataset(),
            **{f"/{name}": level.drop_vars(dropped, errors="ignore") for name, level in found.items()},
        }

    def open_datatree(
        self, filename_or_obj: Any, *, drop_variables: str | Iterable[str] | None = None, **options: Any
    ) -> xr.DataTree:
        """All levels as the children scale0, scale1, ... of a tree; options as of `open_dataset`, without the level."""
        import xarray as xr

        return xr.DataTree.from_dict(
            self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, **options)
        )


def _open(filename_or_obj: Any, **options: Any) -> Pyramid:
    from infbrush_wsi.plugins.pyramid import pyramid_of

    return pyramid_of(filename_or_obj, **{name: value for name, value in options.items() if value is not None})


def _names(drop_variables: str | Iterable[str] | None) -> list[str]:
    if drop_variables is None:
        return []
    return [drop_variables] if isinstance(drop_variables, str) else list(drop_variables)
