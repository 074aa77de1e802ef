"""The options of each group, one dataclass each; what an option means stands beside it in configs/.

The defaults here are those in configs/ (a test compares them).
"""

from seq2seq.options.attention import AttentionConfig, LuongGeneralConfig
from seq2seq.options.base import Auto, Place, Precision, available_cores, lengths_faults, listed, number
from seq2seq.options.data import DataConfig, TokenizerConfig
from seq2seq.options.decoder import LSTMDecoderConfig
from seq2seq.options.encoder import LSTMEncoderConfig
from seq2seq.options.objective import CrossEntropyConfig
from seq2seq.options.runtime import RuntimeConfig
from seq2seq.options.search import MetricConfig, SearchConfig
from seq2seq.options.training import AdamConfig, PlateauConfig, TrainerConfig

__all__ = [
    "AdamConfig",
    "AttentionConfig",
    "Auto",
    "CrossEntropyConfig",
    "DataConfig",
    "LSTMDecoderConfig",
    "LSTMEncoderConfig",
    "LuongGeneralConfig",
    "MetricConfig",
    "Place",
    "PlateauConfig",
    "Precision",
    "RuntimeConfig",
    "SearchConfig",
    "TokenizerConfig",
    "TrainerConfig",
    "available_cores",
    "lengths_faults",
    "listed",
    "number",
]
