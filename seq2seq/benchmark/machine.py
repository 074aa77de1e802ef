"""What a figure was measured on, and how much memory it took."""

from __future__ import annotations

import platform
import re
import time
from pathlib import Path
from typing import Any

from seq2seq.options import available_cores
from seq2seq.runtime import Runtime, versions


def machine(runtime: Runtime) -> dict[str, Any]:
    """What belongs beside every figure, as plain data."""
    return {
        "cpu": _cpu(),
        "cores": available_cores(),
        "device": runtime.describe().partition(",")[0],
        "threads": runtime.threads,
        "date": time.strftime("%Y-%m-%d"),
        "versions": versions(),
    }


def peak_bytes(runtime: Runtime) -> int:
    """Peak of the GPU's allocated memory, or of this process's resident memory.

    On Linux, getrusage of a process begins with what the process that started it held; VmHWM doesn't.
    """
    status = Path("/proc/self/status")
    if runtime.device.type != "cuda" and status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if found is not None:
            return 1024 * int(found[1])
    return runtime.peak_memory_bytes()


def _cpu() -> str:
    """The processor's name as its maker spells it."""
    cpus = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", cpus.read_text(), re.MULTILINE) if cpus.exists() else None
    return found[1] if found is not None else platform.processor() or platform.machine()
