"""What may change when a design is submitted again under the name of a study that is there.

Points are known by what they are, so grids, seeds, methods, stages and experts may be added, and
nothing that is scored is scored again. What would make the scores that are there answers to
another question may not change.
"""

from __future__ import annotations

from studies.design import Design
from studies.errors import StudyError


def check_extension(old: Design, new: Design) -> None:
    """Whether the scores of the old design are scores of the new one.

    Raises:
        StudyError: naming what differs.
    """
    for name, one in old.models.items():
        other = new.models.get(name)
        if other is None:
            raise StudyError(
                f'The study "{old.name}" has the model "{name}" ({one.model}), which is missing '
                "now. Put it back, or give the new study another name."
            )
        pins = {one.fingerprint, other.fingerprint} - {None}
        if (one.model, one.revision) != (other.model, other.revision) or len(pins) > 1:
            now = "has other weights now" if len(pins) > 1 else f"is {other.model} now"
            raise StudyError(
                f'In the study "{old.name}", {name} was {one.model} and {now}. Give the new study '
                "another name."
            )
    for what, before, after in (
        ("suite", old.suite, new.suite),
        ("tasks", old.tasks and sorted(old.tasks), new.tasks and sorted(new.tasks)),
        ("limit", old.limit, new.limit),
        ("split", old.split, new.split),
    ):
        if before != after:
            raise StudyError(
                f'The study "{old.name}" has another {what}, so its scores are answers to another '
                "question. Give the new study another name."
            )
