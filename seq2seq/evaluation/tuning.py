"""tune.py: the beam size and the penalties that translate a validation set best."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seq2seq.commands import WHICH_MODEL, BatchConfig
from seq2seq.config import checked
from seq2seq.data.lines import read_aligned
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.metrics import CountedBleu, score_texts, with_changes
from seq2seq.files import sha256
from seq2seq.options import Auto, MetricConfig, SearchConfig
from seq2seq.options.base import number, numbers
from seq2seq.outputs import check_outputs, write_results
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder
from seq2seq.schema import Faults, parse
from seq2seq.schema import show as show_value
from seq2seq.tables import aligned

if TYPE_CHECKING:
    from seq2seq.evaluation.translator import Translator

LOGGER = logging.getLogger("seq2seq")
MOST = 100  # values of one option


@dataclass(frozen=True)
class GridConfig:
    """What is tried, in all combinations."""

    beam_size: list[int] = numbers([1, 5, 10], 1, 1000, most=MOST, least=1)
    length_penalty: list[str] = field(
        default_factory=lambda: ["none", "average", "gnmt"], metadata={"items": (1, MOST)}
    )
    length_alpha: list[float] = numbers([i / 5 for i in range(1, 11)], 0.0, 10.0, most=MOST, least=1)
    coverage_penalty: list[float] | Auto = numbers("auto", 0.0, 100.0, most=MOST, least=1)

    def coverage_penalties(self, attends: bool) -> list[float]:
        """`auto` tries some where there is attention to go by; ConfigError where others have none."""
        if not isinstance(self.coverage_penalty, str):
            if not attends and any(self.coverage_penalty):
                tried = show_value(self.coverage_penalty)
                raise ConfigError(
                    f"grid.coverage_penalty={tried} needs attention weights, but this model has no attention; "
                    "leave it out"
                )
            return self.coverage_penalty
        return [0.0, 0.05, 0.1, 0.2, 0.4] if attends else [0.0]


@dataclass(frozen=True)
class TuneConfig(BatchConfig):
    """The options of tune.py; each is explained in configs/tune.yaml."""

    source: str | None = None
    reference: str | None = None
    output: str | None = None
    rows: int | None = number(15, 1)
    grid: GridConfig = field(default_factory=GridConfig)
    metric: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TuneConfig:
        return checked(cls, plain, _impossible)


def _impossible(config: TuneConfig) -> list[str]:
    faults = Faults()
    for penalty in config.grid.length_penalty:
        parse(SearchConfig, {"length_penalty": penalty}, faults, "grid")
    if not any(config.runs()):
        faults.append(WHICH_MODEL)
    if "n_best" in config.searched():
        faults.append("search.n_best changes nothing here: it is the best translation of each line that is scored")
    if config.searched().get("sample"):
        faults.append("search.sample=true draws translations, and only beams are tuned; leave it out")
    if (config.source is None) != (config.reference is None):
        faults.append("source=FILE and reference=FILE go together; without both, the run's validation set is taken")
    return list(faults)


class Setting(NamedTuple):
    """What is tuned, named as in SearchConfig."""

    beam_size: int
    length_penalty: str
    length_alpha: float
    coverage_penalty: float

    @classmethod
    def of(cls, search: SearchConfig) -> Setting:
        return cls(search.beam_size, search.length_penalty, search.length_alpha, search.coverage_penalty)


def tune(config: TuneConfig) -> dict[str, Any]:
    """BLEU of every setting of the grid, the best first, as plain data; also written to config.output where it is set.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is searched.
    """
    runs = config.runs()
    first = RunFolder.open(Path(runs[0]))
    own = first.read_config()
    metric = with_changes(own.metric, config.metric)
    source, reference = _files(config, first)
    check_outputs({"output": config.output}, [str(source), str(reference)])
    pairs = Pairs(*read_aligned(source, reference))
    translator = _load(config)
    default = Setting.of(translator.search)
    settings = list(settings_of(config.grid, default, translator.members.attends))
    _check(translator, settings)
    with translator.spread(config.workers) as spread:
        texts = _translated(spread, settings, pairs.sources, config.batch_size)
    rows = _scored(texts, pairs.references, metric, default)
    best = rows[0]
    results = {
        "runs": runs,
        "checkpoint": config.checkpoint,
        "source": str(source),
        "reference": str(reference),
        "best": best,
        "default": next(row for row in rows if row["default"]),
        "words": words_for(own.search, translator.search, _setting(best)),
        "rows": rows,
        "scores": score_texts(texts[_setting(best)], [pairs.references], metric),
        "search": dataclasses.asdict(translator.search),
        "metric": dataclasses.asdict(metric),
        "device": translator.runtime.describe(),
    }
    if config.output is not None:
        write_results("output", config.output, results)
    return results


def show(results: Mapping[str, Any], most: int | None) -> str:
    """The first `most` rows and the default as a table, and the words for translate.py."""
    rows: Sequence[Mapping[str, Any]] = results["rows"]
    shown = [row for place, row in enumerate(rows) if row["default"] or most is None or place < most]
    head = ["", "beam_size", "length_penalty", "length_alpha", "coverage_penalty", "BLEU", "length"]
    lines = [
        [
            "default" if row["default"] else "",
            *(f"{row[name]}" for name in Setting._fields),
            f"{row['bleu']:.2f}",
            f"{row['length']:.3f}",
        ]
        for row in shown
    ]
    left = len(rows) - len(shown)
    more = f"{left} more; rows=null shows all\n" if left else ""
    gain = results["best"]["bleu"] - results["default"]["bleu"]
    words = f"give to translate.py: {results['words']}" if results["words"] else "the run's own search is the best"
    return (
        f"{aligned([head, *lines])}{more}"
        f"{results['scores']['sentences']:,} sentences, {results['scores']['bleu_signature']}; length: words of the "
        "translations for each word of the references\n"
        f"{gain:+.2f} BLEU on this set, for which it was chosen; {words}\n"
    )


class Pairs(NamedTuple):
    """What is translated, and what it is scored against."""

    sources: list[str]
    references: list[str]


def _files(config: TuneConfig, folder: RunFolder) -> tuple[Path, Path]:
    """Those that the options name, or else the run's validation set, where its files are still what they were."""
    if config.source is not None:
        return Path(config.source), Path(str(config.reference))
    fix = "set source=FILE and reference=FILE"
    files = folder.read_json("data.json").get("files")
    valid = files.get("valid") if isinstance(files, dict) else None
    if not isinstance(valid, dict) or len(valid) != 2:
        raise ConfigError(
            f"run={folder.path} has no validation files: its pairs were held out of the training's; {fix}"
        )
    for name, known in valid.items():
        if not Path(name).is_file():
            raise DataError(f"{name}, on which run={folder.path} was validated, isn't there; {fix}")
        if sha256(Path(name)) != known:
            raise DataError(f"{name} has changed since run={folder.path} was validated on it; {fix}")
    source, reference = valid
    return Path(source), Path(reference)


def _load(config: TuneConfig) -> Translator:
    from seq2seq.evaluation.translator import Translator

    changes = {**config.searched(), "sample": False, "n_best": 1}  # what ranks a line's best hypothesis is tuned
    return Translator.load(config.runs(), checkpoint=config.checkpoint, search=changes, runtime=config)


def settings_of(grid: GridConfig, default: Setting, attends: bool) -> Iterator[Setting]:
    """The default, and all of the grid that differ from what was before them in more than name."""
    yield default
    seen = {_effect(default)}
    for values in product(grid.beam_size, grid.length_penalty, grid.length_alpha, grid.coverage_penalties(attends)):
        setting = Setting(*values)
        if setting.beam_size == 1:  # nothing to rank
            setting = default._replace(beam_size=1)
        elif setting.length_penalty == "none" or setting.length_alpha == 0:
            setting = setting._replace(length_penalty="none", length_alpha=default.length_alpha)
        if _effect(setting) not in seen:
            seen.add(_effect(setting))
            yield setting


def _effect(setting: Setting) -> tuple[object, ...]:
    """Equal where two settings choose the same."""
    if setting.beam_size == 1:
        return (1,)
    if setting.length_penalty == "none" or setting.length_alpha == 0:
        return (setting.beam_size, setting.coverage_penalty)
    return tuple(setting)


def _check(translator: Translator, settings: Sequence[Setting]) -> None:
    """ConfigError where one of them is impossible for the model or with the other options."""
    for setting in settings:
        translator.with_search(setting._asdict())


def _translated(
    translator: Translator, settings: Sequence[Setting], lines: list[str], batch_size: int
) -> dict[Setting, list[str]]:
    """By one search for each beam size."""
    from seq2seq.evaluation.candidates import Candidates, Penalties

    coverage = any(setting.coverage_penalty > 0 for setting in settings)
    sources = [translator.read(number, line) for number, line in enumerate(lines, start=1)]
    texts = dict[Setting, list[str]]()
    for beam_size in sorted({setting.beam_size for setting in settings}):
        of_beam = [setting for setting in settings if setting.beam_size == beam_size]
        LOGGER.info("beam size %d: one search for %d settings", beam_size, len(of_beam))
        candidates = Candidates.search(translator, sources, beam_size, batch_size, coverage)
        for setting in of_beam:
            texts[setting] = candidates.best(Penalties(*setting[1:]))
    return texts


def _scored(
    texts: Mapping[Setting, list[str]], references: list[str], metric: MetricConfig, default: Setting
) -> list[dict[str, Any]]:
    """A row for each setting; of equal BLEU the default comes first, then smaller beams, then the grid's order."""
    bleu = CountedBleu(references, metric)
    words = sum(len(line.split()) for line in references)
    rows = []
    with Progress("score", len(texts), "settings", every=10.0) as bar:
        for setting, hypotheses in texts.items():
            length = sum(len(line.split()) for line in hypotheses) / max(1, words)
            scores = {"bleu": round(bleu.score(hypotheses), 4), "length": round(length, 4)}
            rows.append({**setting._asdict(), **scores, "default": setting == default})
            bar.update(1)
            if bar.due:
                bar.say(f"scored {bar.done:,} of {len(texts):,} settings")
    return sorted(rows, key=lambda row: (-row["bleu"], not row["default"], row["beam_size"]))


def _setting(row: Mapping[str, Any]) -> Setting:
    return Setting(*(row[name] for name in Setting._fields))


def words_for(own: SearchConfig, searched: SearchConfig, best: Setting) -> str:
    """What makes the run's own search the best one, on a command line."""
    n_best = min(own.n_best, best.beam_size)
    chosen = dataclasses.replace(searched, **best._asdict(), n_best=n_best)
    before, after = dataclasses.asdict(own), dataclasses.asdict(chosen)
    return " ".join(f"search.{name}={show_value(value)}" for name, value in after.items() if value != before[name])
