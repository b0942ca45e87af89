"""Which visitor's reading goes on: one flag a browser tab, set by its Stop button or by closing it.

Gradio can cancel an event by itself, but what the event yields at that moment may still arrive after the page has been
put back; here the reading itself sees the flag between two batches and has the last word.
"""

import time
from dataclasses import dataclass, field
from threading import Event, Lock

# Seconds. A session that asked and has not begun to read by then has left, and its flag is forgotten.
PATIENCE = 60.0


@dataclass
class Flag:
    """Set to stop; `reading` from the first window on."""

    since: float
    stop: Event = field(default_factory=Event)
    reading: bool = False


class Stops:
    """Flags by session; a session without one is not reading, or has left."""

    def __init__(self) -> None:
        self._flags: dict[str | None, Flag] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._flags)

    def begin(self, session: str | None) -> bool:
        """The visitor asks; False where the tab has another question under way."""
        with self._lock:
            late = time.monotonic() - PATIENCE
            for name in [name for name, flag in self._flags.items() if not flag.reading and flag.since < late]:
                del self._flags[name]
            if session in self._flags:
                return False
            self._flags[session] = Flag(time.monotonic())
            return True

    def read(self, session: str | None) -> None:
        """The session's reading begins, which may take as long as it takes."""
        if flag := self._flags.get(session):
            flag.reading = True

    def stop(self, session: str | None) -> None:
        """Stop the session's reading after its present batch; without one, nothing happens."""
        if flag := self._flags.get(session):
            flag.stop.set()

    def end(self, session: str | None) -> None:
        """The reading is over, or the tab is closed."""
        with self._lock:
            flag = self._flags.pop(session, None)
        if flag:
            flag.stop.set()

    def stopped(self, session: str | None) -> bool:
        flag = self._flags.get(session)
        return flag is None or flag.stop.is_set()
