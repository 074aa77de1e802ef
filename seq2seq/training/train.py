"""One training run from config to scores: `seq2seq.train(config)`."""

from __future__ import annotations

import dataclasses
import logging
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.config import Config
from seq2seq.data.lexicon import Lexicon
from seq2seq.data.prepare import Corpora
from seq2seq.data.text import ParallelText
from seq2seq.errors import CheckpointError, ConfigError, Interrupted
from seq2seq.evaluation.metrics import score_texts
from seq2seq.evaluation.translator import Translator
from seq2seq.models.weights import digest, parameters
from seq2seq.progress import LogFile
from seq2seq.runs import RunFolder
from seq2seq.runtime import versions
from seq2seq.training.interruption import Interruption
from seq2seq.training.ready import Earlier, Ready
from seq2seq.training.trainer import Trainer
from seq2seq.training.validation import room_for_search

LOGGER = logging.getLogger("seq2seq")


@dataclass(frozen=True)
class Run:
    """A finished training: its folder, and what results.json in it holds."""

    folder: Path
    results: dict[str, Any]


def train(config: Config) -> Run:
    """Trains, keeps the best checkpoint, and scores it on the test sets.

    With `resume=auto`, from where the run's folder is; on a CPU the end is then the same, bit for bit, as that of a
    training that was never interrupted. Everything that can be wrong with the input is found before training begins.

    Raises:
        ConfigError, DataError, CheckpointError, TrainingError: see their docstrings; the message says what to do.
        Interrupted: SIGINT or SIGTERM came; all is saved.
    """
    if config.dry_run:
        raise ConfigError("dry_run=true trains nothing; from Python, seq2seq.plan(config) gives its text")
    folder = RunFolder(Path(config.run) if config.run else default_folder(config))
    try:
        with LogFile() as log, folder.lock, Interruption() as interruption:
            try:
                return _train(folder, config, log, interruption)
            except Interrupted as error:
                raise _reported(folder, error) from None
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise CheckpointError(
            f"run={folder.path} can't go on: {error.strerror or error}{where}; what was saved stays. Mend that, then "
            f"go on with: {resume_command(folder.path)}"
        ) from error


def resume_command(path: Path) -> str:
    return f"seq2seq-train {shlex.quote(f'run={path}')} resume=auto"


def default_folder(config: Config) -> Path:
    """runs/DATE-TIME-ENCODER-ATTENTION-DECODER, made unique."""
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{config.encoder.name}-{config.attention.name}-{config.decoder.name}"
    path, again = Path("runs") / name, 1
    while path.exists():
        again += 1
        path = Path("runs") / f"{name}-{again}"
    return path


def _train(folder: RunFolder, config: Config, log: LogFile, interruption: Interruption) -> Run:
    """A training's way: look for an earlier one, get everything ready, train, test."""
    with interruption.anywhere():
        earlier = Earlier.find(folder, config)
        if earlier is not None and earlier.finished:
            LOGGER.info("%s is finished already; a higher limit, such as trainer.max_epochs, goes on", folder.path)
            return Run(folder.path, folder.read_json("results.json"))
        ready = Ready.make(config if earlier is None else earlier.config, folder, earlier)
    if earlier is None:
        folder.create(ready.config)
        shutil.rmtree(folder.tokenizer, ignore_errors=True)  # of an attempt that saved nothing
        ready.corpora.tokenizers.save(folder.tokenizer)
        folder.write_json("data.json", ready.corpora.report)
    else:
        folder.write_config(ready.config)
    log.write_to(folder.log)
    LOGGER.info("model: %s parameters; run folder: %s", f"{parameters(ready.model):,}", folder.path)
    translator = ready.translator()
    trainer = ready.trainer(translator, folder)
    changes = {} if earlier is None else earlier.resume(trainer)
    folder.note_session(
        update=trainer.counters.update, changes=changes, versions=versions(), device=ready.runtime.describe()
    )
    reason = trainer.run(interruption)
    with interruption.anywhere(), room_for_search(ready.config.trainer.translate_batch):
        return _results(ready, trainer, translator, folder, reason)


def _reported(folder: RunFolder, error: Interrupted) -> Interrupted:
    """The interruption with what is saved, and the command that goes on, in its message and in the log."""
    saved = folder.checkpoints.newest(warn=False)
    if saved:
        message = f"{error}: update {saved[0].update:,} is saved; go on with: {resume_command(folder.path)}"
    else:
        message = f"{error} before anything could be saved"
    LOGGER.warning("%s", message)
    return Interrupted(message, error.signal)


def _results(ready: Ready, trainer: Trainer, translator: Translator, folder: RunFolder, reason: str) -> Run:
    """The lexicon, the best weights again, the test sets, results.json."""
    config, corpora, counters = ready.config, ready.corpora, trainer.counters
    _write_lexicon(corpora, folder)
    best = folder.checkpoints.load_weights(ready.model, "best")
    results = {
        "test": {name: _test(name, text, translator, config, folder) for name, text in ready.texts.tests.items()},
        "valid": best.scores,
        "train": {
            "updates": counters.update,
            "epochs": trainer.epochs_done(),
            "seconds": round(counters.wall_seconds, 3),
            "target_tokens": counters.target_tokens,
            "target_tokens_per_second": round(counters.target_tokens / max(counters.seconds, 1e-9), 1),
            "padding_efficiency": round(trainer.padding_efficiency, 4),
            "peak_memory_bytes": ready.runtime.peak_memory_bytes(),
            "stop_reason": reason,
        },
        "model": {"parameters": parameters(ready.model), "digest": digest(ready.model)},
        "search": {
            **dataclasses.asdict(translator.search),
            "batch_size": config.trainer.translate_batch,
            "precision": translator.runtime.precision,
        },
        "metric": dataclasses.asdict(config.metric),
        "data": corpora.report,
        "device": ready.runtime.describe(),
        "precision": ready.runtime.precision,
        "threads": ready.runtime.threads,
        "versions": versions(),
        "git_commit": _git_commit(),
        "config": config.to_dict(),
        "update": counters.update,
    }
    folder.write_json("results.json", results)
    LOGGER.info("run folder: %s", folder.path)
    LOGGER.info("translate with: seq2seq-translate %s < input > output", shlex.quote(f"run={folder.path}"))
    return Run(folder.path, results)


def _write_lexicon(corpora: Corpora, folder: RunFolder) -> None:
    """What search.shortlist needs, learnt from the training pairs."""
    start, tokenizers = time.monotonic(), corpora.tokenizers
    source, target = tokenizers.source, tokenizers.target
    lexicon = Lexicon.learn(corpora.train, source.vocab_size, target.vocab_size, source.eos_id, tokenizers.shared)
    lexicon.save(folder.lexicon, tokenizers.digests)
    LOGGER.info("learnt the lexicon, for search.shortlist, in %.1f s", time.monotonic() - start)


def _test(name: str, text: ParallelText, translator: Translator, config: Config, folder: RunFolder) -> dict[str, Any]:
    """Translates a test set, writes the three files, logs the scores and a few translations."""
    start = time.monotonic()
    translations = translator.translate(text.source, batch_size=config.trainer.translate_batch, progress=True)
    seconds = time.monotonic() - start
    hypotheses = [translation.text for translation in translations]
    for suffix, lines in (("source", text.source), ("reference", text.target), ("hypothesis", hypotheses)):
        folder.write_lines(f"{name}.{suffix}", lines)
    scores = score_texts(hypotheses, [text.target], config.metric)
    LOGGER.info("%s: BLEU %.2f  %s", name, scores["bleu"], scores["bleu_signature"])
    LOGGER.info("%s: chrF %.2f  %s", name, scores["chrf"], scores["chrf_signature"])
    rate = len(text) / max(seconds, 1e-9)
    LOGGER.info("%s: %.1f %% exact, %s sentences, %.0f a second", name, 100 * scores["exact_match"], len(text), rate)
    for i in range(min(config.trainer.samples, len(text))):
        LOGGER.info(
            "  source      %s\n  reference   %s\n  translation %s", text.source[i], text.target[i], hypotheses[i]
        )
    return {**scores, "seconds": round(seconds, 3), "sentences_per_second": round(rate, 2)}


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from, with `-dirty` after local changes; None elsewhere."""
    try:
        described = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip() or None
