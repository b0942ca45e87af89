"""The fixed parts of the page, in every language it speaks: its head, its notices, how it works, what was asked."""

from html import escape

import gradio as gr

from space.documents import MAX_FILE_BYTES, SUFFIXES
from space.pictures import attention_svg, windows_svg
from space.reader import Reader
from space.status import empty_html
from space.words import Words, spoken, words

# How each language calls itself.
LANGUAGES = {
    "ar": "العربية", "de": "Deutsch", "el": "Ελληνικά", "en": "English", "es": "Español", "hi": "हिन्दी",
    "ro": "Română", "ru": "Русский", "th": "ไทย", "tr": "Türkçe", "vi": "Tiếng Việt", "zh": "中文",
    "sv": "Svenska", "fr": "Français",
}  # fmt: skip


def translations(reader: Reader) -> gr.I18n:
    """Every fixed part by its name and language; the browser takes its own."""
    return gr.I18n(**{language: fixed(words(language), reader) for language in spoken()})


def fixed(say: Words, reader: Reader) -> dict[str, str]:
    plain = ("examples", "document", "document_placeholder", "open", "back", "question", "question_placeholder",
             "questions", "ask", "stop", "how")  # fmt: skip
    return {
        **{name: say(name) for name in plain},
        "masthead_html": masthead(say),
        "hint_html": file_hint(say),
        "empty_html": empty_html(say),
        "how_html": how_it_works(say, reader),
        "history_html": history(say),
    }


def masthead(say: Words) -> str:
    return f"""
<header class="masthead" lang="{say.language}" data-drop="{escape(say("drop"))}"
  data-edited="{escape(say("edited", name="{name}"))}" data-page="{escape(say("page", number="{number}"))}"
  data-too-large="{escape(too_large(say))}" data-stopping="{escape(say("stopping"))}"
  data-full="{escape(say("full"))}">
  <h1>{escape(say("title"))}</h1>
  <p>{escape(say("lead"))}</p>
</header>"""


def file_hint(say: Words) -> str:
    kinds = ", ".join(suffix[1:] for suffix in SUFFIXES if suffix not in (".htm", ".tsv"))
    return f"<p>{escape(say('file_hint', kinds=kinds, size=MAX_FILE_BYTES // 2**20))}</p>"


def too_large(say: Words) -> str:
    return say.whole("file_large", name="{name}", size=MAX_FILE_BYTES // 2**20)


def notice(title: str, *facts: str) -> str:
    """What was opened: its name, then facts about it."""
    return f'<p role="status"><bdi>{escape(title)}</bdi> · {" · ".join(map(escape, facts))}</p>'


def problem(sentence: str) -> str:
    """Why a file was not opened."""
    return f'<p class="problem" role="alert" dir="auto">{escape(sentence)}</p>'


def history(say: Words) -> str:
    """Where the page's script puts what was asked in this tab; the server never sees it again."""
    return f"""
<section class="history" id="history-list" hidden aria-label="{escape(say("history"))}">
  <details open><summary>{escape(say("history"))}</summary>
  <p class="hint">{escape(say("history_hint"))}</p>
  <ol></ol>
  <p><button type="button" data-save="csv">{escape(say("history_csv"))}</button>
  <button type="button" data-save="json">{escape(say("history_json"))}</button></p></details>
</section>"""


def how_it_works(say: Words, reader: Reader) -> str:
    """Two pictures, what happens to a question, what the model is good for, and what is kept of it all: nothing."""
    return f"""
<div class="how">
  <figure>{attention_svg()}<figcaption>{escape(say("how_attention"))}</figcaption></figure>
  <div>
    <figure>{windows_svg()}</figure>
    <p>{escape(say("how_windows", length=reader.max_length))}
    {escape(say("how_calibrated" if reader.same.fitted else "how_uncalibrated"))}</p>
    <p>{escape(say("how_purpose"))}</p>
    <p>{escape(say("how_absent"))}</p>
    <p>{escape(say("how_kept"))}</p>
    <p>{escape(say("how_model"))}: <bdi>{escape(reader.name)}</bdi>. {links(say, reader)}</p>
    {scores_html(say, reader)}
  </div>
</div>"""


def links(say: Words, reader: Reader) -> str:
    """The model's card, what it was made of, and the licence."""
    from space.pages import CARD, LICENCE

    hub = "https://huggingface.co/"
    found = []
    if reader.shipped:
        found = [(say("links_card"), "card")] if CARD.is_file() else []
        found += [(say("links_base"), f"{hub}intfloat/multilingual-e5-small")]
    elif reader.hub_id:
        found = [(say("links_card"), hub + reader.hub_id)]
    found += [(say("links_licence"), "licence")] if LICENCE.is_file() else []
    return " · ".join(f'<a href="{url}" target="_blank" rel="noopener">{escape(name)}</a>' for name, url in found)


def scores_html(say: Words, reader: Reader) -> str:
    """What the answers are worth: XQuAD by language where the model's folder has scores.json."""
    if reader.scores is None:
        return ""
    rows = "".join(
        f'<tr><td lang="{escape(language)}">{escape(LANGUAGES.get(language, language))}</td>'
        f"<td>{score['exact_match']:.1f}</td><td>{score['f1']:.1f}</td></tr>"
        for language, score in sorted(reader.scores.items(), key=lambda item: -item[1]["f1"])
    )
    return f"""
    <p>{escape(say("how_scores"))}</p>
    <table><thead><tr><th scope="col">{escape(say("how_language"))}</th><th scope="col">{escape(say("how_exact"))}</th>
    <th scope="col">F1, %</th></tr></thead><tbody>{rows}</tbody></table>"""
