"""The one stream everything that merges uses: a program's steps -> a sink, tensor by tensor."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from merging.streaming.program import Step
from merging.streaming.sinks import Sink

if TYPE_CHECKING:
    from merging.health.tally import Tally

Event = dict[str, Any]
Work = Callable[[Step], None]


def merge_tensors(
    steps: Sequence[Step],
    sink: Sink,
    *,
    devices: Sequence[str] = ("cpu",),
    chunk_elements: int | None = None,
    threads: int = 1,
    tally: Tally | None = None,
) -> Iterator[Event]:
    """Merge every tensor of a program into the sink.

    Args:
        steps: `merging.streaming.program.program` of opened, compatible parents.
        sink: takes the chunks in the steps' output dtypes.
        devices: torch devices to compute on: "cpu" alone, or GPUs that share the tensors.
        chunk_elements: elements that are in memory at a time, per parent and thread; None for
            what suits the device. The result does not depend on it.
        threads: tensors that are merged at the same time on the CPU.
        tally: counts what the merge does to every tensor.

    Yields:
        Progress events, one per finished tensor.

    Raises:
        ModelError: NaN or infinity in a parent, integer tensors that differ.
        MergeFailure: a result that its dtype cannot hold.
    """
    elements = sum(step.output.n_elements for step in steps) or 1
    stop = threading.Event()
    if list(devices) == ["cpu"]:
        workers = _on_cpu(sink, stop, chunk_elements, max(threads, 1), tally)
    else:
        workers = _on_devices(sink, stop, chunk_elements, devices, tally)
    finished = 0
    # the largest first, so that no thread is left alone with it at the end
    waiting = sorted(steps, key=lambda step: -step.output.n_elements)
    for done, step in enumerate(_side_by_side(waiting, workers, stop), 1):
        finished += step.output.n_elements
        yield {
            "kind": "progress",
            "stage": "Merging",
            "done": done,
            "total": len(steps),
            "unit": "tensors",
            "fraction": finished / elements,
            "elements": elements,
        }


def _on_cpu(
    sink: Sink,
    stop: threading.Event,
    chunk_elements: int | None,
    threads: int,
    tally: Tally | None,
) -> list[Callable[[], Work]]:
    """A worker per thread."""
    from merging.streaming.buffers import Buffers
    from merging.streaming.on_cpu import merge_step

    def begin() -> Work:
        buffers = Buffers(threads)
        return lambda step: merge_step(step, sink, buffers, stop, chunk_elements, tally)

    return [begin] * threads


def _on_devices(
    sink: Sink,
    stop: threading.Event,
    chunk_elements: int | None,
    devices: Sequence[str],
    tally: Tally | None,
) -> list[Callable[[], Work]]:
    """A few workers per device."""
    from merging.streaming.on_device import THREADS_PER_DEVICE, Lane, merge_step

    def begin_on(device: str) -> Callable[[], Work]:
        def begin() -> Work:
            lane = Lane(device)
            return lambda step: merge_step(step, sink, lane, stop, chunk_elements, tally)

        return begin

    return [begin_on(device) for device in devices for _ in range(THREADS_PER_DEVICE)]


def _side_by_side(
    steps: Sequence[Step], workers: Sequence[Callable[[], Work]], stop: threading.Event
) -> Iterator[Step]:
    """Steps as they are finished, each by the next free worker.

    When the caller goes away or a step fails, `stop` is set, so that the others end with their
    present chunk.
    """
    if len(workers) == 1:
        work = workers[0]()
        for step in steps:
            work(step)
            yield step
        return
    waiting = iter(steps)
    taking = threading.Lock()
    finished: queue.Queue[Step | BaseException | None] = queue.Queue()

    def serve(begin: Callable[[], Work]) -> None:
        try:
            work = begin()
            while not stop.is_set():
                with taking:
                    step = next(waiting, None)
                if step is None:
                    break
                work(step)
                finished.put(step)
        except CancelledError:
            pass
        except BaseException as error:
            stop.set()
            finished.put(error)
        finally:
            finished.put(None)

    pool = [threading.Thread(target=serve, args=(begin,), daemon=True) for begin in workers]
    for thread in pool:
        thread.start()
    try:
        yield from _until_all_ended(finished, len(pool))
    finally:
        stop.set()
        for thread in pool:
            thread.join()


def _until_all_ended(
    finished: queue.Queue[Step | BaseException | None], running: int
) -> Iterator[Step]:
    while running:
        found = finished.get()
        if found is None:
            running -= 1
        elif isinstance(found, BaseException):
            raise found
        else:
            yield found
