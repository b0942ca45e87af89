"""Gradio remembers what visitors sent; here it forgets.

Each value that passes an event is written into the visitor's session on the server, for links that restore a page, and
the sessions of 10,000 visitors are kept; the queue holds on to its last request until the next one comes.
"""

from typing import Any

import gradio as gr
from gradio import queueing, state_holder

# Sessions that are kept. They hold the questions that a field offers. A visitor without one chooses the example again.
SESSIONS = 1_000


class Session(state_holder.SessionState):
    """A session without values."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


class Queue(queueing.Queue):
    """A queue that lets go of an event once it is over."""

    async def process_events(self, events: list[queueing.Event], *arguments: Any) -> None:
        try:
            await super().process_events(events, *arguments)
        finally:
            for event in events:
                event.data = None
                del event.request


def forget(page: gr.Blocks) -> None:
    """Keep nothing of what visitors send to a page, which has its queue and is not launched yet."""
    state_holder.SessionState = Session  # type: ignore[misc]
    page._queue.__class__ = Queue
