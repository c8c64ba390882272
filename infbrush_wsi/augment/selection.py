"""Which images of a synthetic data set are worth keeping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.data import Subset

    from infbrush_wsi.augment.synthetic import SyntheticDataset


@dataclass(frozen=True)
class Dropped:
    """An image that is not kept.

    Attributes:
        index: of the item.
        reason: why, for people.
        value: what was measured.
    """

    index: int
    reason: str
    value: float


@dataclass(frozen=True)
class Selection:
    """A part of a data set.

    Attributes:
        dataset: the whole.
        kept: indices, in order.
        dropped: the others that were judged, in order.
    """

    dataset: SyntheticDataset
    kept: tuple[int, ...]
    dropped: tuple[Dropped, ...]

    @property
    def subset(self) -> Subset[Any]:
        """The kept images as a data set."""
        from torch.utils.data import Subset

        return Subset(self.dataset, self.kept)

    @property
    def by_class(self) -> dict[str, int]:
        """How many are kept of each class."""
        labels = [self.dataset.entry(index).label for index in self.kept]
        return {name: labels.count(name) for name in self.dataset.classes}

    def but(self, dropped: tuple[Dropped, ...]) -> Selection:
        """Without some more."""
        gone = {each.index for each in dropped}
        kept = tuple(index for index in self.kept if index not in gone)
        return Selection(self.dataset, kept, tuple(sorted((*self.dropped, *dropped), key=lambda d: d.index)))


def everything(chosen: SyntheticDataset | Selection) -> Selection:
    """A data set as the selection of all of it."""
    return chosen if isinstance(chosen, Selection) else Selection(chosen, tuple(range(len(chosen))), ())
