"""How busy this machine is, at no cost to whoever asks: GPUs, processor, memory, disk.

Readings are kept for a moment and shared by everybody in the process. The GPUs are asked by the
driver's own tool in a thread behind, so nobody waits for it, and no GPU is touched from here.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass

import psutil

from db import settings
from jobs import devices

KEPT_SECONDS = 2.0  # a share of the processor's time needs a while to be one
GPU_KEPT_SECONDS = 5.0
TOOL_SECONDS = 20.0
QUERY = "index,name,utilization.gpu,memory.used,memory.total"
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU; None where the driver does not tell."""

    index: str
    name: str
    busy: float | None  # share of the time, 0 to 1
    used_bytes: int | None
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment."""

    cpu: float  # share of the time of all cores, 0 to 1
    memory_used_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int  # of the home's disk
    disk_total_bytes: int
    gpus: tuple[Gpu, ...] = ()


class _Meter:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: Reading | None = None
        self.last_at = -1e9
        self.gpus: tuple[Gpu, ...] = ()
        self.gpus_at = -1e9
        self.asking = False

    def read(self) -> Reading:
        with self.lock:
            now = time.monotonic()
            if self.last is None or now - self.last_at >= KEPT_SECONDS:
                self._ask_gpus(now)
                self.last, self.last_at = self._measure(), now
            return self.last

    def _measure(self) -> Reading:
        memory = psutil.virtual_memory()
        disk = shutil.disk_usage(settings.home())
        return Reading(
            cpu=psutil.cpu_percent(interval=None) / 100,
            memory_used_bytes=memory.total - memory.available,
            memory_total_bytes=memory.total,
            disk_free_bytes=disk.free,
            disk_total_bytes=disk.total,
            gpus=self.gpus,
        )

    def _ask_gpus(self, now: float) -> None:
        if self.asking or now - self.gpus_at < GPU_KEPT_SECONDS:
            return
        if shutil.which("nvidia-smi") is None:
            self.gpus_at = now
            return
        self.asking = True
        threading.Thread(target=self._read_gpus, name="gpu-meter", daemon=True).start()

    def _read_gpus(self) -> None:
        found: tuple[Gpu, ...] = ()
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            visible = set(devices.visible_gpus())
            found = tuple(gpu for gpu in parsed(_told()) if gpu.index in visible)
        with self.lock:
            self.gpus, self.gpus_at, self.asking = found, time.monotonic(), False


_meter = _Meter()


def read() -> Reading:
    """The machine now, or as it was two seconds ago; returns at once."""
    return _meter.read()


def parsed(text: str) -> list[Gpu]:
    """The GPUs in what `nvidia-smi --query-gpu` prints as CSV without header and units."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) != len(QUERY.split(",")):
            continue
        index, name, busy, used, total = parts
        share = _number(busy)
        found.append(
            Gpu(index, name, None if share is None else share / 100, _bytes(used), _bytes(total))
        )
    return found


def _told() -> str:
    tool = shutil.which("nvidia-smi") or "nvidia-smi"
    command = [tool, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=True)
    return done.stdout


def _bytes(text: str) -> int | None:
    number = _number(text)
    return None if number is None else int(number * MIB)


def _number(text: str) -> float | None:
    """A number; None for what the tool says where it has none, such as "[N/A]"."""
    try:
        return float(text)
    except ValueError:
        return None
