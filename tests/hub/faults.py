"""Faults on order: the next requests that match fail in a chosen way, on the wire."""

import asyncio
import re
import threading
from dataclasses import dataclass, field
from typing import Any

KINDS = ("status", "drop", "lose", "stall", "truncate")


@dataclass
class Fault:
    """`kind` says what happens to the next `times` requests whose "METHOD /path" matches the pattern.

    status: answered by `status` and not handled; drop: the connection is cut before it is handled; lose: it is handled
    and the connection is cut instead of an answer; stall: `seconds` pass before it is handled; truncate: the answer's
    headers promise all of its body, and half of it comes.
    """

    pattern: re.Pattern[str]
    kind: str
    times: int
    status: int = 500
    seconds: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    hits: int = 0


class FaultyApp:
    """An ASGI application around another: notes every request, and spoils those that a fault matches."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self._lock = threading.Lock()

    def add(self, pattern: str, kind: str, times: int = 1, **details: Any) -> Fault:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, but got {kind!r}")
        fault = Fault(re.compile(pattern), kind, times, **details)
        self.faults.append(fault)
        return fault

    def _next(self, request: str) -> Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self.faults:
                if fault.hits < fault.times and fault.pattern.search(request):
                    fault.hits += 1
                    return fault
        return None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        fault = self._next(f"{scope['method']} {scope['raw_path'].decode()}")
        # Only the object that owns the connection can cut it. `receive` is a method of that object.
        transport = receive.__self__.transport
        if fault is None:
            await self.app(scope, receive, send)
        elif fault.kind == "status":
            headers = [(name.lower().encode(), value.encode()) for name, value in fault.headers.items()]
            await send({"type": "http.response.start", "status": fault.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"injected fault"})
        elif fault.kind == "stall":
            await asyncio.sleep(fault.seconds)
            await self.app(scope, receive, send)
        elif fault.kind == "drop":
            transport.abort()
        else:
            start, body = await self._collect(scope, receive)
            if fault.kind == "truncate":
                await send(start)
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                await asyncio.sleep(0.05)  # time for the first half to leave
                transport.close()
            else:
                transport.abort()

    async def _collect(self, scope: Any, receive: Any) -> tuple[dict[str, Any], bytes]:
        start: dict[str, Any] = {}
        body = bytearray()

        async def keep(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body.extend(message.get("body", b""))

        await self.app(scope, receive, keep)
        return start, bytes(body)
