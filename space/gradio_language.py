"""Tells gradio, in the browser, which language the page is in, so that fixed parts and answers are in the same one.

Gradio picks the language of fixed parts by itself: the browser's first one alone, and of Chinese only `zh-CN` and
`zh-TW`. A browser that says `zh`, `zh-HK` or `fi, de` would get them in English, and its answers in Chinese or German.
Gradio reads `navigator.language` before it runs anything of ours, hence a line at the top of the page.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.words import chosen

GRADIO_NAMES = {"zh": "zh-CN"}
HEAD = b"<head>"


class GradioLanguage:
    """ASGI middleware: puts that line into the head of the page."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        language = chosen(Headers(scope=scope).get("accept-language")).language
        name = GRADIO_NAMES.get(language, language)
        line = f'<script>Object.defineProperty(navigator, "language", {{ value: "{name}" }})</script>'.encode()
        html = False

        async def put(message: Message) -> None:
            nonlocal html
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                html = headers.get("content-type", "").startswith("text/html")
                if html:
                    del headers["content-length"]
                    headers.add_vary_header("accept-language")
            elif html:
                message["body"] = message.get("body", b"").replace(HEAD, HEAD + line, 1)
            await send(message)

        await self.app(scope, receive, put)
