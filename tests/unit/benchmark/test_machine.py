"""What stands beside a figure."""

import os
import re
import sys

import pytest
import torch

from seq2seq.benchmark.child import alone
from seq2seq.benchmark.machine import machine, peak_bytes
from seq2seq.errors import TrainingError
from seq2seq.runtime import Runtime

CPU = Runtime(torch.device("cpu"), "fp32", 3)


def test_machine_threads_torch_and_date_are_named() -> None:
    facts = machine(CPU)
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["threads"] == 3
    assert facts["device"] == "cpu"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", facts["date"])
    assert facts["versions"]["torch"].startswith(torch.__version__.partition("+")[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_of_its_own_has_a_peak_of_its_own() -> None:
    held = bytearray(b"x") * (600 << 20)
    assert peak_bytes(CPU) > len(held)
    assert 20e6 < alone(peak_bytes, CPU, "row") < len(held)


def test_peaks_stay_when_the_memory_is_gone() -> None:
    held = torch.ones(20 << 20)
    peak = peak_bytes(CPU)
    del held
    assert peak_bytes(CPU) >= peak


def test_a_process_that_dies_is_an_error_with_the_rows_name() -> None:
    message = (
        r"S=9 T=9: a process that measures has died \(exit code 3\); if memory ran out, make room, and start again"
    )
    with pytest.raises(TrainingError, match=f"^{message}$"):
        alone(os._exit, 3, "S=9 T=9")
