"""What the benchmarks share: functions called in turns, and the seconds and the memory that each of them takes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

Calls = dict[str, Callable[[], object]]
"""Functions to time by the name of who does it, "ours" first."""
SECONDS_EACH = 30
"""Turns of a function end, after the first, when it has taken as long as this."""


def name_of(device: torch.device) -> str:
    """What figures that were measured on `device` are stored under."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return "one CPU core" if threads == 1 else f"{threads} CPU cores"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def give_memory_back() -> None:
    """Start this program again such that memory of large temporary tensors is given back as soon as they are dropped.

    By default glibc gives it back, keeps it, or loses it between small ones, as it comes: the same coreset takes
    anomalib 2 to 20 ms a pick, and once took 24 GB.
    """
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**23)
        os.execv(sys.executable, [sys.executable, *sys.argv])


def held(key: str) -> int:
    """Bytes of this process's memory: VmRSS, those held now, or VmHWM, the most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def taken(call: Callable[[], object], device: torch.device) -> tuple[object, float, float]:
    """What `call` returns, its seconds, and the most gigabytes that it added while it ran (of a CPU: Linux only)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before, start = torch.cuda.memory_allocated(device), time.perf_counter()
        result = call()
        torch.cuda.synchronize(device)  # what was launched may still be running
        seconds = time.perf_counter() - start
        return result, seconds, (torch.cuda.max_memory_allocated(device) - before) / 1e9
    ctypes.CDLL(None).malloc_trim(0)  # what small tensors left behind would hold large ones, and nothing be added
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before, start = held("VmRSS"), time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return result, seconds, (held("VmHWM") - before) / 1e9


def take_turns(
    calls: Calls, rounds: int, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, float], dict[str, object]]:
    """Seconds of each turn, the most gigabytes added, and the last result, all by name."""
    seconds, gigabytes, results = {name: [] for name in calls}, dict.fromkeys(calls, 0.0), {}
    for _ in range(rounds):
        for name, call in calls.items():
            if sum(seconds[name]) < SECONDS_EACH:
                results[name], took, added = taken(call, device)
                seconds[name].append(took)
                gigabytes[name] = max(gigabytes[name], added)
    return seconds, gigabytes, results
