"""Readings take turns, a batch of windows at a time, so that a short question does not wait for a long document.

Who asks for a turn stands behind all who wait already, also between two windows of one reading. Where there are cores
for it two readings go on at a time, each with half of them; alone, a reading has all.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")

# Seconds between two messages to a waiting visitor of how many are in front.
EVERY = 1.0


@dataclass(frozen=True)
class Waiting:
    """A reading stands in line: so many batches of others come before its own."""

    before: int


class Turns:
    """A line of readings before `places` that read at the same time.

    Args:
        share: called in the thread of a reading with the number of readings that go on, before each batch.
    """

    def __init__(self, places: int = 1, share: Callable[[int], None] | None = None):
        self.places = places
        self._share = share
        self._line: deque[object] = deque()
        self._reading = 0
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        return len(self._line)

    def run(
        self, steps: Generator[Step, None, Result], every: float = EVERY
    ) -> Generator[Step | Waiting, None, Result]:
        """The steps of a reading, each in its turn; between them `Waiting`, where others come first for long.

        The first step only prepares, and waits for no turn. Whoever stops iterating leaves the line.
        """
        step = next(steps)
        while True:
            yield step
            ticket = object()
            with self._changed:
                self._line.append(ticket)
            try:
                while (before := self._before(ticket, every)) is not None:
                    yield Waiting(before)
            except BaseException:
                self._leave(ticket)
                raise
            try:
                step = self._step(steps)
            except StopIteration as end:
                return end.value

    def _before(self, ticket: object, every: float) -> int | None:
        """Wait for the ticket's turn and take it: None; when that takes longer than `every`, how many are before."""

        def is_next() -> bool:
            return self._reading < self.places and self._line[0] is ticket

        with self._changed:
            if self._changed.wait_for(is_next, every):
                self._line.popleft()
                self._reading += 1
                self._changed.notify_all()
                return None
            return self._line.index(ticket) + self._reading

    def _step(self, steps: Iterator[Step]) -> Step:
        try:
            if self._share is not None:
                self._share(min(self.places, self._reading + len(self._line)))
            return next(steps)
        finally:
            with self._changed:
                self._reading -= 1
                self._changed.notify_all()

    def _leave(self, ticket: object) -> None:
        with self._changed:
            if ticket in self._line:
                self._line.remove(ticket)
            self._changed.notify_all()


def turns_of_this_machine() -> Turns:
    """Two places where two cores or more read, one on an accelerator, which gains nothing by two."""
    import torch

    cores = torch.get_num_threads()
    if torch.accelerator.is_available() or cores < 2:
        return Turns()

    def share(readings: int) -> None:
        wanted = max(1, cores // readings)
        if torch.get_num_threads() != wanted:
            torch.set_num_threads(wanted)

    return Turns(2, share)


@contextmanager
def closing(steps: Generator[Step, None, Result]) -> Iterator[Generator[Step, None, Result]]:
    """Close a generator on leaving, so that its ticket is given back at once and not when the memory is tidied."""
    try:
        yield steps
    finally:
        steps.close()
