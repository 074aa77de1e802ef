"""What `auto` comes to on this machine, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from support.process import torch_settings_kept

from seq2seq.errors import ConfigError
from seq2seq.options import RuntimeConfig
from seq2seq.runtime import Runtime, seed_everything, versions

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


@pytest.fixture(autouse=True)
def _untouched_torch() -> Iterator[None]:
    with torch_settings_kept():
        yield


@without_gpu
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, "device=cuda: torch finds no CUDA device here; use device=cpu"),
        ({"precision": "fp16"}, "precision=fp16 needs a GPU, but device=cpu; use precision=bf16 or fp32"),
    ],
)
def test_what_this_machine_has_not_got(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        Runtime.resolve(RuntimeConfig(**options), training=True)  # type: ignore[arg-type]


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="needs a machine without Apple's GPU")
def test_an_apple_gpu_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^device=mps: torch finds no Apple GPU here; use device=cpu$"):
        Runtime.resolve(RuntimeConfig(device="mps"), training=True)


def test_translation_is_float32_unless_asked_otherwise() -> None:
    assert Runtime.resolve(RuntimeConfig(), training=False).precision == "fp32"
    assert Runtime.resolve(RuntimeConfig(precision="bf16"), training=False).precision == "bf16"


def test_training_takes_what_is_fastest() -> None:
    assert Runtime.resolve(RuntimeConfig(device="cpu"), training=True).precision in ("fp32", "bf16")
    assert Runtime.resolve(RuntimeConfig(device="cpu", precision="fp32"), training=True).precision == "fp32"


@pytest.mark.parametrize(
    ("has_it", "times", "precision"),
    [(True, [1.0, 2.0], "bf16"), (True, [1.0, 1.4], "fp32"), (False, [], "fp32")],
)
def test_training_takes_bf16_where_it_is_faster_by_half(
    has_it: bool, times: list[float], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a CPU has to imitate isn't even tried: it would take half a minute."""
    measured = iter(times)
    monkeypatch.setattr("seq2seq.runtime.has_bf16", lambda: has_it)
    monkeypatch.setattr("seq2seq.runtime.least_seconds", lambda work: next(measured))
    assert Runtime.resolve(RuntimeConfig(device="cpu"), training=True).precision == precision
    assert not list(measured)


def test_threads_are_set_and_stored() -> None:
    assert Runtime.resolve(RuntimeConfig(device="cpu", threads=1), training=False).threads == 1
    assert torch.get_num_threads() == 1
    assert Runtime.resolve(RuntimeConfig(device="cpu"), training=False).threads >= 1


def test_float32_products_are_float32() -> None:
    Runtime.resolve(RuntimeConfig(device="cpu", precision="fp32"), training=False)
    generator = torch.Generator().manual_seed(3)
    a, b = torch.randn(64, 512, generator=generator), torch.randn(512, 256, generator=generator)
    error = (a @ b - (a.double() @ b.double())).abs().max()
    assert error < 2e-4  # bf16's would be about 0.3


def test_determinism_is_on_when_asked_for_and_off_when_not() -> None:
    Runtime.resolve(RuntimeConfig(device="cpu", deterministic=True), training=True)
    assert torch.are_deterministic_algorithms_enabled()
    Runtime.resolve(RuntimeConfig(device="cpu"), training=True)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_and_weights_stay_float32(precision: str, dtype: torch.dtype) -> None:
    runtime = Runtime(torch.device("cpu"), precision, 1)
    layer = torch.nn.Linear(4, 4)
    with runtime.autocast():
        product = layer(torch.randn(2, 4))
    assert product.dtype == dtype
    assert layer.weight.dtype == torch.float32


def test_descriptions() -> None:
    assert Runtime(torch.device("cpu"), "fp32", 1).describe() == "cpu, fp32, 1 thread"
    assert Runtime(torch.device("cpu"), "bf16", 2).describe() == "cpu, bf16, 2 threads"


def test_peak_memory_is_in_bytes() -> None:
    assert 50e6 < Runtime(torch.device("cpu"), "fp32", 1).peak_memory_bytes() < 100e9


def test_the_same_seed_draws_the_same_numbers() -> None:
    with torch.random.fork_rng():
        seed_everything(5)
        first = torch.rand(3)
        seed_everything(5)
        assert torch.equal(torch.rand(3), first)
        seed_everything(6)
        assert not torch.equal(torch.rand(3), first)


def test_versions_name_what_a_result_depends_on() -> None:
    found = versions()
    assert found.keys() == {"python", "seq2seq", "torch", "sentencepiece", "sacrebleu"}
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]


SHAPES = """
import random, sys
import torch
from seq2seq.options import RuntimeConfig
from seq2seq.runtime import Runtime

def held():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

Runtime.resolve(RuntimeConfig(device="cpu", threads=1), training=False)
layer, chance = torch.nn.Linear(64, 512), random.Random(1)
with torch.inference_mode():
    for rows in chance.sample(range(100, 3000), 600):
        layer(torch.randn(rows, 64))
        if rows % 10 == 0:
            print(held())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_products_of_many_shapes_fill_no_memory() -> None:
    """Once the caches are full; without their limits, each new shape takes half a megabyte more."""
    done = subprocess.run([sys.executable, "-c", SHAPES], capture_output=True, text=True, timeout=100, check=True)
    held = [float(line) for line in done.stdout.split()]
    assert held[-1] - held[len(held) // 2] < 40
