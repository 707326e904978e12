"""What goes wrong by a user's hand ends in one line, the right exit code, and nothing written."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hpo.datasets import load
from tests.commands import HPO, clean_environment, run_hpo
from tests.tiny_studies import FIXED, RECIPE, hpo, must, tiny_flags, write_recipe


INPUT, MISSING, STORAGE, CONFLICT = 2, 3, 4, 5
CREATE = "study create --architecture siamese --dataset digits --name new --space recipe.yaml"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with two studies that nobody has worked on; the space of `fixed` is one point."""
    folder = tmp_path_factory.mktemp("example")
    storage = ["--storage", f"sqlite:///{folder / 'hpo.db'}"]
    create = ["study", "create", "--architecture", "siamese", *storage, *tiny_flags()]
    recipe, fixed = write_recipe(folder), write_recipe(folder, FIXED, "fixed.yaml")
    must(*create, "--name", "made", "--space", recipe, "--trials", "3")
    must(*create, "--name", "fixed", "--space", fixed)
    return (folder / "hpo.db").read_bytes()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, example: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a database, a recipe, a text file."""
    (tmp_path / "hpo.db").write_bytes(example)
    (tmp_path / "notes.txt").write_text("to do: the database is elsewhere\n" * 100)
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, object]:
    """All that the files of a folder hold: databases as SQL, what else there is as bytes."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as connection:
                found[path.name] = list(connection.iterdump())
        elif not path.name.endswith((".db-wal", ".db-shm", ".db.lock")):
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


def the_error(out: str, err: str) -> str:
    """The one line on stderr, without its prefix."""
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err.removeprefix("error: ").strip()


def check_refused(command: str, code: int, says: str) -> None:
    """The command says this pattern, ends with this code and changes nothing here."""
    before = contents(Path.cwd())
    done = hpo(command)
    error = the_error(done.out, done.err)
    assert re.search(says, error), error
    assert done.code == code
    assert contents(Path.cwd()) == before


WRONG_SETTINGS = {
    "--architecture siamse": "no architecture named 'siamse'; did you mean siamese",
    "--architecture transformer": "no architecture named 'transformer'; known: convpair, ",
    "--architecture ''": "no architecture named ''; known: convpair",
    "--architecture baseline": "recipe.yaml: holds architecture siamese, not 'baseline'",
    "--dataset digit": "no data set named 'digit'; did you mean digits",
    "--dataset ''": "no data set named ''; known: mnist, digits",
    "--sampler tpes": "no sampler named 'tpes'; did you mean tpe",
    "--sampler annealing": "known: tpe, random, grid, gp, cmaes",
    "--sampler grid": "not countable: learning_rate; give each a step or values",
    "--pruner hyperbands": "no pruner named 'hyperbands'; did you mean hyperband",
    "--trials 0": "trials: should be from 1 to 1000000, but it is 0",
    "--trials -1": "trials: should be from 1",
    "--trials 1000001": "trials: should be from 1 to 1000000",
    "--trials many": "'--trials'",
    "--trials 1.5": "'--trials'",
    "--folds 1": "folds: should be greater than or equal to 2, but it is 1",
    "--folds 0": "folds: should be",
    "--folds -5": "folds: should be",
    "--folds five": "'--folds'",
    "--folds 301 --train-size 600": "301 folds of 600 training examples",
    "--folds 2 --train-size 1": "2 folds of 1 training examples: .* use more examples$",
    "--epochs 0": "epochs: should be",
    "--epochs -1": "epochs: should be",
    "--epochs 100000000000000000000": "epochs: should be less than or equal to 1000000",
    "--epochs x": "'--epochs'",
    "--batch-size 0": "batch_size: should be",
    "--batch-size 1": "batch_size: should be greater than or equal to 2, but it is 1",
    "--batch-size -8": "batch_size: should be",
    "--batch-size x": "'--batch-size'",
    "--repeats 0": "repeats: should be",
    "--repeats -1": "repeats: should be",
    "--repeats 3000000000": "repeats: should be",
    "--repeats x": "'--repeats'",
    "--max-attempts 0": "max_attempts: should be",
    "--max-attempts -1": "max_attempts: should be",
    "--max-attempts x": "'--max-attempts'",
    "--train-size 0": "train_size: should be",
    "--train-size -1": "train_size: should be",
    "--train-size 601": "601 training pairs cannot be drawn from digits: ask for 1 to 600",
    "--train-size x": "'--train-size'",
    "--test-size 0": "test_size: should be",
    "--test-size -1": "test_size: should be",
    "--test-size 299": "299 test pairs cannot be drawn from digits: ask for 1 to 298",
    "--test-size x": "'--test-size'",
    "--confirm 3": "confirm: there is no confirmation stage yet; the only value is 0",
    "--confirm -1": "confirm: should be",
    "--seed -1": "seed: should be greater than or equal to 0, but it is -1",
    "--seed 9223372036854775808": "seed: should be less than",
    "--seed x": "'--seed'",
    "--lease 0": "lease_s: should be greater than 0",
    "--lease -5": "lease_s: should be greater than 0",
    "--lease nan": "lease_s: should be a finite number",
    "--lease inf": "lease_s: should be a finite number",
    "--lease 1000000": "lease_s: should be less than or equal to 86400",
    "--lease soon": "'--lease'",
    "--name ''": "name: '' cannot name a study",
    "--name ../x": "name: '../x' cannot name a study; use letters, digits",
    "--name 'a b'": "name: 'a b' cannot name a study",
    "--name -x": "name: '-x' cannot name a study",
    "--name .hidden": "name: '.hidden' cannot name a study",
    "--name 😀": "cannot name a study",
    f"--name {'n' * 300}": "at most 100",
    "--space missing.yaml": "missing.yaml: cannot be read: No such file",
    "--space .": "cannot be read: Is a directory",
    "--space notes.txt": "notes.txt: line 2, column 1: the key 'to do' stands twice",
    "--space hpo.db": "hpo.db: not UTF-8",
    "--spaces recipe.yaml": "--spaces",
    "extra": "unexpected extra argument",
}


WRONG_RECIPES = {
    "": "the file is empty",
    "architecture: siamese": "parameters is missing",
    "architecture: [": "line 1, column 16",
    "architecture: siamese\n\tparameters: {}": "line 2, column 1",
    "parameters: {dropout: 0.1}": "architecture .* has to be there",
    "- architecture: siamese": "is not a map of keys and values",
    "{architecture: siamese, parameter: {}}": "unknown key 'parameter'; did you mean parameters",
    "{architecture: siamese, parameters: {dropout: 0.1, dropout: 0.2}}": "stands twice",
    "{architecture: siamese, parameters: &a {dropout: 0.1}, known: [*a]}": "anchors and aliases",
    "{architecture: siamese, parameters: {}, known: [{dropout: 0.1}]}": r"known\[0\].*dropout",
    "{architecture: siamese, training: {epochs: 0}, parameters: {}}": "training: epochs: 0 is not",
    "{architectures: {baseline: {}}, parameters: {}}": "unknown architecture 'siamese'",
}
WRONG_PARAMETERS = {
    "droput: 0.1": "no parameter of siamese named 'droput'; did you mean dropout",
    "hue: 0.9": "no parameter of siamese named 'hue'; known: optimizer, learning_rate, ",
    "momentum: 1.0, optimizer: momentum": "momentum: should be less than 1, but it is 1.0",
    "momentum: 0.9": "momentum has no effect where optimizer is adam; it is for momentum, nesterov",
    "momentum: 0.9, optimizer: {type: categorical, choices: [sgd, adamw]}": (
        "momentum has no effect where optimizer is sgd or adamw; it is for momentum, nesterov$"
    ),
    "momentum: 0.9, optimizer: [sgd, momentum]": r"optimizer is \['sgd', 'momentum'\]",
    "decay: {type: float, low: 0.01, high: 0.1}": "decay has no effect where schedule is none; it",
    "decay: 0.1, schedule: cosine": "schedule is cosine; it is for exponential, step, time_based$",
    "asymmetry_weight: 1.0": "no parameter of siamese named 'asymmetry_weight'; did you mean",
    "dropout: {type: flot, low: 0, high: 1}": "dropout: unknown type 'flot'; did you mean float",
    "dropout: {type: normal, low: 0, high: 1}": "allowed: float, int, categorical, channels",
    "dropout: {low: 0, high: 1}": "dropout: type is missing",
    "dropout: {type: float, low: 0.5, high: 0.1}": "dropout: low 0.5 is above high 0.1",
    "dropout: {type: float, low: 0.5}": "dropout: high is missing",
    "dropout: {type: float, low: 0, high: .inf}": "high: inf is not a finite number",
    "dropout: {type: float, low: .nan, high: 1}": "low: nan is not a finite number",
    "dropout: {type: float, low: 0, high: 1, log: true}": "low 0.0 is not above 0, as log: true",
    "dropout: {type: float, low: -1, high: 1, log: true}": "low -1.0 is not above 0",
    "dropout: {type: float, low: 0, high: 1, step: 0}": "step 0.0 is not above 0",
    "dropout: {type: float, low: 0, high: 2}": "siamese cannot be built with .*2.0.*dropout",
    "dropout: {type: categorical, choices: []}": "choices: the list is empty",
    "learning_rate: {type: float, low: 1e-4, high: 1e-2}": "write 1.0e-4",
    "learning_rate: fast": "learning_rate.*'fast'",
    "learning_rate: -0.1": "learning_rate.*-0.1",
    "weight_decay: -0.1": "weight_decay.*-0.1",
    "aux_weight: heavy": "aux_weight.*'heavy'",
    "channels: {type: channels, choices: [2, 4], layers: 2}": "expected 3, got 2",
    "channels: {type: channels, choices: [2, 4], layers: 4}": "too many values to unpack",
    "channels: {type: channels, choices: [2, 4], layers: 0}": "layers: 0 is not positive",
    "channels: {type: channels, choices: [0, 4], layers: 3}": "0 is not positive",
    "channels: {type: channels, choices: [4], layers: 3}": "choices: one is too few",
    "channels: [2, 4]": "siamese cannot be built with",
    "channels: 8": "siamese cannot be built with",
    "merge: sum": "merge is 'sum'; allowed: concatenate, difference, maximum",
    "merge: {type: categorical, choices: [concatenate, sum]}": "merge is 'sum'",
}


@pytest.mark.parametrize(("flags", "says"), WRONG_SETTINGS.items())
def test_a_study_with_a_wrong_setting_is_not_created(flags: str, says: str) -> None:
    check_refused(f"{CREATE} {flags}", INPUT, says)


@pytest.mark.parametrize(("recipe", "says"), WRONG_RECIPES.items())
def test_a_wrong_recipe_is_refused_by_its_file(recipe: str, says: str) -> None:
    write_recipe(Path(), recipe, "wrong.yaml")
    check_refused(f"{CREATE} --space wrong.yaml", INPUT, rf"^wrong\.yaml: .*{says}")


@pytest.mark.parametrize(("parameter", "says"), WRONG_PARAMETERS.items())
def test_a_wrong_parameter_of_a_recipe_is_refused(parameter: str, says: str) -> None:
    write_recipe(Path(), f"{{architecture: siamese, parameters: {{{parameter}}}}}", "wrong.yaml")
    check_refused(f"{CREATE} --space wrong.yaml", INPUT, says)


def test_channels_that_the_baseline_cannot_split_in_two_groups_are_refused() -> None:
    channels = "channels: {type: channels, choices: [3, 4], layers: 3}"
    write_recipe(Path(), f"{{architecture: baseline, parameters: {{{channels}}}}}", "odd.yaml")
    check_refused(
        f"{CREATE} --architecture baseline --space odd.yaml", INPUT, "baseline cannot be built"
    )


def test_more_known_configurations_than_trials_are_refused() -> None:
    known = "known:\n" + "".join(
        f"  - {{learning_rate: 0.00{n}, channels: [2, 2, 4]}}\n" for n in (2, 3)
    )
    write_recipe(Path(), RECIPE + known, "known.yaml")
    check_refused(
        f"{CREATE} --space known.yaml --trials 1", INPUT, "1 is fewer than the 2 known .* --trials"
    )


@pytest.mark.parametrize("flags", ["--trials 0", "--sampler tpes", "--space missing.yaml"])
def test_a_dry_run_finds_the_same_mistakes(flags: str) -> None:
    check_refused(f"{CREATE} --dry-run {flags}", INPUT, flags.split()[1])


@pytest.mark.parametrize(
    "command",
    [
        "study show nope",
        "study show ''",
        "study show 😀",
        "study trials nope --json",
        "study extend nope --trials 5",
        "study delete nope --yes",
        "export nope",
        "worker --study nope",
        "worker --study nope --processes 2",
    ],
)
def test_a_study_that_is_not_there_is_not_found(command: str) -> None:
    check_refused(command, MISSING, "^no study named .* in sqlite:///hpo.db; see: hpo study list$")


@pytest.mark.parametrize(
    "command", ["study show made", "worker", "worker --study made", "export x"]
)
def test_a_database_that_is_not_there_is_not_made_by_reading(command: str) -> None:
    check_refused(
        f"{command} --storage sqlite:///none.db", MISSING, "no database at none.db .* study create"
    )


def test_a_database_without_tables_of_ours_holds_no_studies() -> None:
    with contextlib.closing(sqlite3.connect("empty.db")) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
    check_refused("study show made --storage sqlite:///empty.db", MISSING, "no studies in .* yet")


def test_a_name_that_exists_is_a_conflict() -> None:
    check_refused(f"{CREATE} --name made", CONFLICT, "a study named 'made' exists already")


WRONG_COMMANDS = {
    "study delete made": "'made': add --yes",
    "study delete made --no": "--no",
    "study extend made": "'--trials'",
    "study extend made --trials 2": "2 is the new total.* from the present 3 to 1000000",
    "study extend made --trials 0": "trials: 0 is the new total",
    "study extend made --trials -3": "trials: -3 is the new total",
    "study extend made --trials 1000001": "trials: 1000001 is the new total",
    "study extend made --trials x": "'--trials'",
    "worker --study made --processes 0": "processes: should be at least 1, but it is 0",
    "worker --study made --processes -2": "processes: should be at least 1",
    "worker --study made --processes x": "'--processes'",
    "worker --study made --max-trials 0": "max_trials: should be at least 1, but it is 0",
    "worker --study made --max-trials -1": "max_trials: should be at least 1",
    "worker --study made --timeout 0": "timeout: should be seconds above 0",
    "worker --study made --timeout -1": "timeout: should be seconds above 0",
    "worker --study made --timeout nan": "timeout: should be seconds above 0",
    "worker --study made --timeout x": "'--timeout'",
    "worker --study made --device tpu": "no device named 'tpu'; did you mean cpu",
    "worker --study made --device ''": "no device named ''; known: auto, cpu, cuda",
    "worker made": r"unexpected extra argument\(s\) \(made\); see: hpo worker --help",
    "export made --format xml": "format: should be yaml or json, but it is 'xml'",
    "export made -o none/best.yaml": "cannot write none/best.yaml: its folder is missing",
    "export made -o .": "cannot write .",
    "export made --weights none/best.safetensors": "cannot write none/best.safetensors",
    "export made --weights .": "cannot write .",
    "export": "'name'; see: hpo export --help",
    "study": "Missing command; see: hpo study --help",
    "study lst": "No such command 'lst'. Did you mean 'list'",
    "study show": "'name'; see: hpo study show --help",
    "study show made fixed": "unexpected extra argument",
    "study list --jsn": "--jsn .*--json",
    "studdy": "No such command 'studdy'. Did you mean 'study'; see: hpo --help",
    "architectures --verbose": "--verbose",
    "data": "Missing command; see: hpo data --help",
    "data fetch": "'dataset'",
    "data fetch mnits": "no data set named 'mnits'; did you mean mnist",
    "dashboard --port 0": "'--port'",
    "dashboard --port 99999": "'--port'",
    "dashboard --port http": "'--port'",
    "--storage sqlite:///hpo.db study list": "--storage",
}


@pytest.mark.parametrize(("command", "says"), WRONG_COMMANDS.items())
def test_a_wrong_command_line_says_what_is_wrong(command: str, says: str) -> None:
    check_refused(command, INPUT, says)


def test_a_fixed_space_has_no_more_configurations_to_extend_to() -> None:
    check_refused("study extend fixed --trials 2", CONFLICT, "has only 1 configurations")


@pytest.mark.parametrize("flags", ["", "--format json", "-o best.yaml", "--weights best.st"])
def test_there_is_nothing_to_export_before_a_trial_is_complete(flags: str) -> None:
    check_refused(f"export made {flags}", 1, "no trial of study 'made' is complete yet")


WRONG_STORAGES = {
    "foo://x": "cannot store studies in 'foo'; use sqlite, postgresql or mysql",
    "redis://localhost": "cannot store studies in 'redis'",
    "hpo.db": "the storage URL cannot be read; write sqlite:///hpo.db",
    "sqlite:/hpo.db": "the storage URL cannot be read",
    "sqlite://": "cannot share a database in memory; write sqlite:///hpo.db",
    "sqlite:///:memory:": "cannot share a database in memory",
    "sqlite:///none/hpo.db": "none/hpo.db cannot be a database: .* lies in none",
    "sqlite:///.": "cannot be a database: it is a folder",
    "postgresql://hpo:s3cret@127.0.0.1:port/hpo": "the storage URL cannot be read",
}


@pytest.mark.parametrize("command", [CREATE, "study list", "study show made", "worker"])
@pytest.mark.parametrize(("url", "says"), WRONG_STORAGES.items())
def test_a_storage_url_that_names_no_database_is_refused(command: str, url: str, says: str) -> None:
    check_refused(f"{command} --storage {url}", INPUT, says)


@pytest.mark.parametrize("command", [CREATE, "study list", "worker"])
def test_a_file_that_is_no_database_is_left_alone(command: str) -> None:
    check_refused(f"{command} --storage sqlite:///notes.txt", STORAGE, "file is not a database")


def test_tables_of_another_version_are_left_alone() -> None:
    with contextlib.closing(sqlite3.connect("hpo.db")) as connection:
        connection.execute("UPDATE hpo_alembic_version SET version_num = '9999'")
        connection.commit()
    for command in (CREATE, "study show made", "worker"):
        check_refused(command, STORAGE, "at version 9999, this program needs")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, nor can while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
@pytest.mark.parametrize("command", [CREATE, "study list", "worker --study made", "export made"])
def test_a_server_that_does_not_answer_is_named_without_its_password(
    backend: str, command: str, closed_port: int
) -> None:
    url = f"{backend}://hpo:s3cret@127.0.0.1:{closed_port}/hpo"
    before = contents(Path.cwd())
    done = hpo(f"{command} --storage {url}")
    error = the_error(done.out, done.err)
    assert done.code == STORAGE
    assert f"127.0.0.1:{closed_port}" in error
    assert "check that it runs and that --storage (or HPO_STORAGE) is right" in error
    assert "s3cret" not in error
    assert contents(Path.cwd()) == before


MNIST = os.environ.get("HPO_DATA_DIR")
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST's files as links in a folder of the test's own, the one that hpo looks in."""
    if not MNIST:
        pytest.skip("HPO_DATA_DIR names no folder with MNIST")
    own = folder / "mnist"
    own.mkdir()
    for path in Path(MNIST).rglob("*-ubyte.gz"):
        (own / path.name).symlink_to(path)
    monkeypatch.setenv("HPO_DATA_DIR", str(own))
    load.cache_clear()  # what an earlier test has read is not asked for again
    return own


def test_a_missing_file_of_mnist_is_named(mnist: Path) -> None:
    (mnist / LABELS).unlink()
    check_refused(f"{CREATE} --dataset mnist", INPUT, rf"{LABELS} missing in .*HPO_DATA_DIR")


def test_a_truncated_file_of_mnist_is_named(mnist: Path) -> None:
    whole = (mnist / LABELS).read_bytes()
    (mnist / LABELS).unlink()
    (mnist / LABELS).write_bytes(whole[:-100])
    check_refused(f"{CREATE} --dataset mnist", INPUT, f"{LABELS} is damaged, .* replace it")
    check_refused("data fetch mnist", INPUT, f"{LABELS} is damaged")


def test_swapped_files_of_mnist_are_named(mnist: Path) -> None:
    (mnist / IMAGES).rename(mnist / "aside")
    (mnist / LABELS).rename(mnist / IMAGES)
    (mnist / "aside").rename(mnist / LABELS)
    check_refused(f"{CREATE} --dataset mnist", INPUT, f"{IMAGES} holds {LABELS}")


def test_an_empty_folder_is_no_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_DATA_DIR", str(folder))
    check_refused("data fetch mnist", INPUT, f"{IMAGES}, .* missing in .*HPO_DATA_DIR")


REAL: dict[str, tuple[str, int, Mapping[str, str]]] = {
    "usage": ("study create", INPUT, {}),
    "value": (f"{CREATE} --folds 1", INPUT, {}),
    "not found": ("worker --study nope --processes 2", MISSING, {}),
    "storage": ("study list", STORAGE, {"HPO_STORAGE": "sqlite:///notes.txt"}),
    "conflict": (f"{CREATE} --name made", CONFLICT, {}),
}


@pytest.mark.parametrize(("command", "code", "env"), REAL.values(), ids=list(REAL))
def test_the_installed_command_behaves_the_same(
    command: str, code: int, env: Mapping[str, str]
) -> None:
    before = contents(Path.cwd())
    done = run_hpo(*command.split(), env=env)
    the_error(done.stdout, done.stderr)
    assert done.returncode == code
    assert contents(Path.cwd()) == before


def test_a_device_that_this_machine_lacks_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = hpo("worker --study made --device cuda --processes 1")
    assert done.code == INPUT
    assert done.err.endswith("error: device: no CUDA device can be used here; use cpu or auto\n")


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        done = subprocess.run(
            [HPO, "architectures", "--json"],
            stdout=output,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def hear_sigint() -> None:
    """A shell that starts its jobs in the background has them ignore SIGINT, children included."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_command_leaves_without_a_traceback(folder: Path) -> None:
    """The command is stopped where it waits: it reads its recipe from a pipe."""
    os.mkfifo(folder / "pipe")
    command = [str(HPO), *CREATE.split(), "--space", "pipe"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
        cwd=folder,
        preexec_fn=hear_sigint,
    )
    with (folder / "pipe").open("w"):  # waits until the command has opened it too
        process.send_signal(signal.SIGINT)
    # Closing the pipe ends a read that began a moment after the signal.
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
