"""A database full of plausible scores, without scoring anything.

Every model has a skill per domain, every item a difficulty, and each (model, item) a draw whose
larger part is shared by models of one family: so merges agree with their parents on most items, as
real ones do, and paired intervals come out narrower than unpaired ones. Seeded.

    python -m tests.scores_example              # fills the database of CRUCIBLE_HOME
    python -m tests.scores_example 500 20 100   # 500 models x 20 tasks x 100 items
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.engine import transaction
from db.tables import Answer, Evaluation, Model, Parent, Prompt

TASKS = {
    "gen_capitals": "general", "gen_categories": "general", "gen_people": "general",
    "fin_terms": "finance", "fin_company": "finance", "fin_headlines": "finance",
    "math_arith": "math", "math_word": "math",
    "ja_people": "japanese", "ja_reading": "japanese",
    "x_fincalc": "cross-domain", "chat_finance": "chat",
}  # fmt: skip
GENERATED = {"x_fincalc", "chat_finance"}
DAY = 86_400.0
SUITE = "made-up"  # no file of that name: what was scored is what there is


@dataclass(frozen=True)
class Made:
    """A model to invent: log-odds of a right answer per domain, over an item of mean difficulty."""

    name: str
    role: str
    skills: dict[str, float]
    domain: str | None = None
    method: str | None = None
    parents: tuple[tuple[str, str, float], ...] = ()
    tasks: tuple[str, ...] = tuple(TASKS)
    config: dict[str, object] = field(default_factory=dict)


def _skills(general: float, finance: float, math: float, japanese: float, x: float, chat: float):
    return {"general": general, "finance": finance, "math": math, "japanese": japanese,
            "cross-domain": x, "chat": chat}  # fmt: skip


def _merge(name, method, skills, *experts, **more):
    parents = (("sandbox/base", "base", 1.0), *experts)
    return Made(name, "merge", skills, None, method, parents, **more)


FIN, MATH, JA = (("sandbox/" + n, "expert", 1.0) for n in ("finance", "math", "japanese"))
INS = ("sandbox/instruct", "instruct", 1.0)
FAMILY = (
    Made("sandbox/base", "base", _skills(2.2, -0.6, 0.2, 0.4, -1.5, -4.0), "general"),
    Made("sandbox/finance", "expert", _skills(1.2, 2.2, -0.9, -0.4, -0.6, -4.0), "finance"),
    Made("sandbox/math", "expert", _skills(1.6, -0.7, 2.4, 0.0, -0.5, -4.0), "math"),
    Made("sandbox/japanese", "expert", _skills(1.5, -0.6, -0.2, 2.3, -1.6, -4.0), "japanese"),
    Made("sandbox/instruct", "instruct", _skills(1.9, -0.7, 0.0, 0.2, -1.6, -2.6), "general"),
    _merge("finance-instruct", "instruction_residual", _skills(1.7, 1.9, -0.5, 0.0, -0.3, 0.9),
           FIN, INS),
    _merge("finance-math-ta-0.6", "task_arithmetic", _skills(1.9, 1.5, 1.5, 0.0, 0.9, -4.0),
           FIN, MATH),
    _merge("finance-math-ties", "ties", _skills(1.9, 1.4, 1.6, 0.1, 0.3, -4.0), FIN, MATH),
    _merge("finance-math-dare", "dare_ties", _skills(0.4, -0.8, -1.2, -1.0, -1.9, -4.0), FIN, MATH),
    _merge("three-experts-1.0", "task_arithmetic", _skills(0.6, 0.9, 0.6, 0.8, -0.6, -4.0),
           FIN, MATH, JA),
    _merge("three-experts-linear", "linear", _skills(1.9, 0.9, 0.8, 1.2, -0.4, -4.0), FIN, MATH, JA,
           tasks=tuple(TASKS)[:9]),
    _merge("finance-japanese-slerp", "slerp", _skills(1.7, 1.3, -0.4, 1.4, -0.7, -4.0), FIN, JA,
           config={"limit": 20}),
)  # fmt: skip

RECIPE = """name: {name}
method: {method}
base: sandbox/base
models:
{models}
options: {{scale: {scale}}}
dtype: bfloat16
"""


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fill_family(items: int = 40, seed: int = 0, url: str | None = None) -> dict[str, int]:
    """The shipped family and some merges of it. Returns name -> model id."""
    return fill(FAMILY, SUITE, dict(TASKS), items, seed, url)


def fill_many(
    models: int, tasks: int, items: int, seed: int = 0, url: str | None = None
) -> dict[str, int]:
    """Five parents and many merges of them, on as many tasks as asked."""
    rng = np.random.default_rng(seed)
    names = list(TASKS)
    task_domains = {
        (names[i] if i < len(names) else f"{names[i % len(names)]}_{i // len(names) + 1}"): TASKS[
            names[i % len(names)]
        ]
        for i in range(tasks)
    }
    parents = [Made(**{**m.__dict__, "tasks": tuple(task_domains)}) for m in FAMILY[:5]]
    merges = []
    for i in range(models - len(parents)):
        first, second = rng.choice([1, 2, 3, 4], size=2, replace=False)
        a, b = parents[first], parents[second]
        skills = {d: 0.6 * max(a.skills[d], b.skills[d]) + 0.4 * min(a.skills[d], b.skills[d])
                  + rng.normal(0, 0.3) for d in a.skills}  # fmt: skip
        method = str(rng.choice(["task_arithmetic", "ties", "dare_ties", "linear", "slerp"]))
        lineage = (("sandbox/base", "base", 1.0), (a.name, a.role, 1.0), (b.name, b.role, 1.0))
        merges.append(
            Made(f"sweep-{i:04d}-{method}", "merge", skills, None, method, lineage,
                 tasks=tuple(task_domains))
        )  # fmt: skip
    return fill([*parents, *merges], SUITE, task_domains, items, seed, url)


def fill(
    models, suite: str, task_domains: dict[str, str], items: int, seed: int, url: str | None
) -> dict[str, int]:
    """Write the models, their lineage, and their answers to every item of their tasks."""
    rng = np.random.default_rng(seed)
    difficulty = {task: rng.normal(0, 1.2, items) for task in task_domains}
    luck = {task: rng.normal(0, 1.2, items) for task in task_domains}
    start = time.time() - 3 * DAY
    with transaction(url) as s:
        s.execute(insert(Prompt), [
            {"hash": hashed(f"{task}/{i}"), "text": prompt(task, i)}
            for task in task_domains for i in range(items)
        ])  # fmt: skip
        ids = _models(s, models, start)
        for number, model in enumerate(models):
            for task in model.tasks:
                skill = model.skills[task_domains[task]]
                own = rng.normal(0, 0.7, items)
                right = skill - difficulty[task] + luck[task] + own > 0
                limit = model.config.get("limit")
                n = items if limit is None else min(int(str(limit)), items)
                when = start + DAY + 600.0 * number
                _evaluation(s, ids[model.name], model, suite, task, task_domains[task], right[:n],
                            when, rng)  # fmt: skip
    return ids


def prompt(task: str, item: int) -> str:
    if task in GENERATED:
        return (
            f"price {item % 12 + 1}, shares {item % 7 + 1}. Question: Compute market cap. Answer:"
        )
    return f"Question {item} of {task}: where does Mira <b>live</b>?\nAnswer:"


def _models(s: Session, models, start: float) -> dict[str, int]:
    ids: dict[str, int] = {}
    for number, model in enumerate(models):
        listing = "\n".join(
            f"  - {{model: {n}, role: {r}, weight: {w}}}" for n, r, w in model.parents[1:]
        )
        recipe = RECIPE.format(name=model.name, method=model.method, models=listing,
                               scale=round(0.4 + number % 7 / 10, 1))  # fmt: skip
        row = Model(
            name=model.name, source=f"/models/{model.name}", role=model.role, domain=model.domain,
            method=model.method, fingerprint=hashed(model.name), n_parameters=934_016,
            size_bytes=1_870_000, dtype="bfloat16", created=start + number * 600.0,
            recipe_yaml=recipe if model.role == "merge" else None,
            recipe_hash=hashed(recipe) if model.role == "merge" else None,
        )  # fmt: skip
        s.add(row)
        s.flush()
        ids[model.name] = row.id
        for position, (name, role, weight) in enumerate(model.parents):
            s.add(Parent(child_id=row.id, position=position, parent_id=ids[name], role=role,
                         weight=weight))  # fmt: skip
    return ids


def _evaluation(s, model_id, model, suite, task, domain, right, when, rng) -> None:
    n, value = len(right), float(right.mean())
    config = {"num_fewshot": 0, "dtype": "bfloat16", "limit": None, "task": task, **model.config}
    row = Evaluation(
        model_id=model_id, model_fingerprint=hashed(model.name), suite=suite, task=task,
        domain=domain, task_version="1", metric="exact_match" if task in GENERATED else "acc",
        value=value, stderr=float(np.sqrt(value * (1 - value) / max(n - 1, 1))), n=n, config=config,
        config_hash=hashed(repr(sorted(config.items(), key=str))), prompts_hash=hashed(task),
        seconds=0.6 + n / 100, created=when,
    )  # fmt: skip
    s.add(row)
    s.flush()
    names = ["Oslo", "Lima", "Rome", "Kyoto"]
    noise = rng.normal(-4, 1.5, (n, len(names)))
    s.execute(insert(Answer), [
        {"evaluation_id": row.id, **_answer(task, i, bool(right[i]), names, noise[i])}
        for i in range(n)
    ])  # fmt: skip


def _answer(task: str, item: int, right: bool, names: list[str], noise) -> dict[str, object]:
    shared = {"doc_id": item, "doc_hash": hashed(f"doc {task}/{item}"),
              "prompt_hash": hashed(f"{task}/{item}"), "score": float(right),
              "correct": right}  # fmt: skip
    if task in GENERATED:
        target = str((item % 12 + 1) * (item % 7 + 1))
        output = f" market cap = price * shares. Result: {target if right else item + 3}"
        return {**shared, "target": target, "output": output + "\n<script>alert(1)</script>",
                "extracted": target if right else str(item + 3), "choices": None}  # fmt: skip
    gold = item % len(names)
    scores = [float(x) for x in noise]
    scores[gold] = max(scores) + 0.5 if right else min(scores) - 0.5
    chosen = names[int(np.argmax(scores))]
    choices = [{"text": t, "loglikelihood": x} for t, x in zip(names, scores, strict=True)]
    return {**shared, "target": names[gold], "output": chosen, "extracted": chosen,
            "choices": choices}  # fmt: skip


if __name__ == "__main__":
    sizes = [int(a) for a in sys.argv[1:4]]
    made = fill_many(*sizes) if sizes else fill_family()
    print(f"{len(made)} models written")
