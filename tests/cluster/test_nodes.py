"""What is known of nodes, and what they refuse, without a cluster."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import devices
from jobs.cluster import connect, places, seat
from jobs.cluster.nodes import wanted
from jobs.cluster.on_node import checked, folders_of, request_for
from jobs.cluster.places import Node
from jobs.errors import JobError
from jobs.models.describe import describe
from jobs.studies.submit import lanes
from tests.jobs.test_studies import design

PROJECT = Path(__file__).resolve().parents[2]
GPUS = [Node(str(number), f"gpu-{number}", 8, 64) for number in range(8)]
CPUS = [Node("a", "a", 0, 16), Node("b", "b", 0, 4)]


def said(name: str, number: str, host: str = "vm", **more: Any) -> dict[str, Any]:
    return {"NodeID": number, "Alive": True, "NodeName": name, "NodeManagerAddress": "10.0.0.7",
            "NodeManagerHostname": host, "Resources": {"CPU": 4.0}, **more}  # fmt: skip


def test_nodes_are_called_something_that_tells_them_apart() -> None:
    found = places.named([
        said("10.0.0.7", "ab12cd34"), said("10.0.0.7", "ef56ab78"), said("big", "0", "other"),
        said("dead", "1", Alive=False), said("head", "2", Resources={}),
    ])  # fmt: skip
    assert [node.name for node in found] == ["big", "head", "vm-ab12cd", "vm-ef56ab"]
    assert [node.name for node in places.in_use(found)] == ["big", "vm-ab12cd", "vm-ef56ab"]


def test_where_there_are_gpus_only_they_take_jobs() -> None:
    assert places.in_use([*CPUS, GPUS[0]]) == [GPUS[0]]
    assert wanted(GPUS[0])["gpu-0/gpu:7"] == {"num_gpus": 1, "num_cpus": 8}
    assert wanted(CPUS[0]) == {"a/cpu": {"num_cpus": 16}}


@pytest.mark.parametrize(
    ("nodes", "small", "most", "expected"),
    [
        (GPUS, False, 1000, (64, False)),
        (GPUS, True, 1000, (64, False)),
        (GPUS, False, 12, (12, False)),
        (CPUS, True, 1000, (20, True)),
        (CPUS, False, 1000, (2, False)),
    ],
)
def test_lanes(nodes: list[Node], small: bool, most: int, expected: tuple[int, bool]) -> None:
    assert places.lanes(nodes, small=small, most=most) == expected


def test_the_cluster_is_known_from_what_was_written_down(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", "10.0.0.7:6379")
    assert devices.devices() == devices.local()  # nobody has looked yet
    places.note(GPUS)
    assert devices.devices() == [f"cuda:{number}" for number in range(64)]
    many = design(
        methods=[
            {
                "method": "task_arithmetic",
                "grid": {"scale": [number / 20 for number in range(1, 99)]},
            }
        ]
    )
    assert lanes(many, {}) == (64, False)
    places.note(CPUS)
    assert devices.devices() == ["cpu"]
    assert devices.own_slots() == ["ray"]
    monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", "10.0.0.8:6379")
    assert places.known() == []
    (home / "cluster.json").write_text("{")
    assert places.known() == []


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://10.0.0.7:10001", "takes `auto` or host:port"),
        ("somewhere", "neither `auto` nor host:port"),
        ("127.0.0.1:{free}", "No Ray cluster answers at 127.0.0.1"),
    ],
)
def test_a_wrong_address_is_a_sentence(
    address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))  # held, and nobody listens
        with pytest.raises(JobError, match=sentence):
            connect.connect(address.format(free=one.getsockname()[1]))


def test_without_ray_it_is_said_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(JobError, match=r"pip install -r requirements-extra\.txt"):
        connect.connect("auto")


def test_a_worker_without_its_cluster_says_so_and_ends(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRUCIBLE_RAY_ADDRESS", "127.0.0.1:1")
    done = subprocess.run(
        [sys.executable, "-m", "jobs.running.worker"],
        cwd=PROJECT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("No Ray cluster answers at 127.0.0.1:1 (")
    assert len(done.stderr.splitlines()) == 1


def one_event(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"kind": "result", "known": spec.get("known")}


def run(spec: dict[str, Any], kind: str = "evaluate", **node: Any) -> list[dict[str, Any]]:
    given = {"name": "n", "folders": {}, "home": None, "database": True, **node}
    return list(checked(one_event, kind, spec, given))


def test_a_node_that_sees_something_else_says_so(tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(PROJECT / "sandbox" / "math", model)
    facts = describe(model)
    known = {facts["signature"]: facts["fingerprint"]}
    spec = {"source": str(model), "known": known}
    sent = request_for(
        {"kind": "evaluate", "spec": spec, "environment": {}}, "n",
        shares_home=True, same_machine=False, home=tmp_path, cores=4,
    )  # fmt: skip
    assert sent["node"]["folders"] == {str(model): facts["fingerprint"]}
    assert sent["environment"]["CRUCIBLE_THREADS"] == "4"
    assert "CRUCIBLE_DATABASE_URL" not in sent["environment"]
    assert json.loads(json.dumps(sent)) == sent
    assert run(spec, **sent["node"])[-1]["known"] == known

    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(JobError, match="The node n sees other weights in .*model than the worker"):
        run(spec, **sent["node"])
    shutil.rmtree(model)
    with pytest.raises(JobError, match="The node n does not see .*model. Put the model"):
        run(spec, **sent["node"])


def test_what_belongs_into_the_home_needs_a_node_that_sees_it() -> None:
    for kind in ("merge", "extract", "similarity", "health"):
        with pytest.raises(JobError, match="Put CRUCIBLE_HOME into a folder that every node sees"):
            run({}, kind, home="/data/home")
    assert run({}, "study", home="/data/home")[-1]["kind"] == "result"
    with pytest.raises(JobError, match="PostgreSQL"):
        run({}, "search", database=False)


def test_folders_that_a_job_reads() -> None:
    assert [str(path) for path in folders_of({
        "source": "/a", "sources": {"x": "/b", "y": "org/hub-id"}, "base": {"source": "/c"},
        "models": [{"source": "/d"}, {"source": "/a"}], "subjects": [{"sources": {"z": "/e"}}],
        "expert": None, "scored": [["/no", "/no", "/no"]],
    })] == ["/a", "/b", "/c", "/d", "/e"]  # fmt: skip


def test_a_seat_looks_around_first(tmp_path: Path) -> None:
    given = {"node": "n", "project": str(tmp_path), "home": str(tmp_path), "token": "t",
             "code": seat.code_hash(PROJECT), "environment": {}}  # fmt: skip
    assert "does not see" in str(seat.Seat(given)._problem)
    other = seat.Seat({**given, "project": str(PROJECT), "code": "0"})
    assert "another version of Crucible" in str(other._problem)
