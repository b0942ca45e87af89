"""Nothing that a visitor sent is left in the server's memory once the answer is out."""

import gc
import re
import subprocess
import sys
import time

import httpx

MARKER = re.compile(r"kept-[0-9a-f]{32}")
VISIT = """
import secrets, sys
from benchmarks.space_load import Visitor, squeezed, text_of

def text():
    marker = "kept-" + secrets.token_hex(16)
    return f"Filler words go on. {marker} stands here.", marker

visitor = Visitor(sys.argv[1])
visitor.ask(*text())
document, marker = text()
print(marker in squeezed(text_of(visitor.show(document, marker))))
visitor.open("note.txt", text()[0].encode())
visitor.http.close()
"""


def remembered() -> list[str]:
    """What holds a marker, among all that Python's garbage collector knows and what these objects hold."""
    gc.collect()
    found = []
    for holder in gc.get_objects():
        for held in gc.get_referents(holder):
            text = held if type(held) is str else held.decode("utf-8", "replace") if type(held) is bytes else ""
            if MARKER.search(text):
                found.append(f"{type(holder)} {repr(holder)[:200]}")
    return found


def test_the_server_remembers_no_text_of_a_visitor(page_server):
    assert MARKER.search("kept-" + "0" * 32)
    canary = ["kept-" + "1" * 32]
    assert remembered(), "the search finds nothing at all"
    canary.clear()
    visit = subprocess.run([sys.executable, "-c", VISIT, page_server.url], check=True, capture_output=True, text=True)
    assert visit.stdout == "True\n", "the document was not shown"
    # Gradio clears what a visitor left behind when the next request comes.
    httpx.get(page_server.url)
    deadline = time.monotonic() + 20
    while (left := remembered()) and time.monotonic() < deadline:
        time.sleep(1)
    assert not left
