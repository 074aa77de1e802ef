"""Moses' tokenizer, whose tokens published results are computed on; the only place that knows sacremoses."""

from __future__ import annotations

from collections.abc import Callable

from seq2seq.errors import ConfigError


def moses_tokenizer(language: str) -> Callable[[str], str]:
    """Lines to their tokens with a space between: tokenizer.perl -l LANGUAGE, in Python.

    ConfigError where sacremoses isn't installed.
    """
    try:
        from sacremoses import MosesTokenizer
    except ImportError as error:
        raise ConfigError("this recipe needs Moses' tokenizer: pip install 'seq2seq[moses]'") from error
    tokenizer = MosesTokenizer(lang=language)

    def tokenize(line: str) -> str:
        return str(tokenizer.tokenize(line, return_str=True))

    return tokenize
