"""Crucible in a terminal: `python cli.py --help`. The same core as the app, the same database."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.terminal import model_commands, search_commands, study_commands, suite_commands
from jobs.terminal.exchange import scores
from jobs.terminal.job_commands import jobs
from jobs.terminal.sandbox import sandbox

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Build, benchmark and compare merges of language models.",
)
app.add_typer(sandbox, name="sandbox")
app.add_typer(scores, name="scores")
app.add_typer(jobs, name="jobs")

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[Path | None, typer.Option("--json", help="Also write JSON to this file.")]


@app.command()
def quickstart(json: Json = None) -> None:
    """Merge finance + instruct - base, benchmark it and its parents, print the leaderboard."""
    from jobs import quickstart as example
    from jobs.terminal import report, show

    show.check_json(json)
    started = time.monotonic()
    group = example.submit()
    rows = show.run_group(group, slots=2)
    names = show.scored_models(rows)
    data = report.of_models(example.SUITE, names)
    show.print_leaderboard(data)
    gain = report.greatest_gain(data, next(iter(names)))
    if gain is not None:
        task, score, parent = gain
        show.say(f"Greatest gain: {task}, {100 * score:.0f} % against {100 * parent:.0f} % "
                     "for the best parent.")  # fmt: skip
    show.write_json(json, data)
    if all((row.result or {}).get("reused") for row in rows):
        show.say("Everything was there already: the merge and its scores were used again.")
    show.say(f"Done in {time.monotonic() - started:.0f} s.")
    show.say("Next: `streamlit run app.py` to compare them, read the answers and chat.")


@app.command()
def merge(
    recipe: Path,
    out: Path,
    device: Device = "auto",
    convert_pickle: Annotated[
        bool,
        typer.Option(
            "--convert-pickle",
            help="Agree to pickled weights being opened (tensors only) and copied as safetensors.",
        ),
    ] = False,
    max_shard_size: Annotated[
        str, typer.Option(help="Largest file of weights, such as 500MB, 5GB or 2GiB.")
    ] = "5GB",
) -> None:
    """Merge by a recipe file into a new folder."""
    from jobs.terminal import direct, progress

    merging = direct.merge(
        str(recipe),
        out,
        device=device,
        convert_pickle=convert_pickle,
        max_shard_size=max_shard_size,
    )
    result = progress.show_events(merging)
    name = f", registered as {result['name']}" if result.get("name") else ""
    progress.say(f"Merged into {out}{name} in {float(result.get('seconds', 0)):.1f} s.")


@app.command()
def extract(
    expert: Annotated[str, typer.Argument(help="Registered name, folder or Hub id.")],
    base: Annotated[str, typer.Argument(help="What the expert was made from.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    rank: Annotated[int, typer.Option(min=1, help="Of the LoRA of each matrix.")] = 16,
    others: Annotated[
        str, typer.Option(help="Norms, biases and embeddings: leave them out, or take them whole.")
    ] = "leave",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Device = "auto",
) -> None:
    """Extract a LoRA of a rank from an expert and its base, as a PEFT adapter."""
    from jobs.models import extracting
    from jobs.terminal import show

    result = show.show_events(
        extracting.extract(expert, base, out, rank=rank, others=others, dtype=dtype, device=device)
    )
    show.say(f"Extracted into {out}, registered as {result['name']}: it holds "
                 f"{100 * float(result['captured']):.1f} % of the squared difference.")  # fmt: skip


@app.command()
def recipe(
    file: Path,
    to: Annotated[str, typer.Option(help="crucible or mergekit.")] = "crucible",
) -> None:
    """Print a recipe file, of either tool, as the other tool's or in full."""
    from jobs.terminal import rewrite

    print(rewrite.rewritten(str(file), to), end="")


@app.command()
def evaluate(
    models: Annotated[
        list[str], typer.Argument(help="Registered names, folders, Hub ids or recipe files.")
    ],
    suite: Annotated[str | None, typer.Option(help="Name of a suite, or path of its file.")] = None,
    tasks: Annotated[
        str | None,
        typer.Option(help="Tasks or groups of lm-eval's, a,b,c; with --suite, only these of its."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of this run, such as num_fewshot=5; repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N items of each task.")] = None,
    device: Device = "auto",
    data_dir: Annotated[
        Path | None,
        typer.Option(file_okay=False, exists=True, help="Folder of public benchmark files."),
    ] = None,
    part: Annotated[
        str, typer.Option(help="all, search (scores for choosing) or held-out (for reporting).")
    ] = "all",
    split_seed: Annotated[int, typer.Option(help="Another seed is another split.")] = 1,
    split_share: Annotated[float, typer.Option(help="Share of items in the search part.")] = 0.5,
    json: Json = None,
) -> None:
    """Score models on a suite. A recipe file is merged in memory, nothing is written."""
    from jobs.models import registry
    from jobs.running import api
    from jobs.scores import detectable, parts
    from jobs.suites import refs as suite_refs
    from jobs.terminal import report, show
    from jobs.terminal import suites as terminal_suites

    show.check_json(json)
    wanted = parts.named(part, split_seed, split_share)
    if data_dir is not None:
        os.environ["CRUCIBLE_DATA_DIR"] = str(data_dir.resolve())
    registry.ensure_sandbox()
    asked, only = suite_refs.compose(suite, tasks, settings or ())
    terminal_suites.index_if_needed(asked)
    terminal_suites.tell_terms(asked)
    group = api.benchmark(models, asked, limit=limit, tasks=only, device=device, part=wanted)
    told = detectable.before(asked, limit, wanted, only)
    show.say(" ".join(filter(None, [told.sentence, told.warning])))
    rows = show.run_group(group)
    data = report.of_models(asked, show.scored_models(rows), limit=limit, part=wanted)
    show.print_leaderboard(data)
    terminal_suites.print_groups(rows)
    show.tell_signs(data)
    show.write_json(json, data)
    show.tell_warnings(rows)
    show.tell_task_errors(rows)


@app.command()
def judge(
    models: Annotated[list[str], typer.Argument(help="Registered names, folders or Hub ids.")],
    prompts: Annotated[
        str, typer.Option("--set", help="A prompt set's name, or the path of a question.jsonl.")
    ] = "open-small",
    against: Annotated[
        str | None, typer.Option(help="Compare with this model, in both orders.")
    ] = None,
    local: Annotated[
        str | None, typer.Option(help="A model as judge, read by log-probability.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible endpoint, such as http://host:8000/v1.")
    ] = None,
    judge_model: Annotated[str, typer.Option(help="Name of the model at the endpoint.")] = "",
    key_variable: Annotated[
        str, typer.Option(help="Environment variable that holds the endpoint's key.")
    ] = "",
    consent: Annotated[
        bool, typer.Option("--consent", help="Agree to the texts leaving this machine.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="First N questions of each category.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Of a model's reply.")] = 512,
    device: Device = "auto",
    json: Json = None,
) -> None:
    """Let a judge grade models' open answers, or compare them with another model's."""
    from jobs.models import registry
    from jobs.scores import judging
    from jobs.terminal import judge as terminal_judge
    from jobs.terminal import show

    show.check_json(json)
    registry.ensure_sandbox()
    who = terminal_judge.chosen(local, base_url, judge_model, key_variable, consent=consent)
    group = judging.ask(
        models, prompts, who, against=against, limit=limit, max_new_tokens=max_new_tokens,
        device=device,
    )  # fmt: skip
    rows = show.run_group(group)
    found = terminal_judge.reports(rows)
    terminal_judge.print_reports(found)
    show.write_json(json, terminal_judge.as_data(found))
    show.tell_warnings(rows)


@app.command()
def leaderboard(
    suite: Annotated[str | None, typer.Option(help="Default: the suite used last.")] = None,
    json: Json = None,
) -> None:
    """Print every model's scores on a suite, with the difference to its best parent."""
    from jobs.terminal import report, show

    show.check_json(json)
    data = report.leaderboard(suite)
    show.print_leaderboard(data)
    show.write_json(json, data)


@app.command()
def methods(json: Json = None) -> None:
    """List the merge methods with their options."""
    from jobs.terminal import listing, show

    show.check_json(json)
    data = listing.methods_data()
    show.print_methods(data)
    show.write_json(json, data)


model_commands.register(app)  # check, verify, similarity and models
suite_commands.register(app)  # suites, tasks and data
study_commands.register(app)  # study
search_commands.register(app)  # search


@app.command()
def cancel(job: int) -> None:
    """Cancel a waiting or running job by its number."""
    from jobs.terminal import queue

    queue.cancel(job)


@app.command()
def worker(
    beside: Annotated[
        bool, typer.Option("--beside", help="Work although this home has its worker already.")
    ] = False,
    devices: Annotated[
        str, typer.Option(help="Slots, such as cuda:0,cuda:1 or cpu,cpu; default all there are.")
    ] = "",
) -> None:
    """Run queued jobs until stopped (Ctrl+C puts what runs back into the queue)."""
    from jobs.running.worker import Worker, chosen

    Worker(beside=beside, slots=chosen(devices)).run()


def main(arguments: list[str] | None = None) -> int:
    """Run a command; every error is one sentence on standard error.

    Returns:
        0 done, 1 a failure, 2 wrong input, 130 interrupted.
    """
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="python cli.py")
        if code == 130:  # what typer makes of Ctrl+C
            return _fail("Interrupted.", 130)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail("Interrupted.", 130)
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("CRUCIBLE_DEBUG") == "1":
            raise
        return _fail(*_told(error))


def _told(error: Exception) -> tuple[str, int]:
    """An exception as one sentence, and the exit code."""
    wording: Callable[[], str] | None = getattr(error, "format_message", None)
    if wording is not None:  # of the command line itself: an unknown option, a missing argument
        return f"{wording()} Try `python cli.py --help`.", 2
    if hasattr(error, "exit_code"):
        return str(error), int(error.exit_code)
    return _unexpected(error), 1


def _unexpected(error: Exception) -> str:
    """Put the traceback into a log and say where it is."""
    import traceback

    first_line = (str(error).strip().splitlines() or ["no message"])[0]
    text = f"Unexpected {type(error).__name__}: {first_line}."
    try:
        from db import settings

        log = settings.logs_folder() / "cli.log"
        with log.open("a", encoding="utf-8") as file:
            file.write(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {sys.argv[1:]}\n")
            traceback.print_exception(error, file=file)
        return f"{text} The details are in {log}."
    except Exception:
        return f"{text} Set CRUCIBLE_DEBUG=1 to see the details."


def _fail(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
