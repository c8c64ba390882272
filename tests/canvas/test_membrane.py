"""The membrane against closed forms."""

import numpy as np
import pytest

from infbrush_wsi.canvas.membrane import membrane

HOLE = np.zeros((12, 15), bool)
HOLE[3:8, 4:11] = True
HOLE[5:10, 9:13] = True


def test_a_harmonic_function_is_found_from_its_border():
    y, x = np.mgrid[:12, :15].astype(float)
    harmonic = np.stack([x, 2 * x - y + 3, x * y, x**2 - y**2], axis=-1)
    values = np.where(HOLE[..., None], np.nan, harmonic)
    found = membrane(values, HOLE)
    np.testing.assert_allclose(found[HOLE], harmonic[HOLE], rtol=1e-5, atol=1e-5)
    assert not found[~HOLE].any()


def test_it_stays_between_the_values_around_it():
    values = np.random.default_rng(0).uniform(-1, 2, (12, 15, 2))
    found = membrane(values, HOLE)[HOLE]
    assert found.min() > -1
    assert found.max() < 2


def test_a_hole_at_the_edge_knows_one_side():
    hole = np.zeros((6, 8), bool)
    hole[:, 5:] = True
    np.testing.assert_allclose(membrane(np.full((6, 8, 1), 0.7), hole)[hole], 0.7, rtol=1e-6)


@pytest.mark.parametrize("hole", [np.zeros((4, 5), bool), np.ones((4, 5), bool)], ids=["none", "all"])
def test_without_a_border_there_is_nothing_to_add(hole):
    assert not membrane(np.ones((4, 5, 3)), hole).any()
