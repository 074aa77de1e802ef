"""The tokenizers of source and target: one for both sides, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of source and target: one and the same object when they share a vocabulary."""

    source: Tokenizer
    target: Tokenizer

    @property
    def shared(self) -> bool:
        return self.source is self.target

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of each side's model."""
        return {"source": self.source.digest, "target": self.target.digest}

    @classmethod
    def train(
        cls,
        source_lines: Sequence[str],
        target_lines: Sequence[str],
        *,
        shared: bool,
        model_type: str,
        vocab_size: int | Literal["auto"],
        character_coverage: float = 0.9999,
        seed: int = 1,
    ) -> TokenizerPair:
        """One model from the text of both sides, or one for each, with the options of `Tokenizer.train`."""
        train = partial(
            Tokenizer.train,
            model_type=model_type,
            vocab_size=vocab_size,
            character_coverage=character_coverage,
            seed=seed,
        )
        if shared:
            tokenizer = train([*source_lines, *target_lines])
            return cls(tokenizer, tokenizer)
        return cls(train(source_lines, name="the source side"), train(target_lines, name="the target side"))

    def save(self, folder: Path) -> None:
        """Writes shared.model, or source.model and target.model, into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.source.save(folder / ("shared.model" if self.shared else "source.model"))
        if not self.shared:
            self.target.save(folder / "target.model")

    @classmethod
    def load(cls, folder: Path) -> TokenizerPair:
        """Reads what `save` wrote; CheckpointError where `folder` holds no tokenizer."""
        if (folder / "shared.model").is_file():
            tokenizer = Tokenizer.load(folder / "shared.model")
            return cls(tokenizer, tokenizer)
        if (folder / "source.model").is_file() and (folder / "target.model").is_file():
            return cls(Tokenizer.load(folder / "source.model"), Tokenizer.load(folder / "target.model"))
        raise CheckpointError(f"{folder}: no tokenizer here: neither shared.model nor source.model and target.model")

    @classmethod
    def from_path(cls, path: Path, shared: bool) -> TokenizerPair:
        """What `tokenizer.model=PATH` names: a model for both sides, a run's folder, or its tokenizer folder.

        One model serves both sides even without `shared`. ConfigError where `shared` asks for one model and the folder
        holds one for each side; CheckpointError where there is no tokenizer.
        """
        if not path.exists():
            raise CheckpointError(f"tokenizer.model={path}: no such file or folder")
        if path.is_dir():
            pair = cls.load(path / "tokenizer" if (path / "tokenizer").is_dir() else path)
        else:
            tokenizer = Tokenizer.load(path)
            pair = cls(tokenizer, tokenizer)
        if shared and not pair.shared:
            raise ConfigError(
                f"tokenizer.model={path} holds one model for each side, but tokenizer.shared=true asks for one that "
                "serves both; set tokenizer.shared=false"
            )
        return pair
