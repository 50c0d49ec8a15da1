"""How busy the machine is: read at once, GPUs parsed from what the driver's tool prints."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from jobs import meter
from jobs.meter import Gpu, Reading

MIB = 1024 * 1024


def test_a_reading_is_of_this_machine_and_kept_for_a_moment(home: Path) -> None:
    one = meter.read()
    assert 0 < one.memory_used_bytes < one.memory_total_bytes
    assert 0 <= one.disk_free_bytes < one.disk_total_bytes
    assert 0 <= one.cpu <= 1
    assert meter._Meter().read() is not one
    fresh = meter._Meter()
    fresh.last, fresh.last_at = one, 1e18
    assert fresh.read() is one


def test_what_the_tool_prints() -> None:
    text = "0, NVIDIA H200, 93, 4096, 144384\n1, NVIDIA H200, [N/A], [N/A], [N/A]\nnonsense\n\n"
    assert meter.parsed(text) == [
        Gpu("0", "NVIDIA H200", 0.93, 4096 * MIB, 144384 * MIB),
        Gpu("1", "NVIDIA H200", None, None, None),
    ]


def test_nobody_waits_for_a_tool_that_hangs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    def told() -> str:
        hangs.wait(60)
        return "0, A, 5, 1, 2\n1, B, 5, 1, 2"

    monkeypatch.setattr(meter.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(meter.devices, "visible_gpus", lambda: ["1"])
    monkeypatch.setattr(meter, "_told", told)
    asked = meter._Meter()
    assert asked.read().gpus == ()
    hangs.set()
    for thread in threading.enumerate():
        if thread.name == "gpu-meter":
            thread.join(30)
    asked.last_at = -1e9
    assert [gpu.name for gpu in asked.read().gpus] == ["B"]  # what others may use is not ours


def test_lines_for_the_menu() -> None:
    from pages.components import device_meter

    gb = 10**9
    one = Gpu("0", "A *b*", 0.5, 10 * gb, 80 * gb)
    now = Reading(0.37, 6 * gb, 16 * gb, 120 * gb, 500 * gb, (one,))
    texts = [text.split(": ", 1)[1] for text, _ in device_meter.lines(now)]
    assert texts == ["GPU 0 50% · 10.0 of 80.0 GB", "CPU 37% · memory 6.0 of 16.0 GB",
                     "120 of 500 GB free"]  # fmt: skip
    assert device_meter.lines(now)[0][1] == "A \\*b\\*"
    many = Reading(0.0, 0, 1, 0, 1, (one,) * 8)
    first, more = device_meter.lines(many)[0]
    assert first.endswith("8 GPUs 50% · 80.0 of 640 GB")
    assert more is not None and more.count("GPU 0") == 8
    unknown = Reading(0.0, 0, 1, 0, 1, (Gpu("0", "A", None, None, None),))
    assert device_meter.lines(unknown)[0][0].endswith("GPU 0 – · – of –")
