"""What a number of the database means: wait, ask a person, or neither."""

import pymysql
import pytest
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import explain
from schemas.errors import ChatferryError, DatabaseDown, Stop


def explained(number: int) -> ChatferryError | None:
    """What becomes of an error of the driver."""
    return explain(DBAPIError("INSERT", None, pymysql.err.OperationalError(number, "its words")))


@pytest.mark.parametrize("number", [2006, 1040, 1213, 1290, 3032, 3101, 9001])
def test_server_that_is_away_or_busy_is_waited_for(number: int) -> None:
    assert isinstance(explained(number), DatabaseDown)


@pytest.mark.parametrize(
    ("number", "next_step"),
    [
        (1045, "Check user and password"),
        (1130, "Let the user in from this host"),
        (1364, "give it a default value"),
        (1820, "Set a new password"),
        (2059, "another plugin"),
        (3118, "ACCOUNT UNLOCK"),
        (3159, "ssl_ca=FILE"),
        (4151, "ACCOUNT UNLOCK"),
    ],
)
def test_what_a_person_must_mend_is_a_sentence_with_the_next_step(number: int, next_step: str) -> None:
    said = explained(number)
    assert isinstance(said, Stop)
    assert f"its words ({number})" in said.text
    assert next_step in said.next_step


@pytest.mark.parametrize("number", [1064, 1406, 4025])
def test_bug_and_bad_data_are_neither(number: int) -> None:
    assert explained(number) is None
