"""The terminal's commands about registered models; `cli.py` has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(check)
    app.command()(verify)
    app.command()(similarity)
    app.command()(models)


def check(
    model: Annotated[str, typer.Argument(help="Registered name, folder or Hub id.")],
    generation: Annotated[bool, typer.Option(help="Load it and let it say 32 tokens.")] = True,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Look at a model's health: its numbers, its files, whether it loads and talks."""
    from jobs.models import health, registry
    from jobs.terminal import health as terminal_health
    from jobs.terminal import show

    show.check_json(json)
    registry.ensure_sandbox()
    result = show.show_events(health.check(model, generate=generation, device=device))
    show.write_json(json, result)
    terminal_health.print_health(result)


def verify(
    model: Annotated[str, typer.Argument(help="Registered name or folder of a merge.")],
    device: Device = "auto",
) -> None:
    """Rebuild a merge by the recipe in its folder and compare every byte; nothing is written."""
    from jobs.models import health, registry
    from jobs.terminal import health as terminal_health
    from jobs.terminal import show

    registry.ensure_sandbox()
    terminal_health.print_rebuilt(show.show_events(health.verify(model, device=device)))


def similarity(
    models: Annotated[
        list[str], typer.Argument(help="Two to eight registered names, folders or Hub ids.")
    ],
    base: Annotated[
        str | None, typer.Option(help="What they were made from; compares task vectors too.")
    ] = None,
    json: Json = None,
) -> None:
    """Compare the weights of models without merging them: distances, cosines, sign conflicts."""
    from jobs.models import registry
    from jobs.models import similarity as comparisons
    from jobs.terminal import show
    from jobs.terminal import similarity as terminal_similarity

    show.check_json(json)
    registry.ensure_sandbox()
    choice = comparisons.choose(models, base)
    group = comparisons.ask(choice)
    if group is not None:
        show.run_group(group)
    found = comparisons.needed(choice)
    terminal_similarity.print_similarity(found)
    show.write_json(json, found.data())


def models(
    json: Json = None,
    trust_remote_code: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Show the code that this model brings along and ask whether it may run when it is "
            "scored or talked to.",
        ),
    ] = None,
    forget_remote_code: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Take that permission back.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree without being asked.")] = False,
) -> None:
    """List the registered models; or decide whether one's own code may run."""
    from db.queries import models as rows
    from jobs.models import registry
    from jobs.terminal import listing, remote_code, show

    show.check_json(json)
    registry.ensure_sandbox()
    if trust_remote_code is not None:
        remote_code.ask(trust_remote_code, agreed=yes)
        return
    if forget_remote_code is not None:
        remote_code.forget(forget_remote_code)
        return
    show.print_models(rows.models())
    show.write_json(json, listing.models_data(rows.models()))
