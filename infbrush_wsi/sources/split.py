"""Splitting a data set so that no slide or patient is in two parts."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal

import numpy as np

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.sources.collection import Collection, Item


def split(
    collection: Collection,
    fractions: Mapping[str, float],
    by: Literal["group", "item"] = "group",
    seed: int = 0,
    stratify: bool = True,
) -> dict[str, Collection]:
    """Split a data set into named parts.

    Args:
        collection: the data set.
        fractions: share of the items that each part should get, such as {"train": 0.8, "val": 0.2}; they sum to 1.
        by: 'group' keeps the items of a slide or patient together; 'item' does not.
        seed: another seed gives another split; the same one the same, whatever the order of the items.
        stratify: share out each class by itself (a group counts for its most frequent class).

    Returns:
        The parts by name, none of them empty, with the items in their old order. Shares are met as nearly as whole
        groups allow.

    Raises:
        DatasetError: if the fractions make no sense or there are fewer groups than parts.
    """
    if not fractions or min(fractions.values()) <= 0 or not math.isclose(sum(fractions.values()), 1.0, abs_tol=1e-6):
        raise DatasetError(f"the fractions of a split must be positive and sum to 1, not {dict(fractions)}")
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in collection.items:
        groups[(item.group or item.path) if by == "group" else item.path].append(item)
    if len(groups) < len(fractions):
        raise DatasetError(
            f"{len(groups)} {by}s cannot be split into {len(fractions)} parts ({', '.join(fractions)}); "
            "give group labels that are finer, or fewer parts"
        )
    assigned = _assign(groups, fractions, seed, stratify)
    _fill_empty(assigned, groups, fractions)
    parts = {name: {id(item) for key in keys for item in groups[key]} for name, keys in assigned.items()}
    return {
        name: Collection(tuple(item for item in collection.items if id(item) in chosen), collection.skipped)
        for name, chosen in parts.items()
    }


def _assign(
    groups: Mapping[str, list[Item]], fractions: Mapping[str, float], seed: int, stratify: bool
) -> dict[str, list[str]]:
    """Deal the groups of each class, in random order, to the part that is furthest below its share."""
    strata: dict[str, list[str]] = defaultdict(list)
    for key in sorted(groups):
        strata[_class_of(groups[key]) if stratify else ""].append(key)
    rng = np.random.default_rng(seed)
    assigned: dict[str, list[str]] = {name: [] for name in fractions}
    lacking = dict.fromkeys(fractions, 0.0)
    for label in sorted(strata):
        keys = [strata[label][index] for index in rng.permutation(len(strata[label]))]
        # Large groups first: they are the ones that a part must still have room for.
        keys.sort(key=lambda key: -len(groups[key]))
        total = sum(len(groups[key]) for key in keys)
        # What an earlier class left over is carried on, so that the shares hold for the whole as well.
        lacking = {name: lacking[name] + share * total for name, share in fractions.items()}
        for key in keys:
            name = max(lacking, key=lambda part: lacking[part])
            assigned[name].append(key)
            lacking[name] -= len(groups[key])
    return assigned


def _class_of(items: list[Item]) -> str:
    counts = Counter(str(item.label) for item in items)
    return min(counts, key=lambda label: (-counts[label], label))


def _fill_empty(
    assigned: dict[str, list[str]], groups: Mapping[str, list[Item]], fractions: Mapping[str, float]
) -> None:
    total = sum(len(items) for items in groups.values())
    for name in assigned:
        if not assigned[name]:
            donors = [part for part in assigned if len(assigned[part]) > 1]
            sizes = {part: sum(len(groups[key]) for key in assigned[part]) for part in donors}
            donor = max(donors, key=lambda part: sizes[part] - fractions[part] * total)
            smallest = min(assigned[donor], key=lambda key: len(groups[key]))
            assigned[donor].remove(smallest)
            assigned[name].append(smallest)
