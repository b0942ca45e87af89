"""Two plain pages beside the page: the model's card and the licence."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from space.reader import ADAPTER

CARD = ADAPTER / "README.md"
LICENCE = Path(__file__).parents[1] / "LICENSE"


def _text(path: Path) -> Route:
    def send(request: Request) -> Response:
        if not path.is_file():
            return PlainTextResponse("There is none here.", 404)
        return PlainTextResponse(path.read_text(encoding="utf-8"))

    return Route({CARD: "/card", LICENCE: "/licence"}[path], send)


ROUTES = [_text(CARD), _text(LICENCE)]
