"""How finished runs are shown: by run, and by recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from seq2seq.comparison.comparison import Column, Row, Table, by_length, machines, number, score, significance
from seq2seq.comparison.names import spelled
from seq2seq.comparison.recipes import least_p

TESTS = {
    "ar": "two-sided approximate randomisation (Riezler & Maxwell 2005)",
    "bs": "sacreBLEU's paired bootstrap (Koehn 2004; its p is too small, ar's is not)",
}
COLUMNS = (
    "TER: lower is better. exact %: translations that equal the reference. tokens/s: target tokens a second in "
    "training, padding not counted. min: minutes of training, validations included, up to the best one. sent/s: "
    "sentences a second in translating the test set. Last columns: BLEU by words of the source sentence."
)


def by_run(results: Mapping[str, Any]) -> Table:
    """Intervals over sentences, and each run tested against the first."""
    rows: Sequence[Row] = results["rows"]
    columns = [Column("run", lambda row: row["name"]), *_scores("interval"), *_costs(), *by_length(rows)]
    signatures = "; ".join(f"{metric} {rows[0][f'{metric.lower()}_signature']}" for metric in ("BLEU", "chrF", "TER"))
    notes = [
        f"Test set {results['test']}, {results['sentences']:,} sentences. ±: half the 95 % interval of "
        f"{results['resamples']:,} bootstrap resamples of the sentences.",
        _tested(results["significance"]),
        COLUMNS,
        f"Machine: {found}." if (found := machines(rows)) else "",
        signatures,
        *_told(rows),
    ]
    return Table(columns, rows, list(filter(None, notes)))


def by_recipe(rows: Sequence[Row]) -> Table:
    """Means and deviations over seeds, and each recipe tested against the first."""
    columns = [
        Column("mean over seeds", lambda row: row["name"]),
        Column("seeds", lambda row: ", ".join(str(seed) for seed in row["seeds"] if seed is not None)),
        *_scores("deviation"),
        *_costs(),
        *by_length(rows),
    ]
    first = len(rows[0]["runs"])
    sizes = sorted({len(row["runs"]) for row in rows if "bleu_p" in row})
    limits = ", ".join(f"{least_p(first, size):.3f} for {first} runs against {size}" for size in sizes)
    tested = (
        f"p: exact permutation test of the runs' scores against those of {rows[0]['name']}; it asks whether "
        f"other seeds would show the difference, and can't be below {limits}."
    )
    return Table(columns, rows, ["±: standard deviation over the seeds (n - 1). " + (tested if limits else "")])


def _scores(spread: str) -> list[Column]:
    metrics = (("BLEU", "bleu"), ("chrF", "chrf"), ("TER", "ter"))
    columns = chain.from_iterable((score(title, key, spread), significance(key)) for title, key in metrics)
    return [*columns, number("exact %", "exact_match", ".1f", 0.01)]


def _costs() -> list[Column]:
    return [
        number("parameters", "parameters", ",.0f"),
        number("tokens/s", "target_tokens_per_second", ",.0f"),
        number("min", "minutes_to_best", ".1f"),
        number("sent/s", "sentences_per_second", ",.0f"),
    ]


def _tested(significance: Mapping[str, Any]) -> str:
    if significance["test"] == "none":
        return ""
    return (
        f"p: {TESTS[significance['test']]} against {significance['against']}, {significance['samples']:,} "
        "samples, each row by itself; it asks whether other sentences would show the difference between these two "
        "trained models, not whether other seeds would."
    )


def _told(rows: Sequence[Row]) -> list[str]:
    """The options behind names that aren't made of them."""
    told = [(row["name"], row["options"]) for row in rows if row.get("options")]
    lines = spelled([options for _, options in told])
    return [f"{name}: {line}" for (name, _), line in zip(told, lines, strict=True) if name != line]
