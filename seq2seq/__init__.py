"""Attention-based sequence-to-sequence translation.

    import seq2seq

    run = seq2seq.train(seq2seq.compose(["attention=bahdanau"]))
    translator = seq2seq.Translator.load(run.folder)
    print(translator.translate(["Ein Satz."])[0].text)

Names are imported when they are first used, so that `import seq2seq` alone costs no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.cli import compose as compose
    from seq2seq.config import Config as Config
    from seq2seq.errors import CheckpointError as CheckpointError
    from seq2seq.errors import ConfigError as ConfigError
    from seq2seq.errors import DataError as DataError
    from seq2seq.errors import Interrupted as Interrupted
    from seq2seq.errors import Seq2SeqError as Seq2SeqError
    from seq2seq.errors import TrainingError as TrainingError
    from seq2seq.evaluation.translation import Translation as Translation
    from seq2seq.evaluation.translator import Translator as Translator
    from seq2seq.models.build import register as register
    from seq2seq.models.scores import Score as Score
    from seq2seq.options import AttentionConfig as AttentionConfig
    from seq2seq.training.plan import plan as plan
    from seq2seq.training.train import Run as Run
    from seq2seq.training.train import train as train

_HOMES = {
    "compose": "cli",
    "AttentionConfig": "options",
    "Config": "config",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "Interrupted": "errors",
    "Seq2SeqError": "errors",
    "TrainingError": "errors",
    "Translation": "evaluation.translation",
    "Translator": "evaluation.translator",
    "register": "models.build",
    "Score": "models.scores",
    "plan": "training.plan",
    "Run": "training.train",
    "train": "training.train",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seq2seq' has no attribute {name!r}")
    return getattr(import_module(f"seq2seq.{_HOMES[name]}"), name)
