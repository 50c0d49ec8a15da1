"""Old databases open, newer ones are refused, and nothing is changed without a copy."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, inspect, text

from db import migrations, schema_1, schema_2, schema_3
from db.engine import close_databases, open_database, session, transaction
from db.errors import DatabaseError
from db.packed import pack_floats, pack_json, unpack_floats
from db.tables import (
    Answer,
    Base,
    Evaluation,
    ItemList,
    Model,
    PointScore,
    Reply,
    Study,
    StudyPoint,
)

pytestmark = pytest.mark.sqlite


@pytest.fixture(autouse=True)
def fresh(home: Path) -> Iterator[None]:
    yield
    close_databases()


def shape(engine: Engine) -> dict[str, Any]:
    """Everything about the tables that must be the same, whoever made them."""
    looked = inspect(engine)
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"])
                for column in looked.get_columns(table)
            },
            "primary": looked.get_pk_constraint(table)["constrained_columns"],
            "unique": sorted(one["column_names"] for one in looked.get_unique_constraints(table)),
            "indexes": sorted((one["name"], one["column_names"]) for one in
                              looked.get_indexes(table)),
            "foreign": sorted(
                (one["constrained_columns"], one["referred_table"], one["referred_columns"],
                 one["options"]) for one in looked.get_foreign_keys(table)
            ),
        }
        for table in looked.get_table_names()
    }  # fmt: skip


def test_a_migrated_database_is_what_the_declarations_say(home: Path) -> None:
    declared = create_engine("sqlite://")
    Base.metadata.create_all(declared)
    assert shape(open_database()) == shape(declared)


def test_the_version_is_written(home: Path) -> None:
    open_database()
    with sqlite3.connect(home / "crucible.db") as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (migrations.newest(),)


def test_a_newer_database_is_refused_and_left_alone(home: Path) -> None:
    path = home / "crucible.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE future (x)")
        raw.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseError) as caught:
        open_database()
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"The database {path} was written by a newer version of Crucible (its format is "
        f"99, this program knows up to {migrations.newest()}). Update Crucible, or set "
        "CRUCIBLE_HOME to another folder."
    )
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("future",)]


def add_colour(connection: Any) -> None:
    connection.execute(text("ALTER TABLE models ADD COLUMN colour TEXT"))
    connection.execute(text("UPDATE models SET colour = 'red'"))


def test_an_old_database_is_copied_and_then_changed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction() as opened:
        opened.add(Model(name="old", source="/x", role="base"))
    close_databases()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, add_colour))
    with session() as opened:
        assert opened.execute(text("SELECT name, colour FROM models")).all() == [("old", "red")]
    (copy,) = home.glob("crucible-v*.db")
    with sqlite3.connect(copy) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (migrations.newest() - 1,)
        assert raw.execute("SELECT name FROM models").fetchall() == [("old",)]
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_migration_that_fails_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database()
    close_databases()

    def broken(connection: Any) -> None:
        add_colour(connection)
        raise RuntimeError("half way")

    before = migrations.newest()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
    with pytest.raises(RuntimeError, match="half way"):
        open_database()
    with sqlite3.connect(home / "crucible.db") as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (before,)
        columns = [row[1] for row in raw.execute("PRAGMA table_info(models)")]
    assert "colour" not in columns


OPENER = "from db.engine import session\nwith session() as s: s.connection()"


def test_programs_that_start_together_make_one_database(home: Path) -> None:
    project = Path(__file__).resolve().parents[2]
    openers = [
        subprocess.Popen([sys.executable, "-c", OPENER], cwd=project, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in openers:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, b"")
    assert set(shape(open_database())) == set(Base.metadata.tables)


def test_other_databases_keep_the_version_in_a_table() -> None:
    """The path that servers take, walked on SQLite under another name."""
    engine = create_engine("sqlite://")
    engine.dialect.name = "other"
    migrations.migrate(engine)
    with engine.connect() as connection:
        assert migrations.version(connection) == migrations.newest()
        connection.execute(text("UPDATE schema_version SET version = 99"))
        connection.commit()
    with pytest.raises(DatabaseError, match="newer version"):
        migrations.migrate(engine)
    tables = MetaData()
    tables.reflect(engine)
    assert set(tables.tables) == {*Base.metadata.tables, "schema_version"}


def test_a_database_of_the_first_format_keeps_its_answers(home: Path) -> None:
    """Written with the tables of format 1, opened today: nothing lost, what is new is unknown."""
    old = create_engine(f"sqlite:///{home / 'crucible.db'}")
    with old.begin() as connection:
        schema_1.create(connection)
        connection.execute(text("PRAGMA user_version = 1"))
        connection.execute(text(
            "INSERT INTO models (id, name, source, role, note, archived, created) "
            "VALUES (1, 'old', '/x', 'merge', '', 0, 1.0)"
        ))  # fmt: skip
        connection.execute(text(
            "INSERT INTO evaluations (id, model_id, model_fingerprint, suite, task, domain, "
            "task_version, metric, value, n, config, config_hash, prompts_hash, seconds, created) "
            "VALUES (7, 1, 'f', 's', 't', 'd', '1', 'acc', 0.5, 2, '{}', 'c', 'p', 1.0, 1.0)"
        ))  # fmt: skip
        connection.execute(text("INSERT INTO prompts VALUES ('p', 'Question?')"))
        connection.execute(text(
            "INSERT INTO answers (evaluation_id, doc_id, doc_hash, prompt_hash, target, output, "
            "score) VALUES (7, 0, 'd', 'p', 'yes', 'no no no', 0.0)"
        ))  # fmt: skip
    old.dispose()
    with transaction() as opened:
        evaluation = opened.get_one(Evaluation, 7)
        answer = opened.get_one(Answer, (7, 0))
        assert (evaluation.value, evaluation.signatures) == (0.5, None)
        assert (answer.output, answer.stopped, answer.stray) == ("no no no", None, None)
        opened.add(Reply(model_id=1, model_fingerprint="f", set_hash="s", config_hash="c",
                         question_id="1", turn=0, text="So it is."))  # fmt: skip
    assert len(list(home.glob("crucible-v1-*.db"))) == 1


def test_a_database_of_the_third_format_learns_which_way_is_better(home: Path) -> None:
    """Perplexities were kept as log-probabilities per unit: they become the metric on the item."""
    old = create_engine(f"sqlite:///{home / 'crucible.db'}")
    with old.begin() as connection:
        schema_1.create(connection)
        schema_2.upgrade(connection)
        schema_3.upgrade(connection)
        connection.execute(text("PRAGMA user_version = 3"))
        connection.execute(text(
            "INSERT INTO models (id, name, source, role, note, archived, created) "
            "VALUES (1, 'old', '/x', 'merge', '', 0, 1.0)"
        ))  # fmt: skip
        connection.execute(text("INSERT INTO prompts VALUES ('p', 'Question?')"))
        metrics = ("acc", "bits_per_byte", "word_perplexity", "ter,none", "bits_per_byte")
        for number, metric in enumerate(metrics):
            config = "{}" if number < 4 else '{"imported": "lm-eval"}'
            connection.execute(text(
                "INSERT INTO evaluations (id, model_id, model_fingerprint, suite, task, domain, "
                "task_version, metric, value, n, config, config_hash, prompts_hash, seconds, "
                f"created) VALUES ({number}, 1, 'f', 's', 't{number}', 'd', '1', '{metric}', 0.5, "
                f"1, '{config}', 'c', 'p', 1.0, 1.0)".replace(":", r"\:")
            ))  # fmt: skip
            connection.execute(text(
                "INSERT INTO answers (evaluation_id, doc_id, doc_hash, prompt_hash, target, "
                f"output, score) VALUES ({number}, 0, 'd', 'p', 'yes', 'no', "
                f"{1.0 if number in (0, 3) else -0.25})"
            ))  # fmt: skip
    old.dispose()
    with transaction() as opened:
        kept = [(e.higher_is_better, e.left_out) for e in opened.query(Evaluation)]
        assert kept == [(True, None)] + 4 * [(False, None)]
        scores = [a.score for a in opened.query(Answer).order_by(Answer.evaluation_id)]
        expected = [1.0, 0.25 / math.log(2), math.exp(0.25), 0.0, -0.25]
        assert scores == pytest.approx(expected)


def test_a_database_of_the_fourth_format_opens_and_takes_studies(home: Path) -> None:
    """Written by the frozen steps up to format 4, opened today: its rows stay, studies fit in."""
    old = create_engine(f"sqlite:///{home / 'crucible.db'}")
    with old.begin() as connection:
        for step in migrations.MIGRATIONS[:4]:
            step(connection)
        connection.execute(text("PRAGMA user_version = 4"))
        connection.execute(text(
            "INSERT INTO models (id, name, source, role, note, archived, created) "
            "VALUES (1, 'old', '/x', 'base', '', 0, 1.0)"
        ))  # fmt: skip
    assert "studies" not in inspect(old).get_table_names()
    old.dispose()
    with transaction() as opened:
        assert opened.get_one(Model, 1).name == "old"
        study = Study(name="s", design={"name": "s"}, design_hash="h")
        opened.add(study)
        opened.flush()
        point = StudyPoint(study_id=study.id, key="k", stage="1", position=0, point={},
                           recipe_yaml="", recipe_hash="r")  # fmt: skip
        opened.add_all([point, ItemList(hash="i", items=pack_json([[0, "d"]]))])
        opened.flush()
        opened.add(PointScore(
            point_id=point.id, suite="s", task="t", domain="d", metric="acc", value=1.0, n=1,
            higher_is_better=True, config_hash="c", prompts_hash="p", asked="i",
            items=pack_floats([1.0]), outputs=pack_json({"extracted": ["yes"], "states": "r"}),
            seconds=0.1,
        ))  # fmt: skip
    with transaction() as opened:
        assert list(unpack_floats(opened.query(PointScore).one().items)) == [1.0]
        opened.delete(opened.get_one(Study, 1))
    with session() as opened:  # its points and their scores went with it
        assert opened.query(StudyPoint).count() == opened.query(PointScore).count() == 0
    assert len(list(home.glob("crucible-v4-*.db"))) == 1
