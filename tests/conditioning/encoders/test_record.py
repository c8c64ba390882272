"""What travels with embeddings, and the hash of weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from infbrush_wsi.conditioning.encoders import EncoderRecord, check_same_encoder
from infbrush_wsi.conditioning.encoders.weights import load_weights, state_dict_sha256
from infbrush_wsi.errors import CheckpointError, ConditionError

RECORD = EncoderRecord("timm:x", "ab" * 32, 8, (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), 224, "bicubic", False, 0.5)


def test_a_record_survives_json() -> None:
    assert EncoderRecord.from_dict(json.loads(json.dumps(RECORD.to_dict()))) == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimension": "many"}, "dimension"),
        ({"dimension": 0}, "needs a dimension"),
        ({"std": [0.1]}, "for each band"),
        ({"std": [0.1, 0.0, 0.1]}, "positive deviation"),
        ({"colour": 1}, "unknown fields"),
    ],
)
def test_damaged_records_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConditionError, match=message):
        EncoderRecord.from_dict(RECORD.to_dict() | change)
    with pytest.raises(ConditionError, match="unknown fields"):
        EncoderRecord.from_dict(None)


@pytest.mark.parametrize(
    "change",
    [{"name": "hf:x"}, {"sha256": "cd" * 32}, {"dimension": 9}, {"mean": (0.5, 0.4, 0.2)}, {"unit_length": True},
     {"size": 256}, {"interpolation": "bilinear"}],
)  # fmt: skip
def test_another_encoder_is_refused_by_what_differs(change: dict[str, object]) -> None:
    check_same_encoder(RECORD, replace(RECORD, mpp=None))
    with pytest.raises(ConditionError, match=f"(?s)store.zarr come from another encoder.*{next(iter(change))}.*timm:x"):
        check_same_encoder(RECORD, replace(RECORD, **change), "the embeddings of store.zarr")


def test_the_hash_is_of_names_types_shapes_and_values_only() -> None:
    state = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor(3), "c": torch.ones(2, dtype=torch.bfloat16)}
    known = state_dict_sha256(state)
    digest = hashlib.sha256(b"a\0torch.int64\0()\0" + np.int64(3).tobytes())
    digest.update(b"b\0torch.float32\0(2, 3)\0" + np.arange(6, dtype="<f4").tobytes())
    digest.update(b"c\0torch.bfloat16\0(2,)\0" + bytes([0x80, 0x3F] * 2))
    assert known == digest.hexdigest()
    assert state_dict_sha256(dict(reversed(state.items()))) == known
    assert state_dict_sha256(state | {"b": state["b"].T.contiguous().T}) == known
    for other in (
        {"b": state["b"].reshape(3, 2)}, {"b": state["b"].double()}, {"b": state["b"] + 1e-6}, {"d": torch.zeros(1)},
    ):  # fmt: skip
        assert state_dict_sha256(state | other) != known


def test_local_weights_may_have_more_but_not_less(tmp_path) -> None:
    source, network = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    torch.save({"state_dict": source.state_dict() | {"head.weight": torch.zeros(1)}}, tmp_path / "w.pth")
    load_weights(network, tmp_path / "w.pth", "x")
    assert state_dict_sha256(network.state_dict()) == state_dict_sha256(source.state_dict())
    with pytest.raises(CheckpointError, match="0 are missing and 2 have another shape"):
        load_weights(torch.nn.Linear(4, 5), tmp_path / "w.pth", "x")
    torch.save({"weight": source.weight}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"1 are missing.*bias"):
        load_weights(network, tmp_path / "part.pth", "x")
    with pytest.raises(CheckpointError, match="no file"):
        load_weights(network, tmp_path / "none.pth", "x")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_weights(network, tmp_path / "bad.safetensors", "x")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="no state dictionary"):
        load_weights(network, tmp_path / "list.pth", "x")
