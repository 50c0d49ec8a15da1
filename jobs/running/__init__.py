"""The queue, the worker and the processes of jobs."""
