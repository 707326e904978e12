"""The fixtures that give each test its database."""

import sqlalchemy as sa

from tests.support.servers import Server


def rows_seen_by_another(url: str) -> list[int]:
    """What a second connection reads after a first one made a table and wrote to it."""
    writer, reader = (sa.create_engine(url, poolclass=sa.NullPool) for _ in range(2))
    with writer.begin() as connection:
        connection.execute(sa.text("CREATE TABLE note (n INTEGER)"))
        connection.execute(sa.text("INSERT INTO note VALUES (7)"))
    with reader.connect() as connection:
        return list(connection.execute(sa.text("SELECT n FROM note")).scalars())


def test_two_connections_share_a_database(database_url: str) -> None:
    assert rows_seen_by_another(database_url) == [7]


def test_a_database_is_empty_whatever_the_test_before_it_wrote(database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    assert sa.inspect(engine).get_table_names() == []
    assert rows_seen_by_another(database_url) == [7]


def test_a_stopped_server_comes_back_with_its_data(
    own_database_server: Server,
) -> None:
    url = own_database_server.url.set(database=own_database_server.database)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE note (n INTEGER)"))
    own_database_server.stop()
    own_database_server.start()
    assert "note" in sa.inspect(engine).get_table_names()
