"""The page: its template, style and script put together with what is to be read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from string import Template

from seq2seq.report.config import options_table
from seq2seq.report.curves import skipped_updates, training_charts
from seq2seq.report.judged import Judged
from seq2seq.report.markup import Markup, data_block, element, join
from seq2seq.report.read import Run
from seq2seq.report.sections import fault_table, figures, length_table, origin, score_table

FOLDER = Path(__file__).parent
LEGEND = (
    ("differs", "not in the reference"),
    ("missing", "not in the translation"),
    ("overlooked", "source words in a row that were hardly looked at"),
)


def page(run: Run, judged: Sequence[Judged], unlooked: str, resamples: int) -> str:
    """The whole file. `unlooked` says why there is no attention in it; "" where there is some."""
    style, script = _part("page.css"), _part("attention.js") + _part("page.js")
    # Nothing may be loaded, and no script but this one may run: not even one that a test set smuggled in.
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
    title = run.folder.path.resolve().name
    parts = {
        "policy": policy + "base-uri 'none'; form-action 'none'",
        "title": title,
        "style": Markup(style),
        "script": Markup(script),
        "subtitle": _subtitle(run),
        "figures": figures(run, judged),
        "scores": score_table(judged, resamples),
        "training": join([training_charts(run.metrics), skipped_updates(run.metrics)]),
        "sets": _sets(judged, unlooked),
        "options": options_table(run.config),
        "origin": origin(run),
        "data": join([data_block(f"set-{k}", _data(run, test)) for k, test in enumerate(judged)], "\n"),
    }
    return Template(_part("page.html")).substitute({name: join([part]) for name, part in parts.items()})


def _subtitle(run: Run) -> str:
    config = run.config
    attention = "no" if config.attention.name == "none" else config.attention.name
    names = f"{config.encoder.name} encoder, {attention} attention, {config.decoder.name} decoder"
    return f"{config.data.source} → {config.data.target} · {names}"


def _sets(judged: Sequence[Judged], unlooked: str) -> Markup:
    """A tab for each test set, where there are several, and what it opens."""
    if not judged:
        text = "There is no translation of a test set to look at: train.py makes one of data.test at its end."
        return element("p", {"class": "note"}, text)
    tabs = [
        element("button", {"type": "button", "role": "tab", "id": f"tab-{k}", "aria-controls": f"panel-{k}"}, test.name)
        for k, test in enumerate(judged)
    ]
    several = element("div", {"class": "tabs", "role": "tablist", "aria-label": "Test sets"}, *tabs)
    return join([several if tabs[1:] else None, *(_set(k, test, unlooked) for k, test in enumerate(judged))])


def _set(k: int, test: Judged, unlooked: str) -> Markup:
    lengths = element("div", None, element("h3", None, "BLEU by length"), length_table(test.groups))
    faults = element("div", None, element("h3", None, "Repetitions and omissions"), fault_table(test.faults))
    note = unlooked or f"{test.maps:,} of {len(test.sentences):,} sentences have an attention map."
    kinds = LEGEND[: 2 if unlooked else 3]
    legend = [element("li", None, element("span", {"class": kind}, "word"), f" {text}") for kind, text in kinds]
    attributes = {
        "class": "set", "id": f"panel-{k}", "data-block": f"set-{k}", "data-name": test.name, "aria-label": test.name,
    }  # fmt: skip
    return element(
        "section", attributes, lengths, faults, element("h3", None, "Sentence by sentence"),
        element("p", {"class": "note"}, note), element("ul", {"class": "legend"}, *legend), _tools(),
        element("p", {"class": "found", "aria-live": "polite"}),
        element("div", {"class": "list"}), element("button", {"type": "button", "class": "more", "hidden": True}),
        element("noscript", None, "The sentences are in this file, but a browser shows them by a script alone."),
    )  # fmt: skip


def _tools() -> Markup:
    """Search, order and kind; the script fills the lists."""
    search = element("input", {"type": "search", "placeholder": "words of it, or #12", "autocomplete": "off"})
    fields = [
        element("label", {"class": "search"}, "Find a sentence", search),
        element("label", None, "Order", element("select")),
        element("label", None, "Show", element("select")),
    ]
    return element("div", {"class": "tools", "hidden": True}, *fields)


def _data(run: Run, test: Judged) -> dict[str, object]:
    """What the script reads of a test set."""
    languages = {"source": run.config.data.source, "target": run.config.data.target}
    return {"name": test.name, **languages, "scores": test.scores, "sentences": test.sentences}


def _part(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    """How a policy names an inline element: by the SHA-256 of its text, from the line break behind its tag on."""
    return "sha256-" + base64.b64encode(hashlib.sha256(f"\n{content}".encode()).digest()).decode("ascii")
