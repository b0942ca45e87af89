"""Is a question in its document's language? A guess by letters, which decides how sure the page may be of a "no".

How often it is wrong, `benchmarks/no_answer.py` measures (docs/space.md has the figures).
"""

import math
from functools import cache
from typing import Any

# Characters around the document's best place that are looked at, since a document may hold several languages.
SURROUNDINGS = 1_000
# Another language than the document's has to be e^3 times as likely, since a name or a single word proves little.
MARGIN = 3.0


def differ(question: str, spoken: str) -> bool:
    """Whether the question is in another language than `spoken`, the document's."""
    likely = dict(_identifier().rank(question))
    return math.log(max(likely.values())) - math.log(max(likely[spoken], 1e-30)) > MARGIN


def language(text: str) -> str:
    """The likeliest language of a text, as ISO 639 writes it; of a text without letters, any."""
    return str(_identifier().classify(text)[0])


def asked_from_another(question: str, document: str, start: int, end: int) -> bool:
    """Whether the question is in another language than the document around a place of it."""
    return differ(question, language(surroundings(document, start, end)))


def surroundings(text: str, start: int, end: int) -> str:
    """The sentences around a place of a document."""
    return text[max(0, start - SURROUNDINGS) : end + SURROUNDINGS]


@cache
def _identifier() -> Any:
    """Loaded at the first question: it takes a second and 100 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
