"""A picture of the page as a visitor meets it: an example is chosen, its question asked, the answer in its place.

    python -m benchmarks.space_picture --output docs/space.png
    python -m benchmarks.space_picture --example petra --width 390 --height 844 --scheme dark --output phone.png

Starts the page itself, and drives the Chromium of this machine ($CHROMIUM names another binary).
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.space_load import running_page
from foundation.cli import UserError, command_parser, run
from foundation.files import write_atomically


def take(browser: Any, url: str, example: str, question: str, size: tuple[int, int], scheme: str, locale: str) -> bytes:
    """The window as PNG once the answer to `question` (by default the example's first) has come."""
    width, height = size
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, locale=locale)
    try:
        tab.goto(f"{url}?example={example}")
        tab.wait_for_function("() => document.querySelector('#question textarea')?.value")
        if question:
            tab.locator("#question textarea").fill(question)
        tab.click("#ask")
        tab.wait_for_selector("#answer [data-result]", timeout=300_000)
        tab.wait_for_selector("#document-text mark")
        tab.wait_for_timeout(1_000)  # milliseconds, in which the document stops scrolling
        return bytes(tab.screenshot())
    finally:
        tab.close()


def find_chromium(playwright: Any) -> str:
    """The binary that CHROMIUM names, or that of this machine, or the one that `playwright install` has fetched.

    Raises:
        UserError: there is none of them; the sentence says how to get one.
    """
    own = playwright.chromium.executable_path
    named = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if named is None and not Path(own).is_file():
        raise UserError(
            "no Chromium on this machine: run `apt install chromium` as root or, without root, `.venv/bin/playwright "
            "install chromium`, or name a binary in CHROMIUM"
        )
    return named or own


def main() -> None:
    parser = command_parser(
        description="Take a picture of the page with an answer on it.",
        example="python -m benchmarks.space_picture --example gota-kanal --scheme dark --output page.png",
    )
    parser.add_argument("--example", default="gota-kanal", help="key of an example in space/examples/examples.json")
    parser.add_argument("--question", default="", help="by default the example's first")
    parser.add_argument("--width", type=int, default=1280, help="of the window, in pixels")
    parser.add_argument("--height", type=int, default=860, help="of the window, in pixels")
    parser.add_argument(
        "--scheme", choices=("light", "dark"), default="light", help="what the visitor's system prefers"
    )
    parser.add_argument("--locale", default="en-US", help="the browser's language")
    parser.add_argument("--output", type=Path, default=Path("runs/space.png"), help="where the picture goes")
    arguments = parser.parse_args()
    from space.gallery import examples

    keys = [example.key for example in examples().values()]
    if arguments.example not in keys:
        raise UserError(f"--example {arguments.example!r} is none of {', '.join(keys)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("playwright is missing: pip install 'playwright'") from error

    size = (arguments.width, arguments.height)
    with sync_playwright() as playwright:
        chromium = find_chromium(playwright)
        with tempfile.TemporaryDirectory() as folder, running_page(Path(folder)) as url:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            try:
                picture = take(
                    browser, url, arguments.example, arguments.question, size, arguments.scheme, arguments.locale
                )
            finally:
                browser.close()
    write_atomically(arguments.output, picture)
    print(f"{arguments.output}: {arguments.width} x {arguments.height}, {len(picture):,} bytes")


if __name__ == "__main__":
    run(main)
