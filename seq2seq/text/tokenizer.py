"""SentencePiece tokenizers that give text back exactly, one for both sides or one for each.

This is the only file that knows SentencePiece. Its ids are the vocabulary's ids: nothing renumbers them.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sentencepiece

from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.text.escapes import escape, unescape
from seq2seq.text.model_file import model_kind, read_model
from seq2seq.text.spans import read_spans

LOGGER = logging.getLogger("seq2seq")

LARGEST_AUTO = 32_000
SAMPLED_LINES = 2_000_000
SAMPLED_BYTES = 250_000_000  # for which unigram, the greediest, takes 6 GiB
SPECIAL_PIECES, BYTE_PIECES = 4, 256
LONGEST_PIECE = 1000  # characters, of a model from elsewhere
ALL_CHARACTERS = 0x110000 + SPECIAL_PIECES + BYTE_PIECES


class Tokenizer:
    """One SentencePiece model; bpe, unigram and char give any line back exactly, word only known words.

    Exactly means every Unicode character but the newline, all spaces included: no normalisation, bytes for characters
    outside the vocabulary. Lone surrogates become U+FFFD. `word` splits at spaces and forgets how many there were.
    Specials spelled out in the text ("<s>", "<0x41>") are text. `digest` is the SHA-256 of the serialized model.
    """

    def __init__(self, model: bytes) -> None:
        if not model:  # some versions of SentencePiece crash on it
            raise ValueError("an empty model")
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._model = model
        self.digest = hashlib.sha256(model).hexdigest()
        self.vocab_size: int = self._processor.vocab_size()
        self.unk_id: int = self._processor.unk_id()
        self.eos_id: int = self._processor.eos_id()
        # What a foreign model may lack: sentences can open with its end, and padding is masked whatever it is.
        self.bos_id: int = self._processor.bos_id() if self._processor.bos_id() >= 0 else self.eos_id
        self.pad_id: int = self._processor.pad_id() if self._processor.pad_id() >= 0 else self.eos_id

    @classmethod
    def train(
        cls,
        lines: Sequence[str],
        *,
        model_type: str,
        vocab_size: int | Literal["auto"],
        character_coverage: float = 0.9999,
        seed: int = 1,
        name: str = "this text",
    ) -> Tokenizer:
        """Learns `model_type` bpe, unigram, char or word from `lines`; the same lines always give the same model.

        `vocab_size` is exact for bpe and unigram (ConfigError where the text can't give it, naming what it can), a
        ceiling for char and word. Corpora beyond two million lines are sampled, by `seed`. DataError without text.
        Messages call the text `name`.
        """
        if not any(line.strip() for line in lines):
            raise DataError(f"no tokenizer can be trained on {name}: every line is empty")
        chosen = [lines[i] for i in sampled(len(lines), seed)]
        recipe = _Recipe(chosen, name, model_type, character_coverage)
        if model_type in ("char", "word"):
            return recipe.at_most(vocab_size)
        return recipe.auto() if vocab_size == "auto" else recipe.exact(vocab_size)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Reads a SentencePiece model, ours or any other; CheckpointError where it isn't one or lacks EOS.

        All that it can write is looked at once: a model of a stranger's must not fail in the midst of a translation.
        """
        try:
            tokenizer = cls(read_model(path))
            pieces = tokenizer.pieces(range(tokenizer.vocab_size))
            longest = max(map(len, [*pieces, tokenizer.decode([tokenizer.unk_id])]))
        except OSError as error:
            raise CheckpointError(f"{path}: can't read this tokenizer: {error.strerror}") from error
        except (RuntimeError, ValueError, IndexError) as error:
            raise CheckpointError(f"{path}: not a SentencePiece model") from error
        if longest > LONGEST_PIECE:
            raise CheckpointError(f"{path}: this SentencePiece model has a piece of {longest} characters; use another")
        if tokenizer.eos_id < 0:
            raise CheckpointError(f"{path}: this SentencePiece model has no end-of-sentence piece (eos_id is -1)")
        return tokenizer

    @property
    def kind(self) -> str:
        """bpe, unigram, char or word."""
        return model_kind(self._model)

    def save(self, path: Path) -> None:
        """Writes beside `path`, syncs and renames, so that no half-written model is ever found there."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            file.write(self._model)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def encode(self, line: str) -> list[int]:
        """The ids of one line, without BOS and EOS; [] for an empty one."""
        return list(self._processor.encode(escape(line)))

    def encode_batch(self, lines: Sequence[str], threads: int = -1) -> list[list[int]]:
        """The ids of each line, as `encode` gives them; -1 threads are as many as there are cores."""
        return list(self._processor.encode([escape(line) for line in lines], num_threads=threads))

    def sample_batch(self, lines: Sequence[str], alpha: float, seed: int) -> list[list[int]]:
        """Ids of each line in pieces drawn by `seed`, of bpe and unigram models; the text that they give is the same.

        bpe: as `encode` makes them, but each merge is left out with probability alpha (BPE-dropout, Provilkov et al.
        2020). SentencePiece draws once for every two neighbours that could be merged; the paper draws again for all of
        them at each step, so that the same alpha leaves out less. unigram: drawn with a probability proportional to
        P(pieces)^alpha (Kudo 2018, section 3.3, with l = infinity).
        """
        sentencepiece.set_random_generator_seed(seed)  # which the threads of the next call begin with: hence one
        escaped = [escape(line) for line in lines]
        drawn = self._processor.encode(escaped, enable_sampling=True, alpha=alpha, nbest_size=-1, num_threads=1)
        return list(drawn)

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[bytes]]:
        """Pickled as its model, for the processes that encode."""
        return Tokenizer, (self._model,)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of any ids: control pieces vanish, broken UTF-8 becomes U+FFFD, unknown is spelled "<unk>"."""
        ids = list(ids)
        text = str(self._processor.decode(ids))
        if next((i for i in ids if not self._processor.is_control(i)), None) == self.unk_id:
            text = text.removeprefix(" ")  # of a word model's " <unk>"
        text = text.removeprefix("\u2581").replace("\u2581", " ")  # where the space itself had to be spelled in bytes
        return unescape(text)

    def decode_batch(self, lines: Sequence[Sequence[int]]) -> list[str]:
        """The text of each line's ids, as `decode` gives it."""
        return [self.decode(ids) for ids in lines]

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """One readable string for each id, with U+2581 for a space: for people to look at, not to decode."""
        return [unescape(self._processor.id_to_piece(i)) for i in ids]

    def byte_ids(self) -> frozenset[int]:
        """The pieces that stand for one byte of a character outside of the vocabulary."""
        return frozenset(i for i in range(self.vocab_size) if self._processor.is_byte(i))

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Of each piece of `encode(line)`, the characters line[start:end] that it stands for, its space included.

        The bytes of one character have its span each, and the space put before a line has (0, 0).
        """
        owners = [i for i, character in enumerate(line) for _ in escape(character).encode()]
        return read_spans(self._processor.encode(escape(line), out_type="serialized_proto"), owners)


@dataclass(frozen=True)
class _Recipe:
    """How to train one model type on given lines, at whatever size."""

    lines: Sequence[str]
    name: str
    model_type: str
    character_coverage: float

    def auto(self) -> Tokenizer:
        """8,000 pieces for 700,000 words, growing with their cube root: at least twice the characters, if possible."""
        words = sum(len(line.split()) for line in self.lines)
        smallest = self._smallest()
        wished = max(round(80 * (words / 700_000) ** (1 / 3)) * 100, 2 * smallest)
        tokenizer = self._fit(max(min(wished, LARGEST_AUTO), smallest), self.model_type)
        LOGGER.info("tokenizer.vocab_size=auto: %d pieces from %d words (%s)", tokenizer.vocab_size, words, self.name)
        return tokenizer

    def exact(self, vocab_size: int) -> Tokenizer:
        """A model of just `vocab_size` pieces, or a ConfigError that names the nearest size that works."""
        try:
            tokenizer = self._fit(vocab_size, self.model_type)
        except RuntimeError:
            if vocab_size >= (smallest := self._smallest()):
                raise
            raise self._too_small(vocab_size, smallest) from None
        if tokenizer.vocab_size == vocab_size:
            return tokenizer
        most = tokenizer.vocab_size
        while (size := self._fit(most, self.model_type).vocab_size) < most:  # so that what we name is sure to work
            most = size
        raise ConfigError(
            f"tokenizer.vocab_size={vocab_size} is more than {self.name} can give: at most {most}; "
            f"set tokenizer.vocab_size={most} or auto"
        )

    def at_most(self, vocab_size: int | Literal["auto"]) -> Tokenizer:
        """A model of `vocab_size` pieces, or of as many as there are; auto takes all characters, or 32,000 words."""
        if vocab_size == "auto":
            tokenizer = self._fit(LARGEST_AUTO if self.model_type == "word" else ALL_CHARACTERS, self.model_type)
            LOGGER.info("tokenizer.vocab_size=auto: %d pieces (%s)", tokenizer.vocab_size, self.name)
            return tokenizer
        smallest = SPECIAL_PIECES + (0 if self.model_type == "word" else BYTE_PIECES) + 1
        if vocab_size < smallest:
            raise self._too_small(vocab_size, smallest)
        tokenizer = self._fit(vocab_size, self.model_type)
        if (most := tokenizer.vocab_size) < vocab_size:
            LOGGER.info("tokenizer.vocab_size=%d reduced to %d, all that %s gives", vocab_size, most, self.name)
        return tokenizer

    def _smallest(self) -> int:
        """Specials, bytes and covered characters: what every bpe or unigram model has, and a char model no more."""
        return self._fit(ALL_CHARACTERS, "char").vocab_size

    def _too_small(self, vocab_size: int, smallest: int) -> ConfigError:
        return ConfigError(
            f"tokenizer.vocab_size={vocab_size} is too small for tokenizer={self.model_type} and {self.name}: "
            f"at least {smallest}; set tokenizer.vocab_size={smallest} or auto"
        )

    def _fit(self, vocab_size: int, model_type: str) -> Tokenizer:
        """Trains a model of at most `vocab_size` pieces; RuntimeError where the text's characters don't fit in."""
        model = io.BytesIO()
        lossless = model_type != "word"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(escape, self.lines),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=self.character_coverage if lossless else 1.0,  # letters cost a word model nothing
            byte_fallback=lossless,
            remove_extra_whitespaces=not lossless,
            normalization_rule_name="identity",
            max_sentence_length=1 << 30,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=3,
            unk_surface="<unk>" if lossless else " <unk>",
            num_threads=16,  # stored in the model, and unigram sums in as many portions: another number, another model
            minloglevel=2,
        )
        return Tokenizer(model.getvalue())


def sampled(count: int, seed: int, line_bytes: float = 0.0) -> Sequence[int]:
    """Which of `count` lines a tokenizer learns from, in order: all, or two million drawn by `seed`.

    Fewer where lines of `line_bytes` in the mean would need too much memory.
    """
    most = SAMPLED_LINES if line_bytes == 0 else min(SAMPLED_LINES, int(SAMPLED_BYTES / line_bytes))
    return range(count) if count <= most else sorted(random.Random(seed).sample(range(count), most))
