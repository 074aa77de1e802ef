"""Device, precision, threads and seeds: what `auto` comes to on this machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import random
import resource
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch
from torch.nn.functional import linear

from seq2seq.errors import ConfigError
from seq2seq.options import RuntimeConfig, available_cores
from seq2seq.processor import has_bf16, least_seconds, product_error

# How the allocators of the CPU, of CUDA outside of torch's own, of Apple's GPU, and of cuBLAS and cuDNN put it.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Runtime:
    """A resolved device and precision. `precision` is that of matrix products; weights and states stay float32.

    int8 is of a model that `seq2seq.models.int8.quantized` made, and of its larger products only.
    """

    device: torch.device
    precision: str
    threads: int

    @classmethod
    def resolve(cls, options: RuntimeConfig, *, training: bool) -> Runtime:
        """What the options come to here; sets torch's threads, determinism and float32 products to match.

        Under `precision=auto`, training takes bf16 where it is faster, translation float32: a line's translation then
        never depends on the lines beside it.

        Raises:
            ConfigError: a device or a precision that this machine hasn't got.
        """
        # oneDNN keeps a compiled kernel for each shape that it meets, and so does torch's layer over it: batches come
        # in many shapes, and a long translation would fill gigabytes. Both read this once, before their first product.
        for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
            os.environ.setdefault(cache, "64")
        threads = available_cores() if isinstance(options.threads, str) else options.threads
        torch.set_num_threads(threads)
        device = _device(options.device)
        precision: str = options.precision
        if precision == "auto":
            precision = _fastest(device) if training else "fp32"
        if precision == "fp16" and device.type != "cuda":
            raise ConfigError(f"precision=fp16 needs a GPU, but device={device.type}; use precision=bf16 or fp32")
        if precision == "int8":
            _check_int8(device, training)
        if torch.are_deterministic_algorithms_enabled() != options.deterministic:  # the call imports torch's compiler
            torch.use_deterministic_algorithms(options.deterministic)
        if options.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if device.type == "cpu":
            _keep_freed_memory()
            torch.set_float32_matmul_precision("medium" if _medium_is_float32() else "highest")
        return cls(device, precision, threads)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Matrix products in this precision; nothing to do in float32, nor in int8, which is the model's own affair."""
        if self.precision in ("fp32", "int8"):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=DTYPES[self.precision])

    def describe(self) -> str:
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return f"{name}, {self.precision}, {self.threads} thread{'s' if self.threads != 1 else ''}"

    def peak_memory_bytes(self) -> int:
        """Peak of the GPU's allocated memory, or of this process's resident memory."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def synchronize(self) -> None:
        """Waits for the GPU, so that a clock read next to it is right."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def seed_everything(seed: int) -> None:
    """Seeds torch's and Python's global generators."""
    torch.manual_seed(seed)
    random.seed(seed)


def out_of_memory(error: RuntimeError) -> bool:
    """Whether it says that memory has run out, in the words of whichever allocator."""
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("seq2seq", "torch", "sentencepiece", "sacrebleu"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _device(asked: str) -> torch.device:
    mps = torch.backends.mps.is_available()
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch finds no CUDA device here; use device=cpu")
    if asked == "mps" and not mps:
        raise ConfigError("device=mps: torch finds no Apple GPU here; use device=cpu")
    return torch.device(asked)


def _check_int8(device: torch.device, training: bool) -> None:
    if training:
        raise ConfigError(
            "precision=int8 is for translation, and training can't use it; use precision=auto, bf16 or fp32, and "
            "precision=int8 in translate.py"
        )
    if device.type != "cpu":
        raise ConfigError(
            f"precision=int8 needs the CPU, but device={device.type}; set device=cpu, or use precision=bf16 or fp32"
        )


def _fastest(device: torch.device) -> str:
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _bf16_pays() else "fp32"


def _bf16_pays() -> bool:
    """Measured, for no list of processors stays complete: bf16 products must be half as fast again as float32's.

    Not where they are imitated, for which what is measured here would take half a minute.
    """
    if not has_bf16():
        return False
    a, b = torch.randn(256, 512), torch.randn(512, 2048)
    half_a, half_b = a.bfloat16(), b.bfloat16()
    return least_seconds(lambda: half_a @ half_b) * 1.5 < least_seconds(lambda: a @ b)


def _medium_is_float32() -> bool:
    """Whether torch's "medium" float32 products, on many CPUs twice as fast, are as exact as its "highest" ones here.

    On a CPU with bf16 matrix units they are rounded to bf16; without those, they take oneDNN's float32 kernels.
    """
    torch.set_float32_matmul_precision("highest")
    highest = product_error(linear)
    torch.set_float32_matmul_precision("medium")
    return product_error(linear) <= 4 * highest


def _keep_freed_memory() -> None:
    """Has glibc keep the memory of freed tensors for the next ones, instead of returning it to the system each time.

    Fresh pages cost more than most operations that fill them: without this, training takes half as long again.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TOP_PAD, 64 * 2**20)


_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # malloc.h
