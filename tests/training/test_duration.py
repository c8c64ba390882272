"""Runs that are limited in time."""

from __future__ import annotations

import itertools

import pytest

from infbrush_wsi.training import duration
from infbrush_wsi.training.config import OptimConfig
from infbrush_wsi.training.duration import RunLength
from infbrush_wsi.training.loop import schedule


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = {"at": 0.0}
    monkeypatch.setattr(duration.time, "perf_counter", lambda: now["at"])
    return now


def run(optim, clock, pace, facts=None, first=0):
    """Steps of a run whose first three take five seconds each: (total, step at which it was fixed)."""
    length = RunLength(optim, {} if facts is None else facts, first)
    for step in itertools.count(first + 1):
        if length.total is not None:
            return length.total, step - 1
        clock["at"] += 5.0 if step - first <= 3 else pace
        found = length.observe(step)
        if found is not None:
            length.fix(found)
    return None


def test_steps_are_as_configured_without_minutes():
    length = RunLength(OptimConfig(steps=7), {})
    assert length.total == 7
    assert length.observe(1) == 7


@pytest.mark.parametrize(("minutes", "pace"), [(2.0, 0.25), (2.0, 3.0), (60.0, 0.5), (0.5, 0.1)])
def test_the_run_ends_when_the_time_is_over(clock, minutes, pace):
    total, _ = run(OptimConfig(minutes=minutes), clock, pace)
    assert 15 + (total - 3) * pace == pytest.approx(60 * minutes, abs=pace)


def test_the_end_is_known_before_the_learning_rate_must_fall(clock):
    for minutes in (0.5, 2.0, 30.0):
        optim = OptimConfig(minutes=minutes, decay=0.3)
        total, fixed = run(optim, clock, 0.4)
        assert fixed < 0.7 * total
        assert schedule(fixed, optim, total) == schedule(fixed, optim, None)
    assert schedule(total - 1, optim, total) < 1e-3


def test_a_run_slower_than_its_time_stops_at_once(clock):
    total, fixed = run(OptimConfig(minutes=0.05), clock, 1.0)
    assert total == fixed == 1


def test_a_continued_run_keeps_its_end_unless_other_minutes_are_asked_for(clock):
    facts = {}
    total, _ = run(OptimConfig(minutes=2.0), clock, 0.25, facts)
    assert facts == {"length": {"minutes": 2.0, "steps": total}}
    assert RunLength(OptimConfig(minutes=2.0), facts, 100).total == total
    more, fixed = run(OptimConfig(minutes=4.0), clock, 0.25, facts, first=total)
    assert fixed > total
    assert more > total + 500
