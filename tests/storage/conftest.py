"""What the tests of the storage share."""

from collections.abc import Iterator

import pytest

from storage.engine import Database
from tests.support.storage_checks import url_of


@pytest.fixture(scope="module")
def other(db: Database) -> Iterator[Database]:
    """Another worker's view of the database, with a cache of its own."""
    database = Database(url_of(db))
    yield database
    database.close()
