"""What stands in the answer's place before there is one: empty, waiting, reading, stopped, refused."""

from html import escape

from space.pictures import windows_svg
from space.reader import Progress
from space.words import Words


def empty_html(words: Words) -> str:
    """Before the first question: what will stand here, with a sample."""
    return _card(
        "quiet empty",
        words("answer"),
        f"""<p>{escape(words("answer_hint"))}</p>
  <div class="sample" aria-hidden="true"><p class="answer">{escape(words("sample_answer"))}</p>
  <p class="context">{words("sample_sentence")}</p></div>
  {windows_svg()}
  <p class="hint">{escape(words("whole"))}</p>""",
    )


def waiting_html(before: int, words: Words) -> str:
    """In line: how many batches of others come first."""
    return _card("quiet", words("waiting", count=before), "")


def progress_html(progress: Progress, seconds: float | None, words: Words) -> str:
    """The bar that grows while windows are read, and how long it will take, as far as that is known.

    Args:
        seconds: that are left.
    """
    at = min(progress.done + 1, progress.total)
    label = words("reading", number=at, total=progress.total)
    left = f" · {words('left', time=_time(seconds, words))}" if seconds is not None and seconds >= 1.5 else ""
    bar = (
        f'<progress aria-label="{escape(words("progress"))}" max="{progress.total}" value="{progress.done}"></progress>'
    )
    return _card("quiet", label + left, bar)


def _time(seconds: float, words: Words) -> str:
    """Roughly: to the second below ten, to five below a minute, then in minutes."""
    if seconds < 60:
        step = 1 if seconds < 10 else 5
        return words("seconds", count=step * round(seconds / step))
    return words("minutes", count=round(seconds / 60))


def stopping_html(words: Words) -> str:
    return _card("quiet", words("stopping"), "")


def stopped_html(words: Words) -> str:
    return _card("quiet", words("stopped"), f"<p>{escape(words('stopped_hint'))}</p>")


def failed_html(words: Words) -> str:
    return _card("problem", words("failed"), f"<p>{escape(words('failed_hint'))}</p>", ' role="alert"')


def problem_html(sentence: str, words: Words) -> str:
    """A mistake that the visitor can mend, in one sentence."""
    return _card("problem", words("failed"), f'<p dir="auto">{escape(sentence)}</p>', ' role="alert"')


def _card(kind: str, label: str, body: str, role: str = "") -> str:
    return f"""
<div class="card {kind}"{role}>
  <p class="label">{escape(label)}</p>
  {body}
</div>"""
