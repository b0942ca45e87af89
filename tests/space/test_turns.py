"""Readings take turns: nobody waits for a long one to end, and whoever leaves holds nobody up."""

import threading
import time

import pytest

from space.asking import Asking
from space.pace import Pace, warmed_up
from space.stops import PATIENCE, Stops
from space.turns import Turns, Waiting, closing
from space.words import words


def steps(name: str, count: int, seen: list[str], gate: threading.Event | None = None):
    for number in range(count):
        yield number
        if gate:
            gate.wait(10)
        seen.append(f"{name}{number}")
    return f"{name} is over"


def run(turns: Turns, generator, waits: list[int] | None = None) -> str:
    running = turns.run(generator, every=0.02)
    while True:
        try:
            step = next(running)
        except StopIteration as end:
            return end.value
        if isinstance(step, Waiting) and waits is not None:
            waits.append(step.before)


def until(holds) -> None:
    while not holds():
        time.sleep(0.001)


def test_alone_a_reading_goes_through():
    seen: list[str] = []
    assert run(Turns(), steps("a", 3, seen)) == "a is over"
    assert seen == ["a0", "a1", "a2"]


def test_a_short_reading_does_not_wait_for_a_long_one():
    turns, seen, gate = Turns(), list[str](), threading.Event()
    threads = [threading.Thread(target=run, args=(turns, steps("long", 30, seen, gate)))]
    threads[0].start()
    until(lambda: turns._reading and not turns.waiting)
    threads += [threading.Thread(target=run, args=(turns, steps(name, 2, seen))) for name in ("b", "c")]
    for thread in threads[1:]:
        thread.start()
    until(lambda: turns.waiting >= 2)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 34
    assert max(seen.index("b1"), seen.index("c1")) <= 8  # between two of their windows the long one reads one


def test_a_reading_of_one_batch_waits_for_one_turn(echo):
    turns = list[int]()
    reading = run(Turns(share=turns.append), echo.steps("A text about horses.", "horses"))
    assert reading.answered and len(turns) == 1


def test_who_waits_hears_how_many_are_before():
    turns, gate, waits = Turns(), threading.Event(), list[int]()
    first = threading.Thread(target=run, args=(turns, steps("a", 1, [], gate)))
    first.start()
    until(lambda: turns._reading)
    second = threading.Thread(target=run, args=(turns, steps("b", 1, []), waits))
    second.start()
    until(lambda: waits)
    gate.set()
    for thread in (first, second):
        thread.join(10)
    assert waits[0] == 1


def test_whoever_leaves_holds_nobody_up():
    turns, gate = Turns(), threading.Event()
    holding = threading.Thread(target=run, args=(turns, steps("a", 1, [], gate)))
    holding.start()
    until(lambda: turns._reading)
    with closing(turns.run(steps("gone", 1, []), every=0.01)) as left:
        assert [next(left), next(left)] == [0, Waiting(1)]
    assert turns.waiting == 0
    gate.set()
    holding.join(10)
    assert run(turns, steps("b", 1, [])) == "b is over"


def test_a_reading_that_fails_gives_its_place_back():
    def broken():
        yield 1
        raise ValueError("no such thing")

    turns = Turns()
    with pytest.raises(ValueError, match="no such thing"):
        run(turns, broken())
    assert run(turns, steps("a", 1, [])) == "a is over"


def test_two_read_at_a_time_and_share_the_cores():
    shares, gate, seen = list[int](), threading.Event(), list[str]()
    turns = Turns(2, shares.append)
    threads = [threading.Thread(target=run, args=(turns, steps(name, 1, seen, gate))) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    until(lambda: turns._reading >= 2)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert sorted(seen) == ["a0", "b0"] and 2 in shares


def test_a_pace_is_learned():
    pace = Pace()
    assert pace.expected(1_000) is None
    pace.note(1_000, 2.0)
    assert pace.expected(500) == pytest.approx(1.0)
    for _ in range(20):
        pace.note(1_000, 4.0)
    assert pace.expected(1_000) == pytest.approx(4.0, rel=0.01)
    pace.note(0, 9.0)
    assert pace.expected(1_000) == pytest.approx(4.0, rel=0.01)


def test_the_first_visitor_is_told_how_long_it_will_take(echo):
    calls = echo.model.calls
    pace = warmed_up(echo)
    assert echo.model.calls > calls
    first = next(Asking(echo, Turns(), pace).answer("A needle. " * 90_000, "needle", "", words(), lambda: False))
    assert "about" in first[0] and "left" in first[0]


def test_a_session_that_never_reads_leaves_no_flag_for_ever(monkeypatch):
    stops, now = Stops(), [0.0]
    monkeypatch.setattr("space.stops.time.monotonic", lambda: now[0])
    for number in range(500):
        assert stops.begin(f"gone {number}")
    assert stops.begin("reads") and not stops.begin("reads")
    stops.read("reads")
    now[0] = PATIENCE + 1
    assert stops.begin("next")
    assert len(stops) == 2  # the one that is reading, and the new one
    assert not stops.stopped("reads")
    stops.stop("reads")
    assert stops.stopped("reads")
    stops.end("reads")
    stops.end("next")
    assert len(stops) == 0
