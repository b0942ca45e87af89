"""The fixed parts of the page: its head, its colours, its notices, and the panel that explains how it works."""

from html import escape

import gradio as gr

from space.documents import MAX_FILE_BYTES, SUFFIXES
from space.pictures import attention_svg, windows_svg
from space.reader import Reader
from space.words import words

MASTHEAD = """
<header class="masthead">
  <h1>Ask a long document</h1>
  <p>Paste a text or open a file, ask in its language, and see the answer in its place. Up to a million characters
  are read from beginning to end.</p>
</header>"""

# XQuAD's languages, for people.
LANGUAGES = {
    "ar": "Arabic", "de": "German", "el": "Greek", "en": "English", "es": "Spanish", "hi": "Hindi",
    "ro": "Romanian", "ru": "Russian", "th": "Thai", "tr": "Turkish", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip

FILE_HINT = f"<p>{', '.join(suffix[1:] for suffix in SUFFIXES)}, up to {MAX_FILE_BYTES // 2**20} MB</p>"


def theme() -> gr.themes.Base:
    """Warm greys and one blue, in the fonts that the visitor's system has: nothing is fetched from elsewhere."""
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
    return gr.themes.Base(
        primary_hue="sky",
        neutral_hue="stone",
        text_size="md",
        radius_size="lg",
        font=fonts,
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    ).set(
        body_background_fill="#fbfaf7",
        body_background_fill_dark="#17191c",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1e2125",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1e2125",
        block_border_color="#dedad2",
        block_border_color_dark="#3a3f45",
        block_radius="14px",
        button_large_radius="14px",
        button_medium_radius="10px",
        button_primary_background_fill="#1f5f8b",
        button_primary_background_fill_hover="#184b6e",
        button_primary_background_fill_dark="#8cc4ec",
        button_primary_background_fill_hover_dark="#b4d9f4",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#0e1a24",
    )


def notice(title: str, *facts: str) -> str:
    """What was opened: its name, then facts about it."""
    return f'<p role="status"><bdi>{escape(title)}</bdi> · {" · ".join(map(escape, facts))}</p>'


def problem(sentence: str) -> str:
    """Why a file was not opened."""
    return f'<p class="problem" role="alert" dir="auto">{escape(sentence[:1].upper() + sentence[1:])}.</p>'


def how_it_works(reader: Reader) -> str:
    """Two pictures, what happens to a question, what the model is good for, and what is kept of it all: nothing."""
    length = f"{reader.max_length:,}"
    pictures = f"""
  <figure>{attention_svg(words())}<figcaption>Inside a window: each token sees its neighbours
  (blue); the question sees, and is seen by, every token (gold). The cost grows with the length, not with its
  square.</figcaption></figure>"""
    return f"""
<div class="how">{pictures}
  <div>
    <figure>{windows_svg(words())}</figure>
    <p>The document is cut into windows of {length} tokens that overlap, and the question stands at the start of each.
    The model scores every place where an answer could begin and end; the places of all windows compete with each other
    and with “not answered here”. The percentages are their shares; what is missing to 100 went to other wordings of
    the same places and to places further down the list.</p>
    <p>A second question reads the whole document again: from the first layer on, every token has read the question, so
    nothing but the splitting into tokens could be reused.</p>
    <p>Model: <bdi>{escape(reader.name)}</bdi>. Nothing you send is kept: a file is deleted once its text is
    read, and the text lives in this browser tab and travels with each question.</p>
    {scores_html(reader)}
  </div>
</div>"""


def scores_html(reader: Reader) -> str:
    """What the answers are worth: XQuAD by language where the model's folder has scores.json."""
    purpose = """
    <p>It finds short answers that stand word for word in the document: names, dates, numbers, phrases. It does not sum
    up, count, translate or combine, and it can be wrong: look at the marked place before you rely on it.</p>"""
    if reader.scores is None:
        return purpose
    rows = "".join(
        f"<tr><td>{escape(LANGUAGES.get(language, language))}</td><td>{score['exact_match']:.1f}</td>"
        f"<td>{score['f1']:.1f}</td></tr>"
        for language, score in sorted(reader.scores.items(), key=lambda item: -item[1]["f1"])
    )
    return f"""{purpose}
    <p>How often it is right, measured on XQuAD, the same questions in each language:</p>
    <table><thead><tr><th scope="col">Language</th><th scope="col">Exact match, %</th><th scope="col">F1, %</th></tr>
    </thead><tbody>{rows}</tbody></table>"""
