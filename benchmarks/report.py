"""Prints a benchmark's figures: JSON with the machine it ran on, or a plain table."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil


def machine() -> dict[str, object]:
    """What the figures were measured on: they mean nothing without it."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "loop_ms": round(min(_loop_ms() for _ in range(5)), 1),
    }


def _loop_ms() -> float:
    """CPU milliseconds of a fixed piece of Python: shared machines are not equally fast all day, and two runs
    compare only where this is alike."""
    began = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number * number
    return (time.process_time() - began) * 1000


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process so far, 0 if it has ended."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def report(name: str, figures: Mapping[str, object], on: Mapping[str, object], target: str | None) -> None:
    """Write the figures to `target`: None prints a table, `-` JSON to standard output, else a JSON file."""
    document = {"benchmark": name, "machine": dict(on), **figures}
    if target is None:
        width = max(map(len, figures))
        print(name)
        for key, value in figures.items():
            print(f"  {key:<{width}}  {value}")
        return
    text = json.dumps(document, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text)
