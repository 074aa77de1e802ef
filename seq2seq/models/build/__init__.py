"""A checked config to a model; the only place where models and config meet, and where a new component is registered."""

from seq2seq.models.build.attention import register
from seq2seq.models.build.model import build_model

__all__ = ["build_model", "register"]
