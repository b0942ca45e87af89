"""Answer text as each metric compares it: four normalisers and their tokens.

`squad`, `mlqa` and `triviaqa` follow the official scripts, quirks included (evaluate-v1.1.py and evaluate-v2.0.py,
mlqa_evaluation_v1.py, triviaqa_evaluation.py). `language_aware` is our own and is reported beside them: it treats
every language of XQuAD as the official script treats English.
"""

import re
import string
import sys
import unicodedata
from functools import cache

ENGLISH_ARTICLES = re.compile(r"\b(a|an|the)\b")
ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
TRIVIAQA_PUNCTUATION = {ord(char): " " for char in string.punctuation + "‘’´`"}

# MLQA's table, the Arabic pattern with its fault: the first branch can never match. So "ال" is removed everywhere, also
# inside a word.
MLQA_ARTICLES = {
    "en": ENGLISH_ARTICLES,
    "es": re.compile(r"\b(un|una|unos|unas|el|la|los|las)\b"),
    "vi": re.compile(r"\b(của|là|cái|chiếc|những)\b"),
    "de": re.compile(r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "ar": re.compile(r"\sال^|ال"),
    "hi": None,
    "zh": None,
}
MLQA_HAN = re.compile("[\u4e00-\u9fa5]")

# Articles for the language-aware score, as regular expressions on case-folded text. Turkish is left out, since its
# "bir" is also the number one. Finnish, Hindi, Russian, Thai and Chinese have no articles.
ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "fr": r"\b(un|une|des|le|la|les)\b|\b[ld]['’]",
    "it": r"\b(un|uno|una|il|lo|la|i|gli|le)\b|\b(l|un)['’]",
    "pt": r"\b(um|uma|uns|umas|o|a|os|as)\b",
    "nl": r"\b(een|de|het)\b",
    "sv": r"\b(en|ett|den|det)\b",
    "da": r"\b(en|et|den|det)\b",
    "nb": r"\b(en|ei|et|den|det)\b",
    "ro": r"\b(un|o|unui|unei|unor|niște)\b",
    "el": r"\b(ο|η|το|οι|τα|του|της|των|τον|την|τους|τις|ένας|μία|μια|ένα)\b",
    "ar": r"\bال(?=\w{2})",
}
# Marks that writers may leave out: Arabic's short vowels and tatweel, Hebrew's points and accents.
OPTIONAL_MARKS = re.compile("[\u064b-\u0652\u0670\u0640\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]")
# Unicode counts these among the invisible format characters (Cf), but they show: signs around a number or a verse.
SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"

# Scripts without spaces between words. Each character counts as a token.
UNSPACED = re.compile(
    "[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # kana, Han
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"  # Thai, Lao, Burmese, Khmer
)


def squad(text: str, language: str = "en") -> str:
    """SQuAD's: lower case, no ASCII punctuation, no English article, single spaces. `language` changes nothing."""
    text = text.lower().translate(ASCII_PUNCTUATION)
    return " ".join(ENGLISH_ARTICLES.sub(" ", text).split())


def triviaqa(text: str, language: str = "en") -> str:
    """TriviaQA's: as SQuAD's, but punctuation, curly quotes and underscores become spaces."""
    text = text.replace("_", " ").lower().translate(TRIVIAQA_PUNCTUATION)
    return " ".join(ENGLISH_ARTICLES.sub(" ", text).split())


def mlqa(text: str, language: str) -> str:
    """MLQA's: lower case, no Unicode punctuation, articles of `language`, and for zh one token a character.

    Raises KeyError for a language that is none of MLQA's seven.
    """
    articles = MLQA_ARTICLES[language]
    text = text.lower().translate(unicode_punctuation())
    if articles is not None:
        text = articles.sub(" ", text)
    if language == "zh":
        text = MLQA_HAN.sub(lambda match: f" {match.group()} ", text)
    return " ".join(text.split())


def language_aware(text: str, language: str) -> str:
    """Ours, for any language: the same text in two spellings becomes the same tokens.

    What nobody sees goes (joiners, soft hyphens, marks of direction, byte-order marks, variation selectors), and so do
    the points of Hebrew and the short vowels of Arabic. Compatibility forms and digits of every script are unified
    (NFKC), case is folded (with the dotted i of Turkish and Azerbaijani), Unicode punctuation goes, the language's
    articles go, and in scripts without spaces each character with its combining marks is a token. A step that would
    leave nothing is not taken: "The" stays "the".
    """
    text = unicodedata.normalize("NFKC", text.translate(invisible()))
    if language in ("tr", "az"):
        text = text.replace("I", "ı").replace("İ", "i")
    text = "".join(_ascii_digit(char) for char in OPTIONAL_MARKS.sub("", text).casefold())
    bare = _words(_without_articles(text, language)) or _words(text) or text
    return " ".join(_split_unspaced(bare).split())


def _without_articles(text: str, language: str) -> str:
    pattern = ARTICLES.get(language)
    # The text is case-folded, and so is the pattern: folding changes the final sigma of Greek articles.
    return re.sub(pattern.casefold(), " ", text) if pattern else text


def _words(text: str) -> str:
    return text.translate(unicode_punctuation()).strip()


def _ascii_digit(char: str) -> str:
    return str(unicodedata.decimal(char, char))


def _split_unspaced(text: str) -> str:
    pieces = []
    after_single = False  # whether the last character, combining marks aside, is a token of its own
    for char in text:
        if unicodedata.category(char).startswith("M"):
            pieces.append(char)
            continue
        single = bool(UNSPACED.match(char))
        pieces.append(f" {char}" if single or after_single else char)
        after_single = single
    return "".join(pieces)


@cache
def unicode_punctuation() -> dict[int, None]:
    """Every character of a Unicode category P*, and all of ASCII punctuation (some of which is category S)."""
    points = (i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))
    return dict.fromkeys([*points, *map(ord, string.punctuation)])


@cache
def invisible() -> dict[int, None]:
    """Characters that no reader sees: format characters, variation selectors, and the grapheme joiner."""
    points = [i for i in range(sys.maxunicode) if unicodedata.category(chr(i)) == "Cf" and chr(i) not in SEEN]
    return dict.fromkeys([*points, 0x034F, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)])
