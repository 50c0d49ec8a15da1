"""The queue, the worker and the launchers: everything that takes long runs through here.

Screens and terminal call `jobs.running.api` (submit, merge_and_benchmark, benchmark, cancel,
cancel_group, retry), `jobs.models.registry` (models by name), `jobs.running.supervise` (the
worker's life) and `jobs.running.inline` (run a group in a terminal), and read what happens from
`db.queries`.
"""

from jobs import quiet

quiet.telemetry_off()
