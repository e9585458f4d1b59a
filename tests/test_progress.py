"""What is printed while a command measures."""

import io

import pytest
from rich.console import Console

from qernel.progress import MeasuringView


def said(monkeypatch, shares):
    """What is printed without a terminal when `shares` are reported, 40 seconds after one another."""
    clock = iter(range(0, 40_000, 40))
    monkeypatch.setattr("qernel.progress.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    with MeasuringView(Console(file=stream)) as view:
        for share in shares:
            view.update(share)
    return stream.getvalue()


def test_without_a_terminal_a_line_a_minute(monkeypatch):
    # At 80 and at 160 seconds, at the pace since a tenth was done, at 40: what came before was no sampling.
    lines = said(monkeypatch, [0.1, 0.25, 0.4, 0.5]).splitlines()
    assert lines == ["measured 25%, 3:20 left", "measured 50%, 2:30 left"]


def test_no_time_is_told_from_next_to_nothing(monkeypatch):
    assert said(monkeypatch, [0.01, 0.02]).splitlines() == ["measured 2%"]


def test_the_clock_starts_anew_with_other_measurements(monkeypatch):
    # The second begins at 120 seconds; at 160 a fifth is done of it.
    lines = said(monkeypatch, [0.5, 1.0, 0.0, 0.2]).splitlines()
    assert lines == ["measured 100%, 0:00 left", "measured 20%, 2:40 left"]


def test_nothing_is_said_of_what_is_done_at_once():
    stream = io.StringIO()
    with MeasuringView(Console(file=stream)) as view:
        view.update(0.5)
        view.update(1.0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_terminal_shows_a_bar(share):
    stream = io.StringIO()
    with MeasuringView(Console(file=stream, force_terminal=True, width=60)) as view:
        view.update(share)
    assert f"{share:.0%}" in stream.getvalue()


def test_a_bar_that_was_full_goes_on():
    with MeasuringView(Console(file=io.StringIO(), force_terminal=True)) as view:
        view.update(1.0)
        view.update(0.25)
        (task,) = view._bar.tasks
        assert not task.finished
        assert task.percentage == 25
