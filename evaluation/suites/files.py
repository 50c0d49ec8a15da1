"""Reading suites from their files, and naming what is wrong with one in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from evaluation import yaml_text
from evaluation.errors import SuiteError
from evaluation.harness.catalogue import catalogue
from evaluation.harness.groups import GroupScore, Leaf, Unknown, expand
from evaluation.harness.task_files import read_config
from evaluation.nearest import nearest
from evaluation.places import own_suites
from evaluation.published.prompt_versions import check_version
from evaluation.suites import Suite, short_name
from evaluation.suites import settings as settings_of
from evaluation.suites.settings import Settings

SUITES = Path(__file__).resolve().parent / "shipped"
TASKS = "tasks:"
MOST_LETTERS = 4000  # of a reference: paths are shorter, and lists of tasks


def shipped() -> dict[str, Path]:
    """Name to file of the suites that ship."""
    return {path.stem: path for path in sorted(SUITES.glob("*.yaml"))}


def own() -> dict[str, Path]:
    """Name to file of the suites that the user made; a shipped name is never taken over."""
    there = shipped()
    found = (path for path in sorted(own_suites().glob("*.yaml")) if path.name[0] != ".")
    return {path.stem: path for path in found if path.stem not in there}


def load(ref: str) -> Suite:
    """See ``evaluation.suites.load_suite``."""
    if len(ref) > MOST_LETTERS:
        raise SuiteError(f"The suite {ref[:60]!r} ... has {len(ref):,} letters, which none has.")
    base, told = _halves(ref)
    suite = _of_tasks(base) if base.startswith(TASKS) else _of_file(base)
    if not told:
        return suite
    given = settings_of.parse(told, f"Suite {base!r}")
    check_version(given.prompt_version, suite.task_files(), suite.tasks)
    return suite.under(given, told)


def _halves(ref: str) -> tuple[str, str]:
    """A suite and what is said behind the @; a file's own path or name may have one."""
    if ref in own():
        return ref, ""
    places = [i for i, letter in enumerate(ref) if letter == "@"]
    for place in [len(ref), *places]:
        if "/" in ref[:place] and _is_file(ref[:place]):
            return ref[:place], ref[place + 1 :]
    base, _, told = ref.partition("@")
    return base, told


def _is_file(path: str) -> bool:
    """Whether a text is the path of a file; one that can be no path at all is none."""
    try:
        return Path(path).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):
        return False


def _of_file(ref: str) -> Suite:
    path = _find(ref)
    suite = read(path)
    for folder in suite.include:
        if not folder.is_dir():
            raise SuiteError(
                f"Suite {suite.name!r} includes the folder {folder}, which does not exist. "
                "Create it or correct `include` in the suite's file."
            )
    named = path.stem in shipped() or path.parent == own_suites()
    suite = _with_harness(suite.model_copy(update={"ref": suite.name if named else str(path)}))
    for given in (suite.settings, *suite.task_settings.values()):
        check_version(given.prompt_version, suite.task_files(), suite.tasks)
    return suite


def _of_tasks(ref: str) -> Suite:
    """A suite without a file: lm-eval's own tasks by name."""
    names = [name.strip() for name in ref.removeprefix(TASKS).replace(",", "+").split("+")]
    names = [name for name in names if name]
    if not names:
        raise SuiteError("Name at least one task of lm-eval's, such as hellaswag.")
    text = "+".join(names)
    suite = Suite(name=short_name(TASKS + text), ref=TASKS + text, title=", ".join(names),
                  tasks=tuple(names), path=SUITES / "tasks.yaml")  # fmt: skip
    _check_names(suite)
    return _with_harness(suite)


def _with_harness(suite: Suite) -> Suite:
    """The suite with lm-eval's own tasks looked up and its groups replaced by their members."""
    files = suite.task_files()
    tasks: list[str] = []
    harness: dict[str, Leaf] = {}
    scores: list[GroupScore] = []
    stands_for: dict[str, tuple[str, ...]] = {}
    for name in suite.tasks:
        if name in files:
            found = [name]
        else:
            leaves, joined = _look_up(suite, name, list(files))
            found = [leaf.name for leaf in leaves]
            harness |= {leaf.name: leaf for leaf in leaves}
            scores += joined
        stands_for[name] = tuple(found)
        tasks += found
    _check_twice(suite.path, tasks)
    groups = {
        d: tuple(t for n in names for t in stands_for[n]) for d, names in suite.groups.items()
    }
    if not suite.groups:  # a group of lm-eval's is the domain of its members
        groups = {name: found for name, found in stands_for.items() if found != (name,)}
    own_settings = {
        task: one for name, one in suite.task_settings.items() for task in stands_for[name]
    }
    return suite.model_copy(
        update={"tasks": tuple(tasks), "groups": groups, "task_settings": own_settings,
                "harness": harness, "group_scores": tuple(scores)}
    )  # fmt: skip


def _look_up(suite: Suite, name: str, files: list[str]) -> tuple[list[Leaf], list[GroupScore]]:
    known = catalogue()  # only here: a page whose suites have no such task need not read it
    try:
        leaves, joined = expand(name, known, read_config)
    except Unknown as error:
        raise SuiteError(_unknown(suite, name, str(error), known, files)) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SuiteError(
            f"Suite {suite.name!r}: lm-eval's {name!r} cannot be read ({error})."
        ) from error
    if not leaves:
        raise SuiteError(f"Suite {suite.name!r}: lm-eval's group {name!r} has no tasks.")
    return leaves, joined


def _unknown(suite: Suite, name: str, member: str, known: Any, files: list[str]) -> str:
    folders = ", ".join(map(str, suite.include))
    where = f"no YAML file in {folders} defines" if folders else "lm-eval does not have"
    text = f"Suite {suite.name!r} names the task {name[:300]!r}, which {where}"
    if not known.entries:
        return (f"{text}; lm-eval's own tasks are not indexed yet: `python cli.py tasks --refresh` "
                "or Settings does it once.")  # fmt: skip
    if member != name:
        return f"{text} in full: its member {member!r} is unknown."
    both = " nor does lm-eval" if folders else ""
    near = nearest(name, files) or (
        f" Did you mean {best!r}?" if (best := known.nearest(name)) else ""
    )
    return f"{text}{both}.{near}"


def _find(ref: str) -> Path:
    there = {**shipped(), **own()}
    if ref in there:
        return there[ref]
    if Path(ref).suffix in {".yaml", ".yml"} or "/" in ref:
        if _is_file(ref):
            return Path(ref).expanduser().resolve()
        raise SuiteError(f"There is no suite file {ref[:300]}.")
    raise SuiteError(
        f"There is no suite {ref[:300]!r}; there are: {', '.join(there) or 'none'}."
        + nearest(ref, list(there))
    )


def read(path: Path) -> Suite:
    """One suite's file, checked but for whether its tasks exist.

    Raises:
        SuiteError: it cannot be used, in one sentence.
    """
    raw = _parse(path)
    groups = raw.get("groups") or {}
    if not isinstance(groups, dict) or not all(isinstance(v, list) for v in groups.values()):
        raise SuiteError(f"{path}: `groups` must map each domain to a list of tasks.")
    if path.parent == own_suites():
        raw["name"] = path.stem  # it is called by its file, whatever a copied file says inside
    raw.setdefault("name", path.stem)
    raw["ref"] = str(path)
    raw.setdefault("title", str(raw["name"]).replace("-", " ").capitalize())
    raw.setdefault("tasks", [task for tasks in groups.values() for task in tasks])
    raw.pop("include_defaults", None)  # lm-eval's own tasks may always be named
    for ours in ("path", "harness", "group_scores"):
        if ours in raw:
            raise SuiteError(f"{path}: unknown key `{ours}`.")
    include = raw.get("include") or []
    include = [include] if isinstance(include, str) else include
    try:
        suite = Suite(path=path, **{**raw, "include": ()})
        folders = tuple(suite.resolve(str(folder)).resolve() for folder in include)
    except ValidationError as error:
        raise SuiteError(f"{path}: {_first_problem(error)}") from error
    _check_names(suite)
    return suite.model_copy(update={"include": folders})


def _parse(path: Path) -> dict[str, Any]:
    try:
        raw = yaml_text.read(path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be parsed"
        raise SuiteError(f"{path}{where}: not valid YAML ({problem}).") from error
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error
    if not isinstance(raw, dict):
        raise SuiteError(f"{path}: a suite is a mapping with `groups` or `tasks`, not a list.")
    return raw


def _check_names(suite: Suite) -> None:
    if not suite.tasks:
        raise SuiteError(f"{suite.path}: the suite names no tasks; list them under `groups`.")
    _check_twice(suite.path, suite.tasks)
    grouped = [task for tasks in suite.groups.values() for task in tasks]
    for where, names in (("groups", grouped), ("task_settings", list(suite.task_settings))):
        for task in names:
            if task not in suite.tasks:
                raise SuiteError(
                    f"{suite.path}: `{where}` names {task!r}, which is not among the tasks."
                    + nearest(task, list(suite.tasks))
                )


def _check_twice(path: Path, tasks: Any) -> None:
    counts: Mapping[str, int] = {task: list(tasks).count(task) for task in tasks}
    for task, count in counts.items():
        if count > 1:
            raise SuiteError(f"{path}: the task {task!r} is named twice.")


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = [*Suite.model_fields] if len(first["loc"]) == 1 else [*Settings.model_fields]
        return f"unknown key `{where}`.{nearest(str(first['loc'][-1]), known)}"
    return f"`{where}`: {first['msg']}."
