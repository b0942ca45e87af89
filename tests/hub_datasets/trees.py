"""Generated SQuAD-format trees that would hurt, and a second, plainer implementation of SQ3's rules."""

import itertools
from typing import Any

from hypothesis import strategies as st

# Combining marks, an emoji of several code points, right-to-left text, a line separator, CRLF, a NUL, no-break spaces.
_PIECES = [
    "a",
    "Å",
    "e\u0301",
    "n\u0303o",
    "👩‍🚀",
    "𝒳",
    "שלום",
    "مرحبا\u064b",
    "\u2028",
    "\r\n",
    "\n",
    "\0",
    "\u00a0",
    " ",
    "北京",
]
_TEXT = st.lists(st.sampled_from(_PIECES) | st.text(max_size=3), max_size=8).map("".join)


@st.composite
def _answer(draw: Any, context: str, may_be_bad: bool) -> dict[str, Any]:
    start = draw(st.integers(0, len(context) - 1))
    end = draw(st.integers(start + 1, len(context)))
    start, end = draw(st.sampled_from([(start, end), (0, end), (start, len(context)), (0, len(context))]))
    answer = {"text": context[start:end], "answer_start": start}
    if may_be_bad and draw(st.integers(0, 3)) == 0:
        answer["answer_start"] = draw(st.integers(-3, len(context) + 3))
        if draw(st.booleans()):
            answer["text"] = draw(_TEXT)
    return answer


@st.composite
def trees(draw: Any, may_be_bad: bool = False) -> dict[str, Any]:
    """A file as a Python object. Without `may_be_bad` every answer stands at its offset."""
    contexts = draw(st.lists(_TEXT, min_size=1, max_size=4))  # few contexts, so that neighbours are often equal
    ids = itertools.count()
    articles = []
    for _ in range(draw(st.integers(0, 4))):
        paragraphs = []
        for _ in range(draw(st.integers(0, 5))):
            context = draw(st.sampled_from(contexts))
            questions = []
            for _ in range(draw(st.integers(0, 3))):
                answers = draw(st.lists(_answer(context, may_be_bad), max_size=3)) if context else []
                question = {"id": f"q{next(ids)}", "question": draw(_TEXT), "answers": answers}
                questions.append(question | ({"is_impossible": True} if not answers else {}))
            paragraphs.append({"context": context, "qas": questions})
        title = {"title": draw(_TEXT)} if draw(st.booleans()) else {}
        articles.append({**title, "paragraphs": paragraphs})
    return {"version": "generated", "data": articles}


def reference(tree: Any, n: int, questions: str, within: bool, separator: str, on_bad_span: str = "error") -> list[Any]:
    """The rules over flat rows and slices of lists; ValueError where the builder must refuse."""
    flat = [
        (a if within else 0, article.get("title", ""), paragraph["context"], question, mended)
        for a, article in enumerate(tree["data"])
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
        if (mended := _mended(paragraph["context"], question["answers"], on_bad_span)) is not None
    ]
    rows = []
    for _, part in itertools.groupby(flat, key=lambda row: row[0]):
        runs = [list(run) for _, run in itertools.groupby(part, key=lambda row: row[2])]
        for first in range(0, len(runs), n):
            block = runs[first : first + n]
            texts = [run[0][2] for run in block]
            for place, run in enumerate(block):
                moved = len("".join(text + separator for text in texts[:place]))
                for _, title, _, question, answers in run[: 1 if questions == "first" else None]:
                    spans = {"text": [t for t, _ in answers], "answer_start": [s + moved for _, s in answers]}
                    row = {"id": question["id"], "title": title, "context": separator.join(texts)}
                    rows.append(row | {"question": question["question"], "answers": spans})
    return rows


def _mended(context: str, answers: list[Any], on_bad_span: str) -> list[tuple[str, int]] | None:
    kept = []
    for answer in answers:
        text, start = answer["text"], answer["answer_start"]
        places = [i for i in range(len(context)) if text and context[i : i + len(text)] == text]
        if start in places:
            kept.append((text, start))
        elif on_bad_span == "error" or (on_bad_span == "repair" and not places):
            raise ValueError(answer)
        elif on_bad_span == "repair":
            kept.append((text, min(places, key=lambda i: (abs(i - start), i))))
    return kept if kept or not answers else None
