"""What the page refuses at the door: a request larger than anything it could use."""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.documents import MAX_FILE_BYTES
from space.gradio_language import GradioLanguage
from space.pages import ROUTES

# Readings that take turns, and questions that may wait behind them. Whoever comes then is told that the page is busy.
READINGS = 40
QUEUE_LENGTH = 20
# Enough for the largest file, or for 1,000,000 characters in JSON's longest escapes, and for what is sent around them.
MAX_BODY_BYTES = MAX_FILE_BYTES + 2**20
TOO_LARGE = f"That is more than {MAX_FILE_BYTES // 2**20} MB: send a smaller file, or paste its text."


class BodyLimit:
    """ASGI middleware: a request body beyond MAX_BODY_BYTES is answered with 413 and not read on."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if int(declared) > MAX_BODY_BYTES:
            await JSONResponse({"detail": TOO_LARGE}, 413)(scope, receive, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_BYTES:
                raise HTTPException(413, TOO_LARGE)
            return message

        await self.app(scope, count, send)


APP_KWARGS: dict[str, Any] = {"middleware": [Middleware(BodyLimit), Middleware(GradioLanguage)], "routes": ROUTES}
