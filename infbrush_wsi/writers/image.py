"""What a written image is, apart from its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from infbrush_wsi.domain import Lattice
from infbrush_wsi.errors import BandMismatchError, ConfigError

RGB_NAMES = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class ImageMeta:
    """An image's name, place and channels.

    Attributes:
        name: a short title, shown by viewers.
        lattice: the pixel grid of level 0; level k has cells of 2**k level-0 pixels.
        channel_names: one name a channel.
        synthetic: whether the pixels were generated; written into every output.
    """

    name: str
    lattice: Lattice
    channel_names: tuple[str, ...]
    synthetic: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("an image to be written needs a name; viewers show it")

    def level(self, number: int) -> Lattice:
        """The pixel grid of level `number` (0 is the finest)."""
        return self.lattice.downsampled(2**number)


def name_channels(count: int, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names given for `count` channels, or names by their number: three or more begin with red, green, blue.

    Raises:
        BandMismatchError: if the number of given names is not the number of channels.
    """
    if given is not None:
        if len(given) != count:
            raise BandMismatchError(
                f"the image has {count} channels, but {len(given)} channel names were given ({', '.join(given)}); "
                f"give one name a channel, or none"
            )
        return tuple(given)
    if count == 1:
        return ("Intensity",)
    first = RGB_NAMES if count >= len(RGB_NAMES) else ()
    return (*first, *(f"Band {number}" for number in range(len(first) + 1, count + 1)))
