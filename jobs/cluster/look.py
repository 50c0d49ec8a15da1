"""Have a look at the cluster and write down what it has: `python -m jobs.cluster.look`."""

from __future__ import annotations

import sys

from db import settings
from jobs.cluster import places
from jobs.cluster.connect import connect
from jobs.errors import JobError


def main() -> int:
    """Look; return the exit code."""
    try:
        ray = connect(settings.ray_address())
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    places.note(places.named(ray.nodes()))
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
