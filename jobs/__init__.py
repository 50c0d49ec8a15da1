"""The queue, the worker and the launchers: everything that takes long runs through here.

Screens and terminal call `jobs.api` (submit, merge_and_benchmark, benchmark, cancel, cancel_group,
retry), `jobs.registry` (models by name), `jobs.supervise` (the worker's life) and `jobs.inline`
(run a group in a terminal), and read what happens from `db.queries`.
"""
