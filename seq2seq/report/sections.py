"""The parts of the page that are read: figures, scores, groups by length, faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seq2seq.files import number_told, told
from seq2seq.report.charts import bars
from seq2seq.report.faults import LONGEST, NEIGHBOURS, SHORT, UNSEEN
from seq2seq.report.judged import Fault, Group, Judged
from seq2seq.report.markup import Markup, element, join, table
from seq2seq.report.read import Run

METRICS = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}
FAULTS = {
    "repeated": (
        "Repeated",
        f"2 to {LONGEST} words in a row that the translation says twice or more, or one word that follows itself: more "
        "often than the reference does, and more often than the source repeats any sequence of that length. Case and "
        "punctuation don't count.",
    ),
    "short": (
        "Short",
        f"fewer than {SHORT:.0%} of the reference's words, and of the words that the source lets expect, by the ratio "
        "of all references to all sources.",
    ),
    "overlooked": (
        "Overlooked",
        f"{NEIGHBOURS} or more source words in a row to each of which all words of the translation together gave less "
        f"than {UNSEEN:g} of one word's attention. Punctuation doesn't count.",
    ),
}


def figures(run: Run, judged: Sequence[Judged]) -> Markup:
    """The few numbers that one looks for first."""
    results, shown = run.results, list[tuple[str, str, str]]()
    for test in judged[:1]:
        of = f"on {test.name}, {test.scores['sentences']:,} sentences"
        shown.append(("BLEU", _interval(test.scores, "bleu"), of))
        shown.append(("chrF", _interval(test.scores, "chrf"), of))
    for group, key, name, form, unit in (
        ("valid", "perplexity", "Perplexity", "{:.2f}", "validation, per target token"),
        ("model", "parameters", "Parameters", "{:,.0f}", ""),
        ("train", "seconds", "Training", "{}", "validations included"),
    ):
        value = number_told(results, group, key)
        if value is not None:
            shown.append((name, duration(value) if key == "seconds" else form.format(value), unit))
    tiles = [
        element("div", None, element("dt", None, name), element("dd", None, value), element("small", None, unit))
        for name, value, unit in shown
    ]
    return element("dl", {"class": "figures"}, *tiles)


def score_table(judged: Sequence[Judged], resamples: int) -> Markup:
    """Every test set's scores with 95 % intervals, and the signatures below."""
    if not judged:
        return element("p", {"class": "note"}, "The run's folder has no translations of a test set.")
    rows = [
        [
            test.name,
            *(_interval(test.scores, metric) for metric in METRICS),
            f"{test.scores['exact_match']:.1%}",
            f"{test.scores['sentences']:,}",
        ]
        for test in judged
    ]
    first = judged[0].scores
    signatures = [
        element("div", None, element("dt", None, name), element("dd", None, element("code", None, first[key])))
        for key, name in ((f"{metric}_signature", name) for metric, name in METRICS.items())
    ]
    note = (
        f"± covers 95 % of the scores of {resamples:,} bootstrap resamples of the sentences (Koehn 2004). Higher is "
        "better, but for TER. By sacreBLEU, with these signatures:"
    )
    head = ["test set", *METRICS.values(), "exact match", "sentences"]
    parts = [table(head, rows, "scores"), element("p", {"class": "note"}, note)]
    return join([*parts, element("dl", {"class": "signatures"}, *signatures)])


def length_table(groups: Sequence[Group]) -> Markup:
    """BLEU by source length, with bars."""
    values = [group.bleu for group in groups]
    top = max([value for value in values if value is not None], default=0.0) or 1.0
    rows = bars([(_lengths(group.name), f"{group.sentences:,}") for group in groups], values, top)
    return table(["source words", "sentences", "BLEU", ""], rows, "lengths")


def fault_table(faults: Sequence[Fault]) -> Markup:
    """Each fault with its definition, in translations and, for comparison, in references."""
    rows = [
        [
            join(
                [element("b", None, FAULTS[fault.name][0]), element("span", {"class": "note"}, FAULTS[fault.name][1])]
            ),
            _share(fault.hypotheses, fault.of),
            _share(fault.references, fault.of),
        ]
        for fault in faults
    ]
    note = (
        "References: the same count with the two sides exchanged. What these have as often is a way of translating, "
        "not a fault of the model."
    )
    return join([table(["", "translations", "references"], rows, "faults"), element("p", {"class": "note"}, note)])


def origin(run: Run) -> Markup:
    """How the numbers came about: what was trained on what, where, and with which versions."""
    rows = [element("div", None, element("dt", None, name), element("dd", None, value)) for name, value in _facts(run)]
    return element("dl", {"class": "facts"}, *rows)


def duration(seconds: float) -> str:
    """8 min 6 s; 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _facts(run: Run) -> Iterator[tuple[str, object]]:
    results = run.results
    pairs = {role: number_told(run.data, "pairs", role) for role in ("train", "valid", "test")}
    if said := [f"{count:,.0f} {role}" for role, count in pairs.items() if count is not None]:
        yield "Pairs", ", ".join(said)
    yield "Training", _training(results)
    if device := told(results, "device"):
        yield "Trained on", device
    search = [(key, told(results, "search", key)) for key in ("beam_size", "length_penalty", "precision")]
    if said := [f"{key} {value}" for key, value in search if value is not None]:
        yield "Translated with", ", ".join(said)
    if versions := told(results, "versions"):
        yield "Versions", ", ".join(f"{name} {version}" for name, version in _items(versions))
    if commit := told(results, "git_commit"):
        yield "Commit", element("code", None, commit)
    for role, files in _files(told(run.data, "files")):
        yield f"Data, {role}", join([element("code", None, f"{path}  {digest[:12]}…") for path, digest in files], "\n")


def _training(results: Mapping[str, Any]) -> str:
    """How long it was and why it ended."""
    if not results:
        return "not over yet: there is no results.json"
    parts = [
        (number_told(results, "train", "updates"), "{:,.0f} updates"),
        (number_told(results, "train", "epochs"), "{:.1f} epochs"),
        (number_told(results, "train", "target_tokens_per_second"), "{:,.0f} target tokens a second"),
        (told(results, "train", "stop_reason"), "ended by {}"),
    ]
    return ", ".join(form.format(value) for value, form in parts if value is not None)


def _files(files: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Data files with SHA-256, those of each test set apart."""
    for role, of_role in _items(files):
        for name, of in _items(of_role) if role == "test" else [(role, of_role)]:
            yield name, [(path, str(digest)) for path, digest in _items(of)]


def _items(content: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in content.items()] if isinstance(content, dict) else []


def _lengths(name: str) -> str:
    """1-7 with a dash that is meant for it, and 8 for 8-8."""
    first, _, last = name.partition("-")
    return f"{first}–{last}" if last not in ("", first) else first


def _interval(scores: Mapping[str, Any], metric: str) -> str:
    return f"{scores[metric]:.1f} ± {scores[f'{metric}_interval']:.1f}"


def _share(count: int, of: int) -> Markup:
    return join([f"{count:,}", element("span", {"class": "note"}, f"{count / max(of, 1):.1%} of {of:,}")], " ")
