"""What a sandbox family shows: one fixed list of merges, scored on all tasks, for any folders.

    python benchmarks/sandbox_protocol.py FOLDER [FOLDER ...] [--json FILE]

A file that an earlier run wrote with --json can stand in a folder's place.

Every merge and every coefficient below was fixed before the fresh seeds were looked at. The
merges are written by `merging` and scored by `evaluation`, exactly as the app does it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

PARENTS = ("base", "finance", "math", "japanese", "instruct")

Merge = tuple[str, str, tuple[str, ...], dict[str, float]]
MERGES: tuple[Merge, ...] = (
    ("B+F .6", "task_arithmetic", ("finance",), {"scale": 0.6}),
    ("B+F .8", "task_arithmetic", ("finance",), {"scale": 0.8}),
    ("F+M .4", "task_arithmetic", ("finance", "math"), {"scale": 0.4}),
    ("F+M .6", "task_arithmetic", ("finance", "math"), {"scale": 0.6}),
    ("F+M .8", "task_arithmetic", ("finance", "math"), {"scale": 0.8}),
    ("F+M 1", "task_arithmetic", ("finance", "math"), {"scale": 1.0}),
    ("F+M TIES", "ties", ("finance", "math"), {"density": 0.7, "scale": 1.0}),
    ("F+M+J .6", "task_arithmetic", ("finance", "math", "japanese"), {"scale": 0.6}),
    ("F+M+J 1", "task_arithmetic", ("finance", "math", "japanese"), {"scale": 1.0}),
    ("F+M+J 1.4", "task_arithmetic", ("finance", "math", "japanese"), {"scale": 1.4}),
    ("F+I-B", "instruction_residual", ("finance", "instruct"), {"alpha": 1.0, "expert_scale": 1.0}),
)

_STAGE_1 = ("base", "finance", "B+F .6", "B+F .8")
_PAIR = ("F+M .4", "F+M .6", "F+M .8", "F+M 1", "F+M TIES")
_CHAT = ("base", "finance", "instruct", "F+I-B")

# title, group or task (None: every task that is not a chat), models
MEASURES: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("All tasks without chat: base and finance", None, _STAGE_1),
    ("Finance tasks: base and finance", "finance", _STAGE_1),
    ("What finance forgets: copying a note", "sandbox_general_copy", _STAGE_1),
    ("What finance forgets: people, in Japanese", "sandbox_japanese_people", _STAGE_1),
    ("Chat about firms", "sandbox_chat_finance", _CHAT),
    ("Chat about general facts", "sandbox_chat_general", _CHAT),
    ("Chat in Japanese", "sandbox_chat_japanese", _CHAT),
    ("All tasks without chat: finance and math", None, ("finance", "math", *_PAIR)),
    (
        "All tasks without chat: three experts",
        None,
        ("finance", "math", "japanese", "F+M+J .6", "F+M+J 1", "F+M+J 1.4"),
    ),
    (
        "Computed finance items, formula and result right",
        "sandbox_cross_finance_math",
        ("base", "finance", "math", "B+F .6", "B+F .8", *_PAIR),
    ),
)


def suite_of(family: Path, folder: Path) -> Any:
    """The sandbox suite over the tasks of `family`, through a suite file written to `folder`."""
    from evaluation.suites import load_suite

    text = (PROJECT / "evaluation" / "suites" / "shipped" / "sandbox.yaml").read_text(
        encoding="utf-8"
    )
    data = yaml.safe_load(text)
    data["include"] = str((family / "tasks").resolve())
    data["settings"]["chat_template"] = str((family / "chat_template.jinja").resolve())
    path = folder / "sandbox.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return load_suite(path)


def score(model_folder: Path, suite: Any) -> dict[str, dict[str, float]]:
    """Task -> value, stderr and n of one model folder."""
    from evaluation.run import evaluate, load_model

    model, tokenizer = load_model(model_folder, device="cpu")
    found = {}
    for event in evaluate(model, tokenizer, suite):
        if event["kind"] == "task_error":
            raise RuntimeError(event["text"])
        if event["kind"] == "score":
            found[event["task"]] = {key: event[key] for key in ("value", "stderr", "n")}
    return found


def merges(family: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """Every merge of the protocol as a folder below `work`, which lives until the next one."""
    from merging.engine import merge_to_folder
    from merging.recipes.recipe import Recipe

    for name, method, experts, options in MERGES:
        models = [
            {"model": expert, "role": "instruct" if expert == "instruct" else "expert"}
            for expert in experts
        ]
        recipe = Recipe.from_mapping(
            {"method": method, "base": "base", "models": models, "options": options}
        )
        with tempfile.TemporaryDirectory(dir=work) as parent:
            out = Path(parent) / "merged"
            folders = {ref: family / ref for ref in ("base", *experts)}
            for _ in merge_to_folder(recipe, folders, out, device="cpu"):
                pass
            yield name, out


def cosines(family: Path) -> dict[str, float]:
    """Cosine of each pair of task vectors, all weights as one vector."""
    import torch
    from safetensors.torch import load_file

    def flat(name: str) -> torch.Tensor:
        weights = load_file(family / name / "model.safetensors")
        return torch.cat([weights[key].float().flatten() for key in sorted(weights)])

    base = flat("base")
    vectors = {name: flat(name) - base for name in PARENTS[1:]}
    names = list(vectors)
    return {
        f"{a} / {b}": torch.cosine_similarity(vectors[a], vectors[b], dim=0).item()
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }


def measure(family: Path) -> dict[str, Any]:
    """Score the parents and every merge of one family folder."""
    result: dict[str, Any] = {"family": family.name, "scores": {}, "cosines": cosines(family)}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        suite = suite_of(family, work)
        parents = ((name, family / name) for name in PARENTS)
        result["groups"] = {name: list(tasks) for name, tasks in suite.groups.items()}
        for name, folder in chain(parents, merges(family, work)):
            started = time.perf_counter()
            result["scores"][name] = score(folder, suite)
            print(f"{family.name} {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
    return result


def mean(result: dict[str, Any], model: str, tasks: list[str]) -> tuple[float, float]:
    """Mean over tasks in percent, with the standard error that the items give it."""
    rows = [result["scores"][model][task] for task in tasks]
    value = sum(row["value"] for row in rows) / len(rows)
    error = math.sqrt(sum((row["stderr"] or 0.0) ** 2 for row in rows)) / len(rows)
    return 100 * value, 100 * error


def table(result: dict[str, Any]) -> str:
    """One Markdown table: tasks, groups and the mean without chat, one column per model."""
    models = list(result["scores"])
    lines = [f"| task | n | {' | '.join(models)} |", "|---|--:" + "|--:" * len(models) + "|"]
    for group, tasks in result["groups"].items():
        for task in tasks:
            cells = [f"{100 * result['scores'][m][task]['value']:.0f}" for m in models]
            n = result["scores"][models[0]][task]["n"]
            lines.append(f"| {task.removeprefix('sandbox_')} | {n} | {' | '.join(cells)} |")
        lines.append(_summary(result, f"**{group}**", tasks))
    lines.append(_summary(result, "**all without chat**", _tasks(result, None)))
    pairs = ", ".join(f"{pair} {value:.2f}" for pair, value in result["cosines"].items())
    return "\n".join([*lines, "", f"Cosines of task vectors: {pairs}."])


def _summary(result: dict[str, Any], title: str, tasks: list[str]) -> str:
    values = [mean(result, model, tasks) for model in result["scores"]]
    n = sum(result["scores"]["base"][task]["n"] for task in tasks)
    return f"| {title} | {n} | {' | '.join(f'**{v:.1f}** ± {e:.1f}' for v, e in values)} |"


def summary(results: list[dict[str, Any]]) -> str:
    """The measures of `MEASURES`: one table each, a row per model and a column per family."""
    families = " | ".join(result["family"] for result in results)
    rule = "|---|" + "--:|" * len(results)
    parts = []
    for title, what, models in MEASURES:
        lines = [f"**{title}**", "", f"| | {families} |", rule]
        for model in models:
            cells = []
            for result in results:
                value, error = mean(result, model, _tasks(result, what))
                cells.append(f"{value:.1f} ± {error:.1f}")
            lines.append(f"| {model} | {' | '.join(cells)} |")
        parts.append("\n".join(lines))
    return "\n\n".join([*parts, _gains(results, families, rule)])


def _gains(results: list[dict[str, Any]], families: str, rule: str) -> str:
    """Macro-Gain and Macro-OG over the tasks without chat, in points."""
    from evaluation.statistics.gain import macro_gain, macro_outperform_gap

    lines = ["**Macro-Gain / Macro-OG, tasks without chat**", "", f"| | {families} |", rule]
    for name, _, experts, _ in MERGES:
        if "instruct" in experts:
            continue
        constituents = experts if len(experts) > 1 else ("base", *experts)
        cells = []
        for result in results:
            scores = {
                model: {t: result["scores"][model][t]["value"] for t in _tasks(result, None)}
                for model in (name, *constituents)
            }
            against = [scores[model] for model in constituents]
            gap = macro_outperform_gap(scores[name], against)
            cells.append(f"{100 * macro_gain(scores[name], against):+.1f} / {100 * gap:+.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _tasks(result: dict[str, Any], what: str | None) -> list[str]:
    if what is None:
        return [t for group, tasks in result["groups"].items() if group != "chat" for t in tasks]
    return result["groups"].get(what, [what])


def main() -> None:
    """Measure the folders of the command line, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for family in arguments.families:
        if family.is_file():
            results += json.loads(family.read_text(encoding="utf-8"))
        else:
            results.append(measure(family))
    for result in results:
        print(f"### {result['family']}\n\n{table(result)}\n")
    print(f"## Summary\n\n{summary(results)}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
