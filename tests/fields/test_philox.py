import math

import numpy as np
import pytest

from infbrush_wsi.domain import Box
from infbrush_wsi.fields import NoiseField
from infbrush_wsi.fields._compiled import compiled
from infbrush_wsi.fields._elementary import cos_sin_uniform, exp_minus, log_uniform
from infbrush_wsi.fields.philox import normals_reference, philox, philox_reference

ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [  # Random123, kat_vectors: counter, key, words
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@compiled
def elementary(words: np.ndarray, out: np.ndarray) -> None:
    for i in range(words.shape[0]):
        out[i, 0] = log_uniform(words[i])
        out[i, 1], out[i, 2] = cos_sin_uniform(words[i])


@compiled
def exponential(q: np.ndarray, out: np.ndarray) -> None:
    for i in range(q.shape[0]):
        out[i] = exp_minus(q[i])


def awkward_words() -> np.ndarray:
    """The ends of the range, the corners of the eighths of a turn, and random words."""
    corners = [k * 2**29 + d for k in range(9) for d in (-1, 0, 1)]
    ends = [0, 1, 2, ONES - 1, ONES]
    inside = [word for word in corners + ends if 0 <= word <= ONES]
    rest = np.random.default_rng(0).integers(0, 2**32, 20_000)
    return np.concatenate([np.array(inside), rest]).astype(np.uint64)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter: list[int], key: list[int], words: list[int]) -> None:
    counters, key_words = np.array([counter], np.uint32), np.array(key, np.uint32)
    out = np.empty((1, 4), np.uint32)
    philox(counters, key_words, out)
    assert out[0].tolist() == words
    assert philox_reference(counters, key_words)[0].tolist() == words


def test_compiled_words_equal_the_reference() -> None:
    rng = np.random.default_rng(1)
    counters = rng.integers(0, 2**32, (1000, 4), dtype=np.uint32)
    key = rng.integers(0, 2**32, 2, dtype=np.uint32)
    out = np.empty_like(counters)
    philox(counters, key, out)
    np.testing.assert_array_equal(out, philox_reference(counters, key))


def test_elementary_functions_are_right_to_a_few_units_in_the_last_place() -> None:
    words = awkward_words()
    out = np.empty((words.size, 3))
    elementary(words, out)
    for word, (log, cosine, sine) in zip(words.tolist(), out, strict=True):
        # log1p for words above the middle, where (word + 0.5) / 2**32 is no longer exact near 1.
        exact = math.log1p(-(2**32 - word - 0.5) / 2**32) if word >= 2**31 else math.log((word + 0.5) / 2**32)
        assert log == pytest.approx(exact, rel=1e-15, abs=0)
        angle = 2 * math.pi * ((word + 0.5) / 2**32)
        assert cosine == pytest.approx(math.cos(angle), abs=1e-15)
        assert sine == pytest.approx(math.sin(angle), abs=1e-15)


def test_exponential() -> None:
    q = np.concatenate([[0.0], np.random.default_rng(2).uniform(0, 40, 2000), [700.0]])
    out = np.empty_like(q)
    exponential(q, out)
    np.testing.assert_allclose(out, np.exp(-q), rtol=2e-15)
    assert out[0] == 1.0


def test_noise_is_philox_and_box_muller_as_documented() -> None:
    seed, stream = 0x0123456789ABCDEF, 5
    box = Box(-2, -3, 6, 5)
    values = NoiseField(seed=seed, channels=6, stream=stream).white(box)
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.int64) & ONES
    for group in range(2):
        counters = np.stack([y, x, np.full_like(y, stream), np.full_like(y, group)], -1).astype(np.uint32)
        words = philox_reference(counters, np.array([seed & ONES, seed >> 32], np.uint32))
        expected = normals_reference(words)[..., : 6 - 4 * group]
        np.testing.assert_allclose(values[..., 4 * group : 4 * group + 4], expected, rtol=1e-6, atol=1e-7)


def test_golden_values() -> None:
    """Stored once: these values are part of the meaning of every seed that anyone has written down."""
    white = NoiseField(seed=7, channels=5, stream=3).white(Box(-1, 2, 2, 1))
    assert [float(value).hex() for value in white.ravel()] == [
        *("-0x1.70f8860000000p-3", "-0x1.28baaa0000000p+1", "-0x1.0631d60000000p+1", "0x1.1653640000000p+1"),
        *("0x1.02c4080000000p+0", "0x1.38d9700000000p+0", "-0x1.62870a0000000p-1", "-0x1.b8dd560000000p-1"),
        *("0x1.49d77a0000000p+0", "-0x1.bec2d40000000p-1"),
    ]
    points = np.array([[0.5, 0.5], [-3.25, 1000.125], [1e6 + 0.1, -7.7]])
    field = NoiseField(seed=2**63 + 11, channels=2).at(points)
    assert [float(value).hex() for value in field.ravel()] == [
        *("-0x1.c758fe0000000p-3", "0x1.3d7a820000000p-5", "-0x1.c648fa0000000p-4"),
        *("-0x1.3578620000000p-3", "-0x1.08b89a0000000p-2", "0x1.83c2780000000p-2"),
    ]
