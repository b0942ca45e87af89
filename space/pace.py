"""How long a reading will take, by how long the last ones took."""

import threading


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
