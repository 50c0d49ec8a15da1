"""The question whether a model's own code may run, in the terminal."""

from __future__ import annotations

import typer

from db.queries import models as rows
from jobs.errors import JobError
from jobs.models import consent, registry
from jobs.terminal import show


def ask(name: str, *, agreed: bool = False) -> None:
    """Show a model's code and ask; the answer is kept with the code's fingerprint.

    Args:
        name: registered name.
        agreed: the user has said yes already.

    Raises:
        JobError: no such model, or nothing in it that can be agreed to.
    """
    row = rows.model(name)
    if row is None:
        raise JobError(registry.missing(name))
    code = consent.code_of(row.source, row.revision)
    if code is None:
        raise JobError(f"“{name}” brings no code of its own: there is nothing to agree to.")
    for file, text in code.files.items():
        show.say(f"--- {file}")
        show.say(text)
    show.say(f"{len(code.files)} file(s), fingerprint {code.fingerprint[:16]}. Code can do "
             "whatever you can: read your files, call the network.")  # fmt: skip
    if code.problem:
        raise JobError(f"The code of “{name}” is never run here: {code.problem}.")
    if consent.is_granted(code):
        show.say("It may run already.")
    elif agreed or typer.confirm("Let it run when the model is scored or talked to?"):
        consent.grant(name, code.fingerprint)
        show.say(f"The code of {name} may run.")
    else:
        show.say("It does not run.")


def forget(name: str) -> None:
    """Take a model's permission back.

    Raises:
        JobError: there was none.
    """
    if not consent.forget(name):
        raise JobError(f"No code of “{name}” was allowed to run.")
    show.say(f"The code of {name} does not run any more.")
