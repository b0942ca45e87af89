"""How long a reading will take, by how long the last ones took."""

import threading

from space.gallery import examples
from space.reader import Reader


class Pace:
    """Seconds a token, as a mean that forgets: the last reading counts a third."""

    WEIGHT = 1 / 3

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._lock = threading.Lock()

    def note(self, tokens: int, seconds: float) -> None:
        if tokens < 1:
            return
        with self._lock:
            new = seconds / tokens
            self._seconds = new if self._seconds is None else (1 - self.WEIGHT) * self._seconds + self.WEIGHT * new

    def expected(self, tokens: int) -> float | None:
        """Seconds for so many tokens; None before the first reading."""
        return None if self._seconds is None else self._seconds * tokens


def warmed_up(reader: Reader) -> Pace:
    """The pace of a first reading, of an example: what is loaded late is loaded by it, and not before a visitor."""
    example = next(iter(examples().values()))
    pace = Pace()
    for _ in range(2):  # the first reading also loads the model, so only the second is measured
        reading = reader.read(example.text, example.questions[0])
    pace.note(reading.tokens, reading.seconds)
    return pace
