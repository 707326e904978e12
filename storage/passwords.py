"""Masking passwords in messages of drivers."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import URL


MASK = "***"

MIN_LENGTH = 12
"""Characters from which a password is taken for no ordinary word, even if it has only letters."""


def masked(message: str, passwords: Iterable[object]) -> str:
    """The message with `***` in place of each password; only texts that are not empty count.

    A password that could be an ordinary word, such as `a` or `server`, is masked only where the
    message shows it as a password: in a URL, or after `password=`. Elsewhere the same letters are
    part of the reason. Any other password is masked wherever it stands, but not within a word.
    """
    for password in (each for each in passwords if each and isinstance(each, str)):
        for form in {password, quote(password), quote(password, safe=""), quote_plus(password)}:
            message = _masked(message, re.escape(form), is_word=_could_be_a_word(password))
    return message


def _masked(message: str, form: str, *, is_word: bool) -> str:
    message = re.sub(rf"(://[^\s:/@]*:){form}(?=@)", rf"\1{MASK}", message)
    message = re.sub(rf"((?i:pass\w*)['\"]?\s*[=:]\s*['\"]?){form}(?!\w)", rf"\1{MASK}", message)
    return message if is_word else re.sub(rf"(?<!\w){form}(?!\w)", MASK, message)


def _could_be_a_word(password: str) -> bool:
    """Whether a driver's message may contain the password by chance."""
    is_plain = password.isalpha() or not any(char.isalpha() for char in password)
    return is_plain and len(password) < MIN_LENGTH


def passwords_of(url: URL) -> Iterator[object]:
    """The passwords of a storage URL: the one before the host, and those among the options."""
    yield url.password
    yield from (value for name, value in url.query.items() if "pass" in name.lower())
