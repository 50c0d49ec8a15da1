"""Joining a Ray cluster, and every way in which that fails, as a sentence."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import socket
import threading
from typing import Any

from jobs.errors import JobError

NAMESPACE = "crucible"
PATIENCE_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


def connect(address: str) -> Any:
    """Become a driver of the cluster and return the module `ray`.

    Args:
        address: `auto` or `host:port` of the cluster's head, as `ray start --head` tells it.

    Raises:
        JobError: Ray is not installed, nothing answers, or this machine is no node of the cluster.
    """
    check_installed()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    _check_address(address)
    ray = importlib.import_module("ray")
    if ray.is_initialized():
        return ray
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            configure_logging=False,
            # Workers are children of the nodes: nothing is sent along but the job itself.
            runtime_env=None,
        )
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise JobError(
            f"The Ray cluster at {address} cannot be joined ({first_line}). Run `ray status` here: "
            "this machine must be one of its nodes, with the same versions of Ray and Python.",
            exit_code=1,
        ) from error
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():  # Ray's own would leave without our clean-up
            signal.signal(number, handler)
    return ray


def check_installed() -> None:
    """Say what to install.

    Raises:
        JobError: Ray is not here.
    """
    if importlib.util.find_spec("ray") is None:
        raise JobError(
            "CRUCIBLE_RAY_ADDRESS is set, but Ray is not installed. Run `pip install -r "
            "requirements-extra.txt`, or unset the variable to run jobs on this machine."
        )


def _check_address(address: str) -> None:
    if address == "auto":
        return
    if "://" in address:
        raise JobError(
            f"CRUCIBLE_RAY_ADDRESS is {address!r}, but Crucible's worker runs on a node of the "
            "cluster and takes `auto` or host:port, as `ray start --head` prints it."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise JobError(
            f"CRUCIBLE_RAY_ADDRESS is {address!r}, which is neither `auto` nor host:port."
        )
    if host in LOOPBACK:
        # Ray takes a loopback address for the machine's outer one, unless it is told that its
        # clusters have one machine; a cluster that listens on 127.0.0.1 has.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise JobError(
            f"No Ray cluster answers at {address} ({error}). Start one with `ray start --head`, "
            "or unset CRUCIBLE_RAY_ADDRESS to run jobs on this machine.",
            exit_code=1,
        ) from error
