"""The homes and workers of the jobs' tests."""

from tests.jobs.conftest import home, start_worker

__all__ = ["home", "start_worker"]
