"""From format 2 to format 3, frozen: what each answer came to, and how many were none.

Old rows are filled from their answers by the rule of `evaluation.answer_states` as it was then.
"""

from __future__ import annotations

from sqlalchemy import Connection, Double, text

NEW_COLUMNS = (
    "ALTER TABLE answers ADD COLUMN state VARCHAR(20)",
    "ALTER TABLE evaluations ADD COLUMN missing {double}",
    "ALTER TABLE evaluations ADD COLUMN truncated {double}",
)

# JSON columns have their NULL as the text "null". Only what a model wrote can be missing: where
# choices were scored, or a given text was, there always is an answer.
_WRITTEN = "(choices IS NULL OR CAST(choices AS TEXT) = 'null')"

STATES = f"""
UPDATE answers SET state = CASE
    WHEN correct = {{true}} THEN 'right'
    WHEN {_WRITTEN} AND extracted = '(cut off before an answer)' THEN 'truncated'
    WHEN {_WRITTEN} AND (extracted IS NULL OR TRIM(extracted) IN ('', '[invalid]'))
        THEN CASE WHEN stopped = 'length' THEN 'truncated' ELSE 'missing' END
    WHEN {_WRITTEN} AND stopped = 'length' AND TRIM(extracted) = TRIM(output) THEN 'truncated'
    WHEN correct = {{false}} THEN 'wrong'
END
"""

SHARES = f"""
UPDATE evaluations SET
    missing = (SELECT AVG(CASE WHEN state = 'missing' THEN 1.0 ELSE 0.0 END)
               FROM answers WHERE evaluation_id = evaluations.id),
    truncated = (SELECT AVG(CASE WHEN state = 'truncated' THEN 1.0 ELSE 0.0 END)
                 FROM answers WHERE evaluation_id = evaluations.id)
WHERE EXISTS (SELECT 1 FROM answers WHERE evaluation_id = evaluations.id AND {_WRITTEN})
"""


def upgrade(connection: Connection) -> None:
    """Add the columns of format 3 and fill them."""
    double = Double().compile(connection.dialect)
    for statement in NEW_COLUMNS:
        connection.execute(text(statement.format(double=double)))
    booleans = ("1", "0") if connection.dialect.name == "sqlite" else ("TRUE", "FALSE")
    connection.execute(text(STATES.format(true=booleans[0], false=booleans[1])))
    connection.execute(text(SHARES))
