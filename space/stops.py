"""Which visitor's reading goes on: one flag a browser tab, set by its Stop button or by closing it.

Gradio can cancel an event by itself, but what the event yields at that moment may still arrive after the page has been
put back; here the reading itself sees the flag between two batches and has the last word.
"""

from threading import Event


class Stops:
    """Flags by session; a session without one is not reading, or has left."""

    def __init__(self) -> None:
        self._running: dict[str | None, Event] = {}

    def begin(self, session: str | None) -> bool:
        """The visitor asks, and perhaps waits for a free place; False where the tab has another question under way."""
        if session in self._running:
            return False
        self._running[session] = Event()
        return True

    def stop(self, session: str | None) -> None:
        """Stop the session's reading after its present batch; without one, nothing happens."""
        if session in self._running:
            self._running[session].set()

    def end(self, session: str | None) -> None:
        """The reading is over, or the tab is closed."""
        if flag := self._running.pop(session, None):
            flag.set()

    def stopped(self, session: str | None) -> bool:
        flag = self._running.get(session)
        return flag is None or flag.is_set()
