"""Figures by matplotlib, without its global state. Importing this room without matplotlib says what to install."""

import importlib.util

from seq2seq.errors import ConfigError

if importlib.util.find_spec("matplotlib") is None:
    raise ConfigError("a plot needs matplotlib, which isn't installed: pip install 'seq2seq[plot]'")
