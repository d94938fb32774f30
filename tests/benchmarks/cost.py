"""What a piece of work costs: seconds on the clock, seconds of all processors, and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import psutil

__all__ = ["Cost", "added_memory", "fastest", "timed"]


class Cost(NamedTuple):
    """Seconds on the clock and of all processors; the second depends less on who else uses the machine."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s CPU)"

    def beside(self, other: Cost) -> str:
        """Say how many times the other it is."""
        return f"{self}: {self.wall / other.wall:.2f} x ({self.cpu / other.cpu:.2f} x CPU)"


def timed(work: Callable[[], Any]) -> tuple[Cost, Any]:
    """Return what something cost, and its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu), result


def fastest(costs: Sequence[Cost]) -> Cost:
    """Return the least of both, not always of one round."""
    return Cost(min(one.wall for one in costs), min(one.cpu for one in costs))


def added_memory(work: Callable[[], Any]) -> int:
    """Return by how many bytes resident memory rose at most while something ran."""
    process, stop = psutil.Process(), threading.Event()
    start, peak = process.memory_info().rss, [0]

    def watch() -> None:
        while not stop.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss - start)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    work()
    stop.set()
    watcher.join()
    return peak[0]
