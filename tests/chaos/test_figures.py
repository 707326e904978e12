"""The table of figures, and the page that it is written into."""

from pathlib import Path

from tests.chaos.deaths import percentile_95
from tests.chaos.figures import PAGE, Figure, Figures


FIGURE = Figure(
    fault="killed",
    database="SQLite",
    work="200 + 30",
    done="100 workers killed",
    n_taken_over=90,
    latencies_s=(5.25, 6.5),
    wall_s=120.4,
)
ROW = "| killed | SQLite | 200 + 30 | 100 workers killed | 90 | 5.2 / 6.5 s | 120 s |"


def test_a_new_table_replaces_the_old_and_the_text_stays(tmp_path: Path) -> None:
    page = tmp_path / "reliability.md"
    page.write_text(PAGE.read_text())
    Figures(7, is_short=False, rows=[FIGURE, FIGURE]).write(page)
    Figures(7, is_short=False, rows=[FIGURE], versions={"sqlite": "SQLite 3"}).write(page)
    before, _, rest = page.read_text().partition("<!-- table -->\n")
    table, _, after = rest.partition("<!-- end of table -->")
    assert table.splitlines().count(ROW) == 1
    assert "make chaos ARGS='--seed 7'" in table
    assert before == PAGE.read_text().partition("<!-- table -->\n")[0]
    assert after == PAGE.read_text().partition("<!-- end of table -->")[2]


def test_of_twenty_one_values_one_is_above_the_95th_percentile() -> None:
    assert percentile_95([float(n) for n in range(21)]) == 19.0
    assert percentile_95([3.0]) == 3.0
