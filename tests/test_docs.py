"""Every code block of the documentation runs, in a folder of its own for each page, or says why it cannot."""

import re
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.docs_blocks import PAGES, ROOT, blocks, checkout, run_block

ELSEWHERE = re.compile(r"# needs .+; .*(second|minute|hour|day)s?\b")
HEAD = re.compile(r"# .+\n\n- \*\*After it you can\*\* .+\n- \*\*Time:\*\* .+\n- \*\*Needs:\*\* .+\n\n(?!- )")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
SECTION = re.compile(r"\]\((?!\w+://)([^)#\s]*)#([^)\s]+)\)")


def run_page(page: Path, speeds: set[str], folder: Path, loopback_hub) -> int:
    environment = {**loopback_hub.env(folder / "home"), "SHARED_DATA": str(SHARED)}
    checkout(folder / "checkout")
    ran = 0
    for block in blocks(page):
        if block.speed not in speeds:
            continue
        if "$SHARED_DATA" in block.code and not SHARED.is_dir():
            break  # what follows on the page may stand on it
        done = run_block(block, folder / "checkout", environment)
        assert done.returncode == 0, f"{block}\n{block.code}\n--- printed\n{done.stdout[-4000:]}"
        ran += 1
    return ran


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_the_fast_blocks_of_a_page_run(page, tmp_path, loopback_hub):
    fast = [block for block in blocks(page) if block.speed == "fast"]
    if not fast:
        pytest.skip("no block that runs here in seconds")
    ran = run_page(page, {"fast"}, tmp_path, loopback_hub)
    if not SHARED.is_dir() and any("$SHARED_DATA" in block.code for block in fast):
        pytest.skip(f"real data not present at {SHARED}: the page's blocks ran up to the first that needs it ({ran})")
    assert ran > 0


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_all_blocks_of_a_page_run(page, tmp_path, loopback_hub):
    if not any(block.speed == "slow" for block in blocks(page)):
        pytest.skip("no slow block")
    assert run_page(page, {"fast", "slow"}, tmp_path, loopback_hub) > 0


def test_a_block_that_cannot_run_says_what_it_needs_and_how_long_it_takes():
    elsewhere = [block for page in PAGES for block in blocks(page) if block.speed == "elsewhere"]
    unclear = [str(block) for block in elsewhere if not ELSEWHERE.match(block.code)]
    assert not unclear, "write `# needs WHAT; about N minutes` in the first line"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_a_page_begins_with_what_it_gives_takes_and_needs(page):
    assert HEAD.match(page.read_text(encoding="utf-8")), "write three lines below the title, as the other pages do"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_code_hides_from_these_tests(page):
    """Neither indented, which Markdown shows as code too, nor in a fence of another kind."""
    text = page.read_text(encoding="utf-8")
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"(?:^|\n)\n(?:    |\t)\S", outside)
    assert set(re.findall(r"^```(\w*)\n(?=.)", text, flags=re.MULTILINE)) - {""} <= {"bash", "python", "text"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    dead = [
        target
        for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not dead


def sections(page: Path) -> set[str]:
    """What GitHub makes of a page's headings, as they stand behind the # of a link."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_to_a_section_lead_to_its_heading(page):
    links = SECTION.findall(page.read_text(encoding="utf-8"))
    assert not [
        f"{name}#{section}" for name, section in links if section not in sections(page.parent / name if name else page)
    ]


def test_pages_name_no_private_place():
    private = re.compile(r"(?<![\w.])/(work|root|tmp)/|/home/\w+/(?!\.cache)|\blocalhost:\d{4,5}\b(?!.*7860)")
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        found = private.search(page.read_text(encoding="utf-8"))
        assert not found, f"{page.name}: {found[0]}"
