"""What a choice by measurement rests on."""

import time
from collections.abc import Callable


def least_seconds(work: Callable[[], object]) -> float:
    """Of five calls after one that is left out: noise only ever adds."""
    work()
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
