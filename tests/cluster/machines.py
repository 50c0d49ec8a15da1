"""A real Ray cluster on this machine, in a process of its own: `python -m tests.cluster.machines`.

Its first line says where it is and which raylet each node is; it ends with its standard input.
Killing a node's raylet with SIGKILL is what a machine looks like that has lost its power.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import sys
import tempfile
import warnings


def main(nodes: int, cores: int, gpus: int = 0) -> None:
    """Start a head without cores and some nodes, and wait for the end of the input.

    GPUs need not be there: Ray takes our word and deals out their numbers.
    """
    folder = tempfile.mkdtemp(prefix="ry", dir="/tmp")  # Ray's sockets need short names
    os.makedirs(f"{folder}/ray")
    os.environ["RAY_TMPDIR"] = folder
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        RAY_worker_niceness="0",  # or its workers give way to all other programs
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",  # or Ray looks for the outer address
    )
    warnings.simplefilter("ignore")
    from ray.cluster_utils import Cluster

    shared = {
        "node_ip_address": "127.0.0.1",
        "include_dashboard": False,
        "include_log_monitor": False,
        "object_store_memory": 80 * 1024 * 1024,
        "temp_dir": f"{folder}/ray",
    }
    cluster = Cluster(
        initialize_head=True, head_node_args={**shared, "num_cpus": 0, "node_name": "head"}
    )
    try:
        processes = {}
        for number in range(1, nodes + 1):
            name = f"node-{number}"
            made = cluster.add_node(**shared, num_cpus=cores, num_gpus=gpus, node_name=name)
            processes[name] = made.all_processes["raylet"][0].process
        raylets = {name: process.pid for name, process in processes.items()}
        print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            for process in processes.values():
                process.poll()  # Ray's workers outlive a raylet that nobody has buried
    finally:
        with contextlib.suppress(Exception):
            cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
