"""translate.py: a Unix filter. One line out for each line in, whatever is in it."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

from seq2seq.config import checked
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.focus import focus_bias
from seq2seq.evaluation.item import Item
from seq2seq.evaluation.translation import Hypothesis, Translation
from seq2seq.evaluation.translator import Translator
from seq2seq.options import RuntimeConfig, number
from seq2seq.progress import Progress
from seq2seq.text.tokenizer import Tokenizer

LOGGER = logging.getLogger("seq2seq")
BATCHES_READ = 20  # read ahead, so that sentences of like length can be translated together


@dataclass(frozen=True)
class TranslateConfig(RuntimeConfig):
    """The options of translate.py; each is explained in configs/translate.yaml."""

    run: str | None = None
    checkpoint: Literal["best", "last"] = "best"
    input: str = "-"
    output: str = "-"
    input_format: Literal["text", "json"] = "text"
    batch_size: int = number(64, 1)
    attention: bool = False
    search: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> TranslateConfig:
        config: TranslateConfig = checked(
            cls, plain, lambda c: [] if c.run else ["which model? set run=FOLDER, the folder that train.py left"]
        )
        return config


def translate(config: TranslateConfig) -> None:
    """Translates config.input to config.output until the input ends.

    Raises:
        CheckpointError, ConfigError: before anything is read.
        DataError: the input can't be opened, or a line of JSON isn't as it should be.
    """
    changes = {name: value for name, value in config.search.items() if value is not None}
    with ExitStack() as stack:
        source = _open_input(config.input, stack)
        translator = Translator.load(str(config.run), checkpoint=config.checkpoint, search=changes, runtime=config)
        sink = _open_output(config.output, stack)
        interactive = config.input == "-" and sys.stdin.isatty()
        batch_size = 1 if interactive else config.batch_size
        if interactive:
            LOGGER.info("type a line and press return; control-D ends")
        elif translator.runtime.precision != "fp32":
            LOGGER.warning(
                "precision=%s: a line may depend on its neighbours (on Multi30k, bf16 changed 59 lines of 1,000)",
                translator.runtime.precision,
            )
        as_json = config.attention or translator.search.n_best > 1 or config.input_format == "json"
        read_ahead = batch_size * BATCHES_READ if batch_size > 1 else 1
        shown = not interactive and batch_size > 1
        bar = stack.enter_context(Progress("translate", None, "lines", every=10.0, shown=shown))
        done = 0
        for items in _chunks(source, config, read_ahead, sys.stderr if interactive else None):
            translations = translator.translate(
                [item.text for item in items],
                batch_size=batch_size,
                attention=config.attention,
                prefixes=[item.prefix for item in items] if any(item.prefix for item in items) else None,
                attention_bias=_biases(items, translator.tokenizers.source),
                first_line=done + 1,
            )
            for translation in translations:
                sink.write(_json(translation) if as_json else translation.text)
                sink.write("\n")
            sink.flush()
            done += len(items)
            bar.update(len(items))
            if shown and bar.due:
                bar.say(f"translated {done:,} lines")


def _open_input(name: str, stack: ExitStack) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise DataError(f"input={name}: {error.strerror}") from error


def _open_output(name: str, stack: ExitStack) -> TextIO:
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8", errors="replace", newline="\n")  # type: ignore[union-attr]
        return sys.stdout
    try:
        return stack.enter_context(Path(name).open("w", encoding="utf-8", errors="replace", newline="\n"))
    except OSError as error:
        raise ConfigError(f"output={name}: {error.strerror}") from error


def _chunks(source: BinaryIO, config: TranslateConfig, size: int, prompt: TextIO | None) -> Iterator[list[Item]]:
    """Lines in lists of `size`; with size 1 each is given on as soon as it is there."""
    chunk: list[Item] = []
    number = 0
    while True:
        if prompt is not None:
            prompt.write("> ")
            prompt.flush()
        line = source.readline()  # unlike iteration, waits for no more than a line
        if not line:
            break
        number += 1
        text = _decode(line, number)
        chunk.append(Item(text) if config.input_format == "text" else Item.from_json(text, number))
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _decode(line: bytes, number: int) -> str:
    """A line without its end; what isn't UTF-8 becomes U+FFFD, with a warning."""
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        LOGGER.warning("line %d: not valid UTF-8 (byte 0x%02X); U+FFFD put in its place", number, line[error.start])
        return line.decode("utf-8", errors="replace")


def _biases(items: Sequence[Item], tokenizer: Tokenizer) -> list[list[float]] | None:
    if not any(item.focus for item in items):
        return None
    return [focus_bias(item.text, item.focus, item.strength, tokenizer) if item.focus else [] for item in items]


def _json(translation: Translation) -> str:
    hypotheses = [_hypothesis(hypothesis) for hypothesis in translation.hypotheses]
    content: dict[str, Any] = {"source": translation.source, "hypotheses": hypotheses}
    if translation.attention is not None:
        content["source_tokens"] = translation.source_tokens
    return json.dumps(content, ensure_ascii=False)


def _hypothesis(hypothesis: Hypothesis) -> dict[str, Any]:
    content: dict[str, Any] = {
        "text": hypothesis.text,
        "score": round(hypothesis.score, 6),
        "log_prob": round(hypothesis.log_prob, 6),
    }
    if hypothesis.attention is not None:
        content["tokens"] = hypothesis.tokens
        content["attention"] = [[round(weight, 6) for weight in row] for row in hypothesis.attention.tolist()]
    return content
