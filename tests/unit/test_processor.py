"""What the CPU can do."""

import time

import pytest
import torch

from seq2seq.processor import has_bf16, least_seconds


def test_the_first_call_and_the_slow_ones_do_not_count(monkeypatch):
    spent = iter([9.0, 3.0, 2.0, 5.0, 4.0, 7.0])
    now = [0.0]

    def work():
        now[0] += next(spent)

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert least_seconds(work) == 2.0
    assert not list(spent)


@pytest.mark.parametrize("there", [True, False])
def test_bf16_is_onednns(monkeypatch, there):
    """A build of torch without oneDNN has nothing to ask."""
    asked = []

    def supported():
        asked.append(True)
        return True

    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: there)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", supported, raising=False)
    has_bf16.cache_clear()
    try:
        assert has_bf16() == there
        assert bool(asked) == there
    finally:
        has_bf16.cache_clear()
