"""How busy the machine is, at the foot of the menu of every page; it refreshes itself slowly."""

from __future__ import annotations

import streamlit as st

from jobs import meter
from jobs.meter import Gpu, Reading
from pages.components import problems, words

SECONDS = 8.0
MOST_LINES = 2  # GPUs with a line each; more are summed up


def draw() -> None:
    """Draw the meter, as a part of the page that is drawn anew by itself."""
    st.fragment(_draw, run_every=SECONDS)()


def _draw() -> None:
    now = meter.read()
    with st.container(key="device_meter", gap=None):
        for text, more in lines(now):
            st.caption(text, help=more)


def lines(now: Reading) -> list[tuple[str, str | None]]:
    """What there is to say, each line with what a closer look tells."""
    found: list[tuple[str, str | None]] = []
    if len(now.gpus) > MOST_LINES:
        found.append((_all_gpus(now.gpus), "  \n".join(_gpu(gpu) for gpu in now.gpus)))
    else:
        found += [(_gpu(gpu), problems.as_text(gpu.name)) for gpu in now.gpus]
    memory = _of(now.memory_used_bytes, now.memory_total_bytes)
    found.append((f":material/memory: CPU {now.cpu:.0%} · memory {memory}", None))
    disk = _of(now.disk_free_bytes, now.disk_total_bytes)
    found.append((f":material/hard_drive: {disk} free", "The disk of CRUCIBLE_HOME."))
    return found


def _of(part_bytes: int | None, whole_bytes: int | None) -> str:
    """`9.1 of 25.3 GB`: the unit once, where it is the same."""
    part, whole = words.size(part_bytes), words.size(whole_bytes)
    unit = whole.rsplit(" ", 1)[-1]
    return f"{part.removesuffix(f' {unit}')} of {whole}"


def _gpu(gpu: Gpu) -> str:
    busy = "–" if gpu.busy is None else f"{gpu.busy:.0%}"
    memory = _of(gpu.used_bytes, gpu.total_bytes)
    return f":material/developer_board: GPU {problems.as_text(gpu.index)} {busy} · {memory}"


def _all_gpus(gpus: tuple[Gpu, ...]) -> str:
    busy = sum(gpu.busy or 0.0 for gpu in gpus) / len(gpus)
    memory = _of(
        sum(gpu.used_bytes or 0 for gpu in gpus), sum(gpu.total_bytes or 0 for gpu in gpus)
    )
    return f":material/developer_board: {len(gpus)} GPUs {busy:.0%} · {memory}"
