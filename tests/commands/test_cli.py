"""The `hpo` command from a study's creation to its deletion, and workers that are told to stop."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.settings import settings
from storage import studies
from storage.engine import Database
from tests.support.commands import run_hpo
from tests.support.tiny_studies import FIXED, hpo, must, tiny_flags, write_recipe


CREATE = "study create --architecture siamese --name tiny --space recipe.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe in it."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


def create(*flags: str, **settings: Any) -> str:
    """Create the study `tiny`; what the command printed."""
    return must(*shlex.split(CREATE), *tiny_flags(**settings), *flags)


def show(*flags: str) -> dict[str, Any]:
    """What `hpo study show tiny --json` prints."""
    shown: dict[str, Any] = json.loads(must("study", "show", "tiny", "--json", *flags))
    return shown


def trials(*flags: str) -> list[dict[str, Any]]:
    """What `hpo study trials tiny --json` prints."""
    listed: list[dict[str, Any]] = json.loads(must("study", "trials", "tiny", "--json", *flags))
    return listed


class TestTheLifeOfAStudy:
    def test_from_its_creation_to_its_deletion(self) -> None:
        """One story, because each step needs what the one before it left."""
        settings = tiny_flags(trials=2, pruner="none")
        created = hpo(*shlex.split(CREATE), *settings, "--json")
        assert created.code == 0
        assert created.err == "next: hpo worker --study tiny\n"
        frozen = json.loads(created.out)
        assert (frozen["name"], frozen["n_trials"], frozen["folds"]) == ("tiny", 2, 2)
        self.check_new(show())
        assert trials() == []

        worked = hpo("worker --study tiny --processes 1")
        assert (worked.code, worked.out) == (0, "")
        assert "tiny complete: 2 of 2 trials" in worked.err
        before = show()
        self.check_complete(before, 2)
        self.check_trials(trials(), 2)
        assert json.loads(must("study list --json")) == [before]

        extended = json.loads(must("study extend tiny --trials 3 --json"))
        assert extended == {"name": "tiny", "n_trials": 3}
        assert show()["state"] == "searching"
        assert must("worker --study tiny --processes 1") == ""
        self.check_complete(show(), 3)
        self.check_trials(trials(), 3)

        exported = yaml.safe_load(must("export tiny"))
        assert exported == json.loads(must("export tiny --format json"))
        assert must("export tiny -o best.yaml") == ""
        assert yaml.safe_load(Path("best.yaml").read_text()) == exported

        deleted = hpo("study delete tiny --yes")
        assert (deleted.code, deleted.out, deleted.err) == (0, "", "deleted tiny\n")
        assert hpo("study show tiny").code == 3
        assert json.loads(must("study list --json")) == []

    def check_new(self, shown: dict[str, Any]) -> None:
        assert shown["state"] == "searching"
        assert shown["trials"] == {
            "target": 2,
            "complete": 0,
            "pruned": 0,
            "failed": 0,
            "running": 0,
        }
        assert shown["best"] is None
        assert shown["workers"] == []
        assert shown["protocol"].keys() == settings().keys() - {"name", "trials", "space"}
        assert shown["protocol"]["folds"] == 2

    def check_complete(self, shown: dict[str, Any], n: int) -> None:
        assert (shown["name"], shown["architecture"], shown["dataset"], shown["state"]) == (
            "tiny",
            "siamese",
            "digits",
            "complete",
        )
        counts = shown["trials"]
        assert (counts["target"], counts["complete"], counts["running"]) == (n, n, 0)
        assert shown["workers"] == []
        best = shown["best"]
        assert best["trial"] in range(n)
        assert list(best["params"]) == ["learning_rate", "channels", "dropout"]
        assert 0.001 <= best["params"]["learning_rate"] <= 0.01
        assert best["params"]["channels"] == sorted(best["params"]["channels"])
        assert set(best["params"]["channels"]) <= {2, 4}
        assert best["params"]["dropout"] == 0.1
        assert best["n_parameters"] > 0
        assert 0 <= best["validation_error"] <= 1
        test_error = best["test_error"]
        assert set(test_error) == {"mean", "std", "n", "ci95", "values", "seeds"}
        assert (test_error["n"], len(test_error["values"])) == (2, 2)
        assert test_error["mean"] == pytest.approx(sum(test_error["values"]) / 2)
        low, high = test_error["ci95"]
        assert low <= test_error["mean"] <= high

    def check_trials(self, listed: list[dict[str, Any]], n: int) -> None:
        assert [trial["number"] for trial in listed] == list(range(n))
        best = show()["best"]
        for trial in listed:
            assert trial["state"] == "complete"
            assert len(trial["fold_errors"]) == 2
            assert trial["validation_error"] == pytest.approx(sum(trial["fold_errors"]) / 2)
            assert (trial["n_epochs"], trial["n_attempts"]) == (2, 1)
            assert trial["train_s"] > 0
            assert trial["worker"]
            assert trial["failure"] is None
        assert listed[best["trial"]]["params"] == best["params"]
        assert best["validation_error"] == min(trial["validation_error"] for trial in listed)

    def test_a_table_shows_a_person_the_same_in_percent(self) -> None:
        create(trials=1)
        must("worker --study tiny --processes 1")
        best = show()["best"]
        shown = must("study show tiny")
        assert f"{best['validation_error']:.2%}".replace("%", " %") in shown
        assert f"{best['test_error']['mean']:.2%}".replace("%", "") in shown
        assert "protocol  " in shown
        for setting in (
            "folds 2",
            "epochs 2",
            "batch size 100",
            "sampler tpe",
            "centre yes",
            "seed 0",
        ):
            assert setting in shown
        assert "complete" in must("study trials tiny")
        assert "1/1" in must("study list")

    def test_a_worker_on_a_finished_study_leaves_at_once(self) -> None:
        create(trials=1, repeats=1)
        must("worker --study tiny --processes 1")
        before = trials()
        assert hpo("worker --study tiny --processes 1").code == 0
        assert trials() == before

    def test_a_worker_with_no_study_named_completes_them_all(self) -> None:
        create(trials=1, repeats=1)
        create("--name", "other", trials=1, repeats=1)
        assert hpo("worker --processes 1").code == 0
        states = {each["name"]: each["state"] for each in json.loads(must("study list --json"))}
        assert states == {"tiny": "complete", "other": "complete"}

    def test_max_trials_and_then_more(self) -> None:
        create(trials=3)
        must("worker --study tiny --processes 1 --max-trials 2")
        shown = show()
        assert (shown["state"], shown["trials"]["running"], len(trials())) == ("searching", 0, 2)

    def test_a_worker_whose_time_is_over_claims_nothing(self) -> None:
        create(trials=3)
        must("worker --study tiny --processes 1 --timeout 0.000001")
        assert trials() == []


class TestCreate:
    def test_if_not_exists_keeps_a_study_as_it_is(self) -> None:
        create(trials=2)
        before = show()
        again = json.loads(create("--if-not-exists", "--json", trials=2))
        assert (again["n_trials"], again["folds"]) == (2, 2)
        assert show() == before

    def test_if_not_exists_still_refuses_a_wrong_setting(self) -> None:
        create(trials=2)
        done = hpo(*shlex.split(CREATE), *tiny_flags(folds=1), "--if-not-exists")
        assert done.code == 2

    def test_a_dry_run_says_the_cost_and_writes_nothing(self, folder: Path) -> None:
        before = sorted(folder.iterdir())
        cost = json.loads(create("--dry-run", "--json", trials=7))
        assert (cost["n_trials"], cost["trial_fold_epochs"], cost["test_epochs"]) == (7, 28, 4)
        assert cost["fold_epoch_s"] > 0
        assert sorted(folder.iterdir()) == before

    def test_an_architecture_and_its_recipe_set_the_defaults(self) -> None:
        frozen = json.loads(must("study create --architecture baseline --dataset digits --json"))
        names = ("name", "n_trials", "epochs", "batch_size", "train_size", "test_size", "folds")
        assert [frozen[name] for name in names] == ["baseline", 50, 25, 100, 600, 290, 5]
        assert len(frozen["known"]) == 1

    def test_a_fixed_space_has_one_trial(self) -> None:
        fixed = write_recipe(Path(), FIXED, "fixed.yaml")
        assert json.loads(create("--space", str(fixed), "--json"))["n_trials"] == 1

    def test_a_grid_has_as_many_trials_as_points(self) -> None:
        grid = "{architecture: siamese, parameters: {dropout: {values: [0.1, 0.2, 0.3]}}}"
        flags = ["--space", str(write_recipe(Path(), grid, "grid.yaml")), "--sampler", "grid"]
        assert json.loads(create(*flags, "--json"))["n_trials"] == 3

    def test_a_countable_space_has_no_more_trials_than_points(self) -> None:
        text = "{architecture: siamese, parameters: {dropout: {values: [0.1, 0.2, 0.3]}}}"
        flags = ["--space", str(write_recipe(Path(), text, "three.yaml")), "--json"]
        done = hpo(*shlex.split(CREATE), *tiny_flags(trials=6), *flags)
        assert json.loads(done.out)["n_trials"] == 3
        assert "the search space has only 3 configurations, so the study has 3 trials" in done.err
        assert hpo("study extend tiny --trials 4").code == 5

    def test_the_environment_names_the_storage(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HPO_STORAGE", f"sqlite:///{folder / 'elsewhere.db'}")
        create()
        assert [path.name for path in folder.glob("*.db")] == ["elsewhere.db"]
        assert show()["name"] == "tiny"
        assert hpo("study show tiny --storage sqlite:///hpo.db").code == 3, "a flag goes first"


class TestFailures:
    DIVERGING = "{architecture: siamese, parameters: {learning_rate: 1.0e+30, channels: [2, 2, 2]}}"

    def test_a_study_in_which_every_trial_fails_ends_with_the_reason(self) -> None:
        recipe = write_recipe(Path(), self.DIVERGING, "diverging.yaml")
        create("--space", str(recipe))
        done = hpo("worker --study tiny --processes 1")
        assert done.code == 1
        last = done.err.splitlines()[-1]
        assert last.startswith("error: no trial of study 'tiny' is complete: 1 failed; see why")
        shown = show()
        assert (shown["state"], shown["best"]) == ("complete", None)
        assert shown["trials"]["failed"] == 1
        (trial,) = trials()
        assert trial["state"] == "failed"
        assert trial["validation_error"] is None
        assert trial["failure"].startswith("answers to held-out examples became infinite or NaN in")
        assert trial["params"]["learning_rate"] == 1e30
        assert hpo("export tiny").code == 1

    @pytest.mark.short_on
    @pytest.mark.chaos
    def test_two_processes_say_the_same(self) -> None:
        recipe = write_recipe(Path(), self.DIVERGING, "diverging.yaml")
        create("--space", str(recipe))
        done = run_hpo("worker", "--study", "tiny", "--processes", "2")
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        errors = [line for line in lines if line.startswith("error: ")]
        assert errors == lines[-1:], "a worker that ends long before the other is a warning"
        assert "no trial of study 'tiny'" in errors[0]
        assert "Traceback" not in done.stderr

    def test_workers_go_on_after_a_failed_study(self) -> None:
        recipe = write_recipe(Path(), self.DIVERGING, "diverging.yaml")
        create("--space", str(recipe))
        create("--name", "sound", trials=1, repeats=1)
        assert hpo("worker --processes 1").code == 1
        states = {each["name"]: each["state"] for each in json.loads(must("study list --json"))}
        assert states == {"tiny": "complete", "sound": "complete"}


def recorded(storage: str) -> tuple[dict[str, Any], dict[tuple[Any, ...], Any]]:
    """The best configuration of `tiny`, and each curve by kind, trial, part and fold."""
    db = Database(storage)
    study_id = studies.get(db, "tiny").study_id
    of = {each.id: (each.kind, each.trial, each.part) for each in studies.work(db, study_id)}
    curves = {(*of[each.claim_id], each.fold): each.curve for each in studies.curves(db, study_id)}
    db.close()
    best: dict[str, Any] = show("--storage", storage)["best"]
    return best, curves


REPEATABLE = {"trials": 4, "sampler": "random", "pruner": "none"}


@pytest.fixture(scope="module")
def by_one_worker(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, Any], dict[tuple[Any, ...], Any]]:
    """What one worker records of the study on SQLite."""
    folder = tmp_path_factory.mktemp("reference")
    storage = ("--storage", f"sqlite:///{folder / 'hpo.db'}")
    create("--space", str(write_recipe(folder)), *storage, **REPEATABLE)
    must("worker", "--study", "tiny", "--processes", "1", *storage)
    return recorded(storage[1])


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_the_numbers_are_the_same_on_every_database(
    backend: str,
    request: pytest.FixtureRequest,
    by_one_worker: tuple[dict[str, Any], dict[tuple[Any, ...], Any]],
) -> None:
    storage = ("--storage", request.getfixturevalue(f"{backend}_url"))
    create(*storage, **REPEATABLE)
    must("worker", "--study", "tiny", "--processes", "1", *storage)
    assert recorded(storage[1]) == by_one_worker


@pytest.mark.chaos
def test_the_numbers_are_the_same_by_one_worker_or_two(
    sqlite_url: str, by_one_worker: tuple[dict[str, Any], dict[tuple[Any, ...], Any]]
) -> None:
    create("--storage", sqlite_url, **REPEATABLE)
    done = hpo("worker", "--processes", "2", "--study", "tiny", "--storage", sqlite_url)
    assert (done.code, done.out) == (0, ""), done.err
    assert "tiny complete: 4 of 4 trials" in done.err
    assert recorded(sqlite_url) == by_one_worker
    assert len(by_one_worker[1]) == 4 * 2 + 2


def test_odd_names_are_not_found_on_every_database(database_url: str) -> None:
    create("--storage", database_url)
    for name in ("😀", "tiny\n", "' OR '1'='1", "%", "n" * 500):
        assert hpo("study", "show", name, "--storage", database_url).code == 3


def test_architectures_are_listed_with_what_their_report_says() -> None:
    listed = {each["name"]: each for each in json.loads(must("architectures --json"))}
    assert {"baseline", "convpair-ws-aux", "disk-mlp", "ordinal"} <= set(listed)
    names = "name task weight_sharing auxiliary_loss asymmetry_loss n_parameters n_weights"
    assert list(listed["siamese"]) == [*names.split(), "source", "reported"]
    assert listed["siamese"]["n_parameters"] == 192_601
    assert listed["siamese"]["reported"]["test_error"] == 0.052
    assert "192,601" in must("architectures")


def test_fetching_a_data_set_without_files_says_so() -> None:
    done = hpo("data fetch digits")
    assert (done.code, done.out, done.err) == (0, "", "digits needs no files\n")
