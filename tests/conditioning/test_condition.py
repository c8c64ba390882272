"""Conditions as tensors, and the learnt embedder: null against label, wrong kinds refused."""

from __future__ import annotations

import pytest
import torch

from infbrush_wsi.conditioning.condition import ConditionBatch
from infbrush_wsi.conditioning.embedder import ConditionEmbedder
from infbrush_wsi.errors import ConditionError


def labels(*values: int, null: tuple[int, ...] = ()) -> ConditionBatch:
    mask = torch.tensor([i in null for i in range(len(values))])
    return ConditionBatch(mask, labels=torch.tensor(values))


@pytest.fixture
def by_class() -> ConditionEmbedder:
    torch.manual_seed(0)
    return ConditionEmbedder(16, 3, classes=4)


@pytest.fixture
def by_embedding() -> ConditionEmbedder:
    torch.manual_seed(0)
    return ConditionEmbedder(16, 3, embedding_dim=10)


def test_shapes_and_norm(by_class: ConditionEmbedder) -> None:
    vector, tokens = by_class(labels(0, 3))
    assert vector.shape == (2, 16)
    assert tokens.shape == (2, 3, 16)
    torch.testing.assert_close(vector, by_class.vector(tokens.mean(1)))


def test_classes_differ_and_equal_classes_agree(by_class: ConditionEmbedder) -> None:
    vector, tokens = by_class(labels(1, 2, 1))
    assert torch.equal(tokens[0], tokens[2])
    assert (vector[0] - vector[1]).abs().max() > 0.01


def test_null_ignores_the_label(by_class: ConditionEmbedder) -> None:
    vector, tokens = by_class(labels(0, 1, -1, 2, null=(0, 1, 2)))
    none_vector, none_tokens = by_class(ConditionBatch.none(1))
    for i in range(3):
        torch.testing.assert_close(tokens[i], none_tokens[0])
        torch.testing.assert_close(vector[i], none_vector[0])
    assert (tokens[3] - none_tokens[0]).abs().max() > 0.01


def test_dropping_keeps_earlier_nulls() -> None:
    dropped = labels(0, 1, 2, null=(0,)).dropped(torch.tensor([False, True, False]))
    assert dropped.null.tolist() == [True, True, False]


def test_unconditional_half_comes_second() -> None:
    both = labels(2, 1, null=(1,)).with_unconditional()
    assert both.null.tolist() == [False, True, True, True]
    assert both.labels is not None
    assert both.labels.tolist() == [2, 1, 2, 1]
    tokens = torch.randn(2, 5, 10)
    doubled = ConditionBatch(torch.zeros(2, dtype=torch.bool), embeddings=tokens).with_unconditional().embeddings
    assert doubled is not None
    assert torch.equal(doubled, torch.cat([tokens, tokens]))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_embeddings_keep_their_tokens(by_embedding: ConditionEmbedder, count: int) -> None:
    values = torch.randn(2, count, 10)
    vector, tokens = by_embedding(ConditionBatch(torch.tensor([False, True]), embeddings=values))
    assert tokens.shape == (2, count, 16)
    torch.testing.assert_close(tokens[0], by_embedding.norm(by_embedding.project(values[0])))
    changed = values.clone()
    changed[1] += 1
    again = by_embedding(ConditionBatch(torch.tensor([False, True]), embeddings=changed))
    torch.testing.assert_close(again[0], vector)  # the second image is null: its values do not matter
    torch.testing.assert_close(again[1], tokens)


def test_gradients_reach_what_is_used(by_class: ConditionEmbedder) -> None:
    assert by_class.table is not None
    by_class(labels(1, 1, null=(1,)))[0].square().sum().backward()
    assert by_class.null.grad is not None
    assert by_class.null.grad.abs().sum() > 0
    rows = by_class.table.weight.grad.abs().sum(1)
    assert rows[1] > 0
    assert rows[[0, 2, 3]].sum() == 0


def test_kinds_that_the_model_does_not_know_are_refused(
    by_class: ConditionEmbedder, by_embedding: ConditionEmbedder
) -> None:
    plain = ConditionEmbedder(16, 3)
    values = ConditionBatch(torch.zeros(1, dtype=torch.bool), embeddings=torch.randn(1, 2, 10))
    with pytest.raises(ConditionError, match="trained without classes"):
        plain(labels(0))
    with pytest.raises(ConditionError, match="trained without classes"):
        by_embedding(labels(0))
    with pytest.raises(ConditionError, match="trained without them"):
        by_class(values)
    wide = ConditionBatch(torch.zeros(1, dtype=torch.bool), embeddings=torch.randn(1, 2, 11))
    with pytest.raises(ConditionError, match="width 10, not 11"):
        by_embedding(wide)


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_outside_the_classes_are_refused(by_class: ConditionEmbedder, label: int) -> None:
    with pytest.raises(ConditionError, match=f"4 classes.*{label}"):
        by_class(labels(0, label))


def test_device_moves_everything() -> None:
    moved = labels(0, 1).to("meta")
    assert moved.null.is_meta
    assert moved.labels is not None
    assert moved.labels.is_meta


def test_conditions_are_joined_in_their_order_and_rows_without_values_get_zeros() -> None:
    joined = ConditionBatch.joined([labels(2, 1), ConditionBatch.none(1), labels(3)])
    assert joined.null.tolist() == [False, False, True, False]
    assert joined.labels is not None
    assert joined.labels.tolist() == [2, 1, 0, 3]
    assert joined.embeddings is None
    tokens = torch.randn(2, 5, 10)
    mixed = ConditionBatch.joined(
        [ConditionBatch.none(1), ConditionBatch(torch.zeros(2, dtype=torch.bool), embeddings=tokens)]
    )
    assert mixed.labels is None
    assert mixed.embeddings is not None
    assert torch.equal(mixed.embeddings, torch.cat([torch.zeros(1, 5, 10), tokens]))
    assert ConditionBatch.joined([ConditionBatch.none(2)]).labels is None


def test_embeddings_with_other_numbers_of_tokens_cannot_be_joined() -> None:
    one, other = (ConditionBatch(torch.zeros(1, dtype=torch.bool), embeddings=torch.zeros(1, n, 4)) for n in (1, 3))
    with pytest.raises(ConditionError, match=r"same shape.*\(1, 4\), \(3, 4\)"):
        ConditionBatch.joined([one, other])


def test_rows_are_selected_in_any_order_and_number() -> None:
    tokens = torch.randn(3, 2, 4)
    batch = ConditionBatch(torch.tensor([False, True, False]), torch.tensor([5, 6, 7]), tokens)
    chosen = batch.select([2, 0, 2, 1])
    assert chosen.null.tolist() == [False, False, False, True]
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [7, 5, 7, 6]
    assert chosen.embeddings is not None
    assert torch.equal(chosen.embeddings, tokens[[2, 0, 2, 1]])
    assert ConditionBatch.none(3).select([1]).labels is None


def test_one_unconditional_row_comes_last(by_class: ConditionEmbedder, by_embedding: ConditionEmbedder) -> None:
    more = labels(2, 1).and_unconditional()
    assert more.null.tolist() == [False, False, True]
    vector, _ = by_class(more)
    torch.testing.assert_close(vector[:2], by_class(labels(2, 1))[0])
    torch.testing.assert_close(vector[2:], by_class(ConditionBatch.none(1))[0])
    values = ConditionBatch(torch.zeros(2, dtype=torch.bool), embeddings=torch.randn(2, 3, 10))
    vector, tokens = by_embedding(values.and_unconditional())
    assert tokens.shape == (3, 3, 16)
    torch.testing.assert_close(vector[:2], by_embedding(values)[0])
    assert ConditionBatch.none(1).and_unconditional().null.tolist() == [True, True]
