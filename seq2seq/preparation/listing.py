"""The report of prepare_data.py check for people: table and histogram of each text, then a line for each finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SIDES = ("source", "target")
WIDTH = 30  # characters of the longest bar


def show(report: Mapping[str, Any]) -> str:
    """Each text, then all findings, one a line, with files and lines."""
    lines: list[str] = []
    findings: list[str] = []
    for name, text in report["texts"].items():
        lines += [*_table(name, text, report["languages"]), "", *_bars(text, report["languages"]), ""]
        findings += _findings(name, text, report)
    findings += _overlaps(report["overlap"])
    lines.append("found:" if findings else "found: nothing")
    return "\n".join([*lines, *(f"  {finding}" for finding in findings), ""])


def _table(name: str, text: Mapping[str, Any], languages: list[str]) -> Iterator[str]:
    files = "; ".join(", ".join(pair) for pair in text["files"])
    yield f"{name}: {text['pairs']:,} pairs, {files}"
    yield f"{'':22} {'mean':>8} {'1 %':>6} {'median':>6} {'99 %':>6} {'longest':>8}"
    rows = [("words", text["words"]), ("characters", text["characters"])]
    if text["tokenizer"] is not None:
        rows.append(("pieces", {side: text["tokenizer"][side]["lengths"] for side in SIDES}))
    for unit, sides in rows:
        for side, language in zip(SIDES, languages, strict=True):
            found = sides[side]
            low, middle, high = found["quantiles"].values()
            label = f"{unit}, {language}"
            yield f"  {label:20} {found['mean']:8.1f} {low:6,} {middle:6,} {high:6,} {found['longest']:8,}"
    low, middle, high = text["ratio"]["quantiles"].values()
    label = f"ratio, {languages[1]}/{languages[0]}"
    yield f"  {label:20} {'':8} {low:6.2f} {middle:6.2f} {high:6.2f}   (characters)"
    if text["tokenizer"] is not None:
        for side, language in zip(SIDES, languages, strict=True):
            found = text["tokenizer"][side]
            yield (
                f"  {language}: {100 * found['unknown_rate']:.3f} % of {found['pieces']:,} pieces are unknown, "
                f"{100 * found['byte_rate']:.3f} % are bytes"
            )


def _bars(text: Mapping[str, Any], languages: list[str]) -> Iterator[str]:
    """A histogram of both sides, on one scale."""
    groups = text["histogram"]
    most = max(max(group["source"], group["target"]) for group in groups)
    yield f"  {text['unit']:>12}  {languages[0]:{WIDTH + 10}}  {languages[1]}"
    for group in groups:
        end = "more" if group["to"] is None else group["to"]
        label = f"{group['from']}" if end == group["from"] else f"{group['from']} to {end}"
        bars = [f"{'#' * -(-WIDTH * group[side] // most)} {group[side]:,}" for side in SIDES]
        yield f"  {label:>12}  {bars[0]:{WIDTH + 10}}  {bars[1]}".rstrip()


def _findings(name: str, text: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[str]:
    languages = dict(zip(SIDES, report["languages"], strict=True))
    for side in SIDES:
        yield from _line(f"{name}, {languages[side]}: blank", text["blank"][side])
    yield from _line(f"{name}: source and target are the same", text["copies"])
    for kind, places in text["repeated"].items():
        yield from _line(f"{name}: {kind} that occur before", places)
    what = f"{name}: lengths that are more than {report['ratio']:g} times off the median ratio"
    yield from _line(what, text["ratio"]["outside"])
    for side in SIDES:
        start, found = f"{name}, {languages[side]}", text["scripts"][side]
        for character, places in found["unusual"].items():
            yield from _line(f"{start}: {character}", places)
        for script, places in found["other_scripts"].items():
            yield from _line(f"{start}: letters mostly {script.title()}, not {found['script'].title()}", places)
        yield from _line(f"{start}: a word in letters of two scripts that look alike", found["mixed_words"])
        if text["tokenizer"] is not None:
            strange = text["tokenizer"][side]
            often = ", ".join(f"{word!r} ({count:,})" for word, count in strange["most_frequent"].items())
            yield from _line(f"{start}: not in the tokenizer's vocabulary, such as {often}", strange["lines"])


def _overlaps(overlap: list[dict[str, Any]]) -> Iterator[str]:
    for found in overlap:
        for kind in ("pairs", "sources", "targets"):
            yield from _line(f"{found['text']}: {kind} that {found['in']} has too, of {found['of']:,}", found[kind])


def _line(what: str, places: Mapping[str, Any]) -> Iterator[str]:
    """Nothing where there is none; the first places, and how many more there are."""
    count, where = places["count"], places["where"]
    if count:
        more = f" and {count - len(where):,} more" if where and count > len(where) else ""
        yield f"{what}: {count:,} ({_shortened(where)}{more})" if where else f"{what}: {count:,}"


def _shortened(where: list[str]) -> str:
    """FILE:LINE, LINE, LINE: a file is named where it is another one than before."""
    words, last = [], ""
    for place in where:
        file, _, line = place.rpartition(":")
        words.append(line if file == last else place)
        last = file
    return ", ".join(words)
