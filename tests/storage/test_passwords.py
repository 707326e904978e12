"""The password of a storage URL is masked where it stands as one, and nowhere else."""

import pytest
from sqlalchemy.engine import make_url

from storage.passwords import masked, passwords_of


REASON = 'connection to server at "127.0.0.1", port 1 failed: a b Connection refused'


@pytest.mark.parametrize(
    "password", ["a", "b", "1", "127", "on", "server", "connection", "port", "fail", ""]
)
def test_a_password_that_is_a_word_leaves_the_reason_alone(password: str) -> None:
    assert (
        masked(REASON, passwords_of(make_url(f"postgresql://u:{password}@127.0.0.1:1/x"))) == REASON
    )


@pytest.mark.parametrize("password", ["a", "server", "pa@ss", "p w", "4ever", "äö"])
@pytest.mark.parametrize("form", ["plain", "encoded"])
@pytest.mark.parametrize(
    "message",
    [
        'invalid URL "postgresql://u:PASSWORD@host/db"',
        "invalid dsn: host=h password=PASSWORD dbname=a",
        "invalid dsn: password='PASSWORD'",
        'no option {"passwd": "PASSWORD"}',
    ],
)
def test_a_password_that_stands_as_one_is_masked(message: str, password: str, form: str) -> None:
    from urllib.parse import quote

    encoded = quote(password, safe="")
    url = make_url(f"postgresql://u:{encoded}@host/db")
    shown = encoded if form == "encoded" else password
    assert masked(message.replace("PASSWORD", shown), passwords_of(url)) == message.replace(
        "PASSWORD", "***"
    )


@pytest.mark.parametrize("password", ["tOp-5eCrEt", "hunter2", "correcthorsebattery", "p@ss"])
def test_a_password_that_is_no_word_is_masked_anywhere(password: str) -> None:
    assert (
        masked(f"missing '=' after {password}, word", [password, None])
        == "missing '=' after ***, word"
    )
    assert masked(f"no{password}no", [password]) == f"no{password}no"


def test_a_password_among_the_options_is_masked() -> None:
    url = make_url("postgresql://host/db?user=u&password=hunter2")
    assert masked("what is hunter2 of u?", passwords_of(url)) == "what is *** of u?"
