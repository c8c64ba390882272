from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infbrush_wsi.errors import DatasetError
from infbrush_wsi.sources import Collection, Item, split


def made(groups: list[tuple[int, int]]) -> Collection:
    """Groups as (class, number of items)."""
    items = [
        Item(f"{index}_{number}.png", f"class{label}", f"patient{index}")
        for index, (label, count) in enumerate(groups)
        for number in range(count)
    ]
    return Collection(tuple(items))


GROUPS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=3, max_size=40)


@settings(max_examples=200)
@given(groups=GROUPS, seed=st.integers(0, 99), stratify=st.booleans(), share=st.floats(0.1, 0.8))
def test_no_group_is_in_two_parts_and_nothing_is_lost(
    groups: list[tuple[int, int]], seed: int, stratify: bool, share: float
) -> None:
    whole = made(groups)
    fractions = {"train": share, "val": (1 - share) / 2, "test": (1 - share) / 2}
    parts = split(whole, fractions, seed=seed, stratify=stratify)
    assert list(parts) == ["train", "val", "test"]
    assert all(part.items for part in parts.values())
    seen = [set(part.groups) for part in parts.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == len(groups)
    assert sorted((i for part in parts.values() for i in part.items), key=lambda i: i.path) == sorted(
        whole.items, key=lambda i: i.path
    )
    for part in parts.values():
        assert list(part.items) == [item for item in whole.items if item in part.items]


@settings(max_examples=50)
@given(seed=st.integers(0, 999))
def test_shares_hold_in_each_class(seed: int) -> None:
    parts = split(made([(label, 1) for label in range(4) for _ in range(20)]), {"train": 0.8, "val": 0.2}, seed=seed)
    assert Counter(item.label for item in parts["val"].items) == {f"class{label}": 4 for label in range(4)}


def test_the_seed_decides_and_the_order_does_not() -> None:
    whole = made([(index % 2, 2) for index in range(30)])
    turned = Collection(whole.items[::-1])
    first, again, other = (split(w, {"a": 0.5, "b": 0.5}, seed=s) for w, s in ((whole, 1), (turned, 1), (whole, 2)))
    assert set(first["a"].items) == set(again["a"].items) != set(other["a"].items)


def test_by_item_and_skipped() -> None:
    whole = made([(0, 10)])
    parts = split(whole, {"a": 0.7, "b": 0.3}, by="item")
    assert (len(parts["a"].items), len(parts["b"].items)) == (7, 3)


def test_what_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match="1 groups cannot be split into 2 parts"):
        split(made([(0, 10)]), {"a": 0.7, "b": 0.3})
    for wrong in ({}, {"a": 0.5}, {"a": 1.2, "b": -0.2}, {"a": 1.0, "b": 0.0}):
        with pytest.raises(DatasetError, match="sum to 1"):
            split(made([(0, 10), (1, 10)]), wrong)
