"""Translators of random weights."""

import pytest
from support import translators
from support.process import torch_settings_kept


@pytest.fixture(scope="module")
def make_translator():
    """make(source lines, target lines, tokenizer, cell, attention), with the process's settings put back afterwards."""
    with torch_settings_kept():
        yield translators.make_translator
