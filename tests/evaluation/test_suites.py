"""Suites: what is read, and what is said about what cannot be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.configs import config_hash, task_configs
from evaluation.errors import SuiteError
from evaluation.suites import Settings, list_suites, load_suite


def test_the_shipped_suites_load() -> None:
    names = [suite.name for suite in list_suites()]
    assert "sandbox" in names
    for name in names:
        suite = load_suite(name)
        assert suite.tasks and suite.title and suite.description
        assert set(suite.tasks) == {task for group in suite.groups.values() for task in group}


def test_a_suite_by_path(suite_folder: Path) -> None:
    suite = load_suite(suite_folder / "tiny.yaml")
    assert suite.name == "tiny"
    assert suite.tasks == ("pick", "free", "word", "rolling")
    assert suite.domain("pick") == "choice"
    assert suite.domain("nothing") == "other"
    assert suite.include == ((suite_folder / "tasks").resolve(),)
    assert suite.settings_for("pick").add_bos_token is True


def test_task_settings_go_over_the_suites() -> None:
    mine = Settings(num_fewshot=0).over(Settings(num_fewshot=5, add_bos_token=True))
    assert (mine.num_fewshot, mine.add_bos_token) == (0, True)


def test_suites_are_read_without_torch_or_lm_eval() -> None:
    code = (
        "import sys; from evaluation.suites import load_suite; from evaluation import run;"
        "from evaluation.run import task_configs; task_configs(load_suite('sandbox'));"
        "import evaluation.statistics.uncertainty, evaluation.statistics.gain;"
        "print([m for m in ('torch','transformers','lm_eval','datasets','scipy')"
        " if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr


def edit(folder: Path, old: str, new: str) -> Path:
    path = folder / "tiny.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("include: tasks", "include: taskz", "taskz, which does not exist"),
        ("[pick]", "[pik]", "task 'pik'.*Did you mean 'pick'"),
        ("[pick]", "[pick, pick]", "'pick' is named twice"),
        ("[pick]", "pick", "must map each domain to a list"),
        ("title: Tiny", "titel: Tiny", "unknown key `titel`. Did you mean 'title'"),
        ("add_bos_token: true", "add_bos_tokn: 1", "unknown key `settings.add_bos_tokn`.*add_bos"),
        ("add_bos_token: true", "num_fewshot: -1", "settings.num_fewshot.*greater than or equal"),
        ("title: Tiny", "title: [", "not valid YAML"),
        ("settings:", "task_settings: {pck: {num_fewshot: 1}}\nsettings:", "names 'pck'.*'pick'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    suite_folder: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(SuiteError, match=said) as caught:
        load_suite(edit(suite_folder, old, new))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_unknown_suites_get_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no suite 'sandbx'.*Did you mean 'sandbox'"):
        load_suite("sandbx")
    with pytest.raises(SuiteError, match="no suite file"):
        load_suite(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    with pytest.raises(SuiteError, match="a mapping"):
        load_suite(tmp_path / "list.yaml")
    (tmp_path / "empty.yaml").write_text("title: Nothing\n")
    with pytest.raises(SuiteError, match="names no tasks"):
        load_suite(tmp_path / "empty.yaml")


def test_a_malformed_task_file_is_not_the_suites_error(suite_folder: Path) -> None:
    (suite_folder / "tasks" / "pick.yaml").write_text("task: [\n")
    suite = load_suite(suite_folder / "tiny.yaml")
    assert "not valid YAML" in str(suite.task_files()["pick"].problem)


def test_the_config_hash_moves_with_what_makes_scores_incomparable(suite_folder: Path) -> None:
    path = suite_folder / "tiny.yaml"

    def hashes(limit: int | None = None, dtype: str = "float32") -> str:
        return config_hash(task_configs(load_suite(path), limit, dtype)["pick"])

    seen = [hashes(), hashes(limit=2), hashes(dtype="bfloat16")]
    edit(suite_folder, "add_bos_token: true", "add_bos_token: false")
    seen.append(hashes())
    data = suite_folder / "tasks" / "choices.jsonl"
    data.write_text(data.read_text().replace("Deltor", "Altane"))
    seen.append(hashes())
    task = suite_folder / "tasks" / "pick.yaml"
    task.write_text(task.read_text().replace("{{q}}", "Q: {{q}}"))
    seen.append(hashes())
    assert len(set(seen)) == len(seen)
    edit(suite_folder, "title: Tiny", "title: Another")
    assert hashes() == seen[-1]


def test_the_chat_template_counts_only_where_it_is_used(suite_folder: Path) -> None:
    before = task_configs(load_suite(suite_folder / "tiny.yaml"))
    chat = suite_folder / "chat.jinja"
    chat.write_text(chat.read_text() + " ")
    assert task_configs(load_suite(suite_folder / "tiny.yaml")) == before
    edit(suite_folder, "settings:", "task_settings: {free: {apply_chat_template: true}}\nsettings:")
    after = task_configs(load_suite(suite_folder / "tiny.yaml"))
    assert after["free"] != before["free"]
    assert after["pick"] == before["pick"]
    assert str(after["free"]["chat_template"]).startswith("own, else chat.jinja ")


def test_a_limit_below_one_is_refused(suite_folder: Path) -> None:
    with pytest.raises(SuiteError, match="at least 1"):
        task_configs(load_suite(suite_folder / "tiny.yaml"), limit=0)


@pytest.mark.parametrize(
    ("told", "tasks"),
    [
        ("num_fewshot=2", {"pick", "free", "word", "rolling"}),
        ("apply_chat_template=true", {"pick", "free", "word", "rolling"}),
        (
            "apply_chat_template=true,fewshot_as_multiturn=false",
            {"pick", "free", "word", "rolling"},
        ),
        ("system_instruction=Be brief", {"pick", "free", "word", "rolling"}),
        ("strip_thinking=false", {"free"}),
        ("max_gen_toks=3", {"free"}),
    ],
)
def test_settings_of_a_run_keep_its_scores_apart(
    suite_folder: Path, told: str, tasks: set[str]
) -> None:
    def hashes(ref: str) -> dict[str, str]:
        return {task: config_hash(config) for task, config in task_configs(load_suite(ref)).items()}

    plain = hashes(str(suite_folder / "tiny.yaml"))
    other = hashes(f"{suite_folder / 'tiny.yaml'}@{told}")
    assert {task for task in plain if plain[task] != other[task]} == tasks


def test_a_suite_with_settings_reads_back_as_itself(suite_folder: Path) -> None:
    path = suite_folder / "tiny.yaml"
    at = suite_folder / "my@home.yaml"
    at.write_text(path.read_text())
    for ref, name in (
        (f"{path}@num_fewshot=2", "tiny@num_fewshot=2"),
        (f"{at}@num_fewshot=2", "my@home@num_fewshot=2"),
        (f"{at}", "my@home"),
        ("sandbox@num_fewshot=2,apply_chat_template=true", None),
    ):
        suite = load_suite(ref)
        assert suite.name == (name or ref) and load_suite(suite.ref) == suite
    wordy = load_suite('sandbox@{"system_instruction": "Say yes, or no = nothing @ all."}')
    assert wordy.settings.system_instruction == "Say yes, or no = nothing @ all."
    long = load_suite('sandbox@{"system_instruction": "%s"}' % ("word " * 60))
    assert len(long.name) <= 80 and load_suite(long.ref) == long


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("num_fewshot", "not of the form key=value"),
        ("num_fewsht=1", "no setting 'num_fewsht'.*Did you mean 'num_fewshot'"),
        ("num_fewshot=many", "num_fewshot: .*integer"),
        ("num_fewshot=-1", "num_fewshot: .*greater than or equal to 0"),
        ("{oops", "not a JSON object"),
        ("chat_template=/etc/passwd", "no setting 'chat_template'"),
    ],
)
def test_wrong_settings_are_said_in_a_sentence(told: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said) as caught:
        load_suite(f"sandbox@{told}")
    assert "\n" not in str(caught.value)


def test_a_runs_settings_go_over_a_tasks_own() -> None:
    suite = load_suite("sandbox@apply_chat_template=false")
    assert load_suite("sandbox").settings_for("sandbox_chat_math").apply_chat_template is True
    assert suite.settings_for("sandbox_chat_math").apply_chat_template is False
