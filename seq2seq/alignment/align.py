"""align.py: which word of a translation comes from which of its source, and how far such alignments are from a gold."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from seq2seq.alignment.error import AlignmentError
from seq2seq.alignment.links import Base, Gold, Links, read_alignments, read_gold, spell
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS, Symmetrization
from seq2seq.commands import ModelConfig
from seq2seq.config import checked
from seq2seq.data.lines import check_aligned, read_aligned, read_lines
from seq2seq.errors import ConfigError, DataError
from seq2seq.options import listed, number
from seq2seq.outputs import check_outputs, refuse_existing, write_lines, write_results
from seq2seq.progress import Progress
from seq2seq.runs import RunFolder

if TYPE_CHECKING:
    from seq2seq.alignment.aligner import Aligner, Symmetrized

LOGGER = logging.getLogger("seq2seq")
BATCHES_READ = 20  # handled together, so that sentences of like length share a batch
READ = ("source", "target", "alignment", "gold")
WRITTEN = ("output", "hypothesis", "scores")


@dataclass(frozen=True)
class AlignConfig(ModelConfig):
    """The options of align.py; each is explained in configs/align.yaml."""

    reverse: str | list[str] | None = None
    source: str | None = None
    target: str | None = None
    hypothesis: str | None = None
    alignment: str | None = None
    output: str | None = None
    gold: str | None = None
    gold_base: Base = 0
    scores: str | None = None
    extract: Literal["argmax", "threshold"] = "argmax"
    threshold: float = number(0.3, 0, 1)
    shift: int = number(0, -1, 1)
    symmetrize: Symmetrization = "grow_diag_final_and"
    batch_size: int = number(64, 1)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> AlignConfig:
        return checked(cls, plain, _impossible)

    def reverse_runs(self) -> list[str]:
        """The folders of the other direction, if any."""
        return listed(self.reverse)


class Pairs(NamedTuple):
    """What is to be aligned; without targets, the source and its translation by the model."""

    sources: list[str]
    targets: list[str] | None
    gold: list[Gold] | None


def align(config: AlignConfig) -> dict[str, Any] | None:
    """Writes the alignments of a model, or reads those of `alignment`; their scores where there is a gold standard.

    Raises:
        ConfigError, DataError, CheckpointError: before anything is aligned, where the files tell.
    """
    _check_files(config)
    if not config.runs():
        scores: dict[str, Any] = _error(*_given(config)).scores()
    else:
        pairs = _read(config)
        _check_directions(config)
        links = _of_model(config, pairs)
        if pairs.gold is None:
            return None
        scores = {**_error(links, pairs.gold).scores(), **_settings(config)}
    if config.scores is not None:
        write_results("scores", config.scores, scores)
    return scores


def _settings(config: AlignConfig) -> dict[str, Any]:
    """What an alignment was made with."""
    from seq2seq.runtime import versions

    options = ("checkpoint", "extract", "threshold", "shift", "symmetrize")
    return {
        "runs": config.runs(),
        "reverse": config.reverse_runs(),
        **{name: getattr(config, name) for name in options},
        "versions": versions(),
    }


def show(scores: Mapping[str, Any]) -> str:
    """The scores as a table."""

    def percent(name: str) -> str:
        value = scores[name]
        return "      -" if value is None else f"{100 * value:7.2f}"

    links, sure, possible = (f"{scores[name]:,}" for name in ("links", "sure", "possible"))
    return (
        f"AER          {percent('aer')}  % of {scores['sentences']:,} sentence pairs\n"
        f"precision    {percent('precision')}  % of {links} links are among {possible} possible ones\n"
        f"recall       {percent('recall')}  % of {sure} sure links are found\n"
    )


def _of_model(config: AlignConfig, pairs: Pairs) -> list[Links]:
    """The links of all pairs where there is a gold standard; written in any case, with the translations if any."""
    aligner = _load(config)
    lines, hypotheses, links = list[str](), list[str](), list[Links]()
    with Progress("align", len(pairs.sources), "pairs", every=10.0) as bar:
        for targets, chunk in _aligned(aligner, pairs, config.batch_size * BATCHES_READ):
            lines += map(spell, chunk)
            hypotheses += targets
            links += chunk if pairs.gold is not None else []
            bar.update(len(chunk))
            if bar.due:
                bar.say(f"aligned {bar.done:,} of {len(pairs.sources):,} pairs")
    if config.hypothesis is not None:
        write_lines("hypothesis", config.hypothesis, hypotheses)
    if config.output is not None:
        write_lines("output", config.output, lines)
    elif pairs.gold is None:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return links


def _aligned(aligner: Aligner | Symmetrized, pairs: Pairs, size: int) -> Iterator[tuple[list[str], list[Links]]]:
    """Targets and their links, a part of the pairs at a time: attention of all of them may not fit into memory."""
    for start in range(0, len(pairs.sources), size):
        sources = pairs.sources[start : start + size]
        if pairs.targets is None:
            yield aligner.translated(sources, start + 1)
        else:
            targets = pairs.targets[start : start + size]
            yield targets, aligner.forced(sources, targets, start + 1)


def _load(config: AlignConfig) -> Aligner | Symmetrized:
    """The run's aligner, or that of both runs; ConfigError where there is no attention."""
    from seq2seq.alignment.aligner import Aligner, Symmetrized
    from seq2seq.alignment.extraction import Extraction
    from seq2seq.evaluation.translator import Translator

    extraction = Extraction(config.extract, config.threshold, config.shift)
    aligners = []
    for option, runs, search in (("run", config.runs(), config.searched()), ("reverse", config.reverse_runs(), {})):
        if not runs:
            continue
        translator = Translator.load(runs, checkpoint=config.checkpoint, search=search, runtime=config)
        if not translator.members.attends:
            raise ConfigError(f"{option}={','.join(runs)} has no attention to align by; use a model with attention")
        aligners.append(Aligner(translator, extraction, config.batch_size))
    forward, *reverse = aligners
    return Symmetrized(forward, reverse[0], SYMMETRIZATIONS[config.symmetrize]) if reverse else forward


def _check_directions(config: AlignConfig) -> None:
    """ConfigError where both runs translate in the same direction."""
    forward, reverse = (
        {run: RunFolder.open(Path(run)).read_config().data for run in runs}
        for runs in (config.runs(), config.reverse_runs())
    )
    for run, text in forward.items():
        for other, other_text in reverse.items():
            if (text.source, text.target) == (other_text.source, other_text.target):
                raise ConfigError(
                    f"reverse={other} translates {text.source} to {text.target}, as run={run} does; it must be a run "
                    f"of {text.target} to {text.source}"
                )


def _read(config: AlignConfig) -> Pairs:
    """The files of a model's work, which must fit together."""
    source = Path(str(config.source))
    if config.target is None:
        return Pairs(read_lines(source), None, None)
    sources, targets = read_aligned(source, Path(config.target))
    if config.gold is None:
        return Pairs(sources, targets, None)
    gold = read_gold(Path(config.gold), config.gold_base)
    check_aligned(source, len(sources), Path(config.gold), len(gold))
    for line, (words_from, words_to, (_, possible)) in enumerate(zip(sources, targets, gold, strict=True), start=1):
        words = len(words_from.split()), len(words_to.split())
        for link in possible:
            if any(place >= size for place, size in zip(link, words, strict=True)):
                shown = spell([(link[0] + config.gold_base, link[1] + config.gold_base)])
                hint = "" if config.gold_base == 1 else "; if its words are counted from 1, set gold_base=1"
                raise DataError(
                    f"{config.gold}, line {line}: link {shown} is beyond the pair, which has {words[0]} source words "
                    f"and {words[1]} target words between spaces{hint}"
                )
    return Pairs(sources, targets, gold)


def _given(config: AlignConfig) -> tuple[list[Links], list[Gold]]:
    """Alignments that are there already, and their gold standard."""
    files = Path(str(config.alignment)), Path(str(config.gold))
    links, gold = read_alignments(files[0]), read_gold(files[1], config.gold_base)
    check_aligned(files[0], len(links), files[1], len(gold))
    if config.gold_base == 0 and all(0 not in link for _, possible in gold for link in possible):
        LOGGER.warning("%s links no word 0; if its words are counted from 1, set gold_base=1", config.gold)
    return links, gold


def _error(links: Sequence[Links], gold: Sequence[Gold]) -> AlignmentError:
    error = AlignmentError()
    for of_pair, gold_of_pair in zip(links, gold, strict=True):
        error.add(of_pair, gold_of_pair)
    return error


def _check_files(config: AlignConfig) -> None:
    """ConfigError where a file can't be written, or would take the place of another."""
    if config.hypothesis is not None:
        refuse_existing("hypothesis", config.hypothesis, "to align it as it is, set target in its place")
    written = {option: getattr(config, option) for option in WRITTEN}
    check_outputs(written, [getattr(config, option) for option in READ])


def _impossible(config: AlignConfig) -> list[str]:
    if not config.runs():
        return _without_model(config)
    faults = []
    if config.alignment is not None:
        faults.append("alignment=FILE is scored as it is, run=FOLDER makes one: leave one of them out")
    if config.source is None:
        faults.append("run needs source=FILE, the text to align")
    if (config.target is None) == (config.hypothesis is None):
        faults.append(
            "set target=FILE, the translation to align with the source, or hypothesis=FILE, a file for the model's own"
        )
    if config.gold is not None and config.target is None:
        faults.append("gold=FILE is of given translations; set target=FILE too")
    if config.gold is None and config.scores is not None:
        faults.append("scores are against gold=FILE; set it, or leave scores out")
    if not config.reverse_runs() and config.symmetrize != AlignConfig.symmetrize:
        faults.append(f"symmetrize={config.symmetrize} makes one alignment of two; set reverse=FOLDER too")
    if config.extract != "threshold" and config.threshold != AlignConfig.threshold:
        faults.append(f"threshold={config.threshold} is of extract=threshold; set it too")
    if config.target is not None and config.searched():
        faults.append("search options are of the model's own translation; leave them out, or set hypothesis=FILE")
    return faults


def _without_model(config: AlignConfig) -> list[str]:
    if config.alignment is None or config.gold is None:
        return ["what to do? set run=FOLDER source=FILE target=FILE to align, or alignment=FILE gold=FILE to score"]
    needing = [name for name in ("reverse", "source", "target", "hypothesis", "output") if getattr(config, name)]
    return [f"{name} is only used together with run=FOLDER" for name in needing]
