"""Code of others is used only where the user has named its module: the rule and the trust file."""

import importlib
import json
import os
import stat
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from hpo.architectures import architectures
from hpo.datasets import load_dataset
from hpo.errors import InputError
from hpo.foreign_code import trust, trust_file
from hpo.foreign_code.trust_file import Record
from hpo.subprocesses.spawn import SPAWN
from tests.support.own_code import POINTS, write


NET = """\
import functools
import os
import subprocess
from os import system
from pathlib import Path
import own_helper
from own_helper import helped
from torch import nn
from hpo import Architecture
def build(width=4):
    return nn.Linear(3, width)
class Net(nn.Linear):
    def __init__(self, width=4):
        super().__init__(3, width)
PARTIAL = functools.partial(build, width=5)
RUN = functools.partial(functools.partial(subprocess.run), shell=True)
NETWORK = Architecture(build=build)
SETTINGS = {}
"""
MARKED = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
FILES = {
    "own_net.py": MARKED + NET,
    "own_helper.py": "def helped(width=4): ...\n",
    "own_pkg/__init__.py": "from own_pkg.nets import build\n",
    "own_pkg/nets.py": "def build(width=4): ...\n",
    "own_pkg/other.py": "def build(width=4): ...\n",
    "own_space/nets.py": "def build(width=4): ...\n",
    "own_points.py": POINTS,
}
URL = make_url("sqlite:////data/hpo.db")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder with the user's modules, none of which is imported; no trust file."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("HPO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(write(tmp_path / "mine", FILES))
    yield tmp_path / "mine"
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def by_flag(*modules: str) -> AbstractContextManager[None]:
    return trust.decided(trust.decide(modules))


def named(*names: str, url: str = "sqlite:////data/hpo.db") -> str | None:
    """What `hpo study create` does with these names: look them up and record them."""
    with trust.own_word() as modules:
        for name in names:
            architectures.get(name)
    return trust.record(make_url(url), modules)


def forget() -> None:
    """As in another process: none of the user's modules is imported or on the path."""
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]
    sys.path[:] = [entry for entry in sys.path if "mine" not in entry]


def test_a_module_that_nobody_named_is_not_imported(folder: Path) -> None:
    with pytest.raises(InputError, match=r"you have not trusted the module own_net.*--trust own_n"):
        architectures.get("own_net:build")
    assert not (folder / "own_net.ran").exists()


def test_the_users_own_word_holds_for_its_database_alone() -> None:
    named("own_net:build")
    forget()
    with trust.decided(trust.decide().of(URL)):
        assert architectures.get("own_net:build").hyperparameters == {"width": 4}
    other = trust.decide().of(make_url("sqlite:////data/other.db"))
    with (
        trust.decided(other),
        pytest.raises(InputError, match=r"this database; .*--trust own_"),
    ):
        architectures.get("own_net:build")


def test_an_export_loads_by_the_records_of_all_databases() -> None:
    named("own_net:build")
    assert architectures.get("own_net:build").name == "own_net:build"


@pytest.mark.parametrize("name", ["own_net:build", "own_net:Net", "own_net:PARTIAL"])
def test_a_module_named_by_an_option_is_used(name: str) -> None:
    with by_flag("own_net"):
        assert "width" in architectures.get(name).hyperparameters


def test_the_variable_names_several_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_TRUST", "own_points, own_net")
    assert architectures.get("own_net:NETWORK")
    assert load_dataset("own_points:Points").max_train_size == 60


def test_no_foreign_code_ignores_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    named("own_net:build")
    monkeypatch.setenv("HPO_TRUST", "own_net, not a name")
    decision = trust.decide(["own_net"], foreign_code=False)
    with trust.decided(decision), pytest.raises(InputError, match="is not part of hpo"):
        architectures.get("own_net:build")


LEADS_OUT = {
    "own_net:os.system": "os belongs to Python's standard library",
    "own_net:functools.partial": "functools belongs to Python's standard library",
    "own_net:RUN": "subprocess belongs to Python's standard library",
    "own_net:system": "posix belongs to Python's standard library",
    "own_net:Path.home": "pathlib belongs to Python's standard library",
    "own_net:SETTINGS.update": "builtins belongs to Python's standard library",
    "own_net:PARTIAL.func.__globals__": "__globals__ is internal to Python",
    "own_net:__loader__.get_data": "__loader__ is internal to Python",
    "own_net:nn.Linear": "not trusted the module torch.nn ",
    "own_net:Net.load_state_dict": "not trusted the module torch.nn.modules.module ",
    "own_net:helped": "not trusted the module own_helper in .*--trust own_helper",
    "own_net:own_helper.helped": "not trusted the module own_helper",
    "hpo:run_worker": "not trusted the module hpo ",
    "timeit:timeit": "timeit belongs to Python's standard library",
}


@pytest.mark.parametrize(("name", "says"), LEADS_OUT.items(), ids=list(LEADS_OUT))
def test_a_name_does_not_lead_out_of_the_trusted_module(name: str, says: str) -> None:
    with by_flag("own_net"), pytest.raises(InputError, match=says) as refused:
        architectures.get(name)
    assert len(str(refused.value).splitlines()) == 1


def test_what_the_users_own_word_leads_to_is_recorded_too() -> None:
    named("own_net:helped")
    forget()
    with trust.decided(trust.decide().of(URL)):
        assert architectures.get("own_net:helped")


@pytest.mark.parametrize("name", ["timeit:timeit", "os.path:join", "own_net:system"])
def test_not_even_the_users_own_word_trusts_the_standard_library(name: str) -> None:
    with pytest.raises(InputError, match="belongs to Python's standard library"):
        named(name)
    assert not trust_file.location().exists()


def test_trusting_a_package_trusts_its_modules() -> None:
    with by_flag("own_pkg"):
        assert architectures.get("own_pkg:build")
        assert architectures.get("own_pkg.other:build")
    with by_flag("own_pkg.nets"), pytest.raises(InputError, match=r"not trusted .* own_pkg.other "):
        architectures.get("own_pkg.other:build")


def test_a_package_without_an_init_file_is_found_again() -> None:
    named("own_space.nets:build")
    forget()
    assert architectures.get("own_space.nets:build")


@pytest.mark.parametrize(
    "wrong", ["os", "mynet.py", "mynet:build", "", "my net", "a..b"], ids=lambda name: name or "-"
)
def test_what_is_no_modules_name_is_refused(wrong: str) -> None:
    with pytest.raises(InputError, match=r"^trust: "):
        trust.decide([wrong])


def test_a_wrong_name_in_the_variable_is_told_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_TRUST", "own_net,./own_points")
    with pytest.raises(InputError, match=r"^HPO_TRUST: '\./own_points' is not a module's name"):
        trust.decide()


def test_a_module_in_a_zip_file_is_recorded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own_zip.zip", "w") as file:
        file.writestr("own_zipped.py", "def build(width=4): ...\n")
    sys.path.append(str(tmp_path / "own_zip.zip"))
    named("own_zipped:build")
    assert trust_file.records(None)[0].folder == str(tmp_path / "own_zip.zip")
    del sys.modules["own_zipped"]
    with trust.decided(trust.decide().of(URL)):
        assert architectures.get("own_zipped:build")


@pytest.mark.parametrize("replacement", ["Odd()", "types.SimpleNamespace(build=build, __file__=5)"])
def test_a_module_that_replaced_itself_is_recorded(folder: Path, replacement: str) -> None:
    (folder / "own_odd.py").write_text(
        "import sys, types\n"
        "def build(width=4): ...\n"
        "class Odd:\n"
        "    build = staticmethod(build)\n"
        "    __file__ = property(lambda self: 1 / 0)\n"
        f"sys.modules[__name__] = {replacement}\n"
    )
    named("own_odd:build")
    assert [record.module for record in trust_file.records(None)] == ["own_odd"]


def test_a_recorded_module_is_found_from_any_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("own_net:build")
    forget()
    (folder / "own_net.py").write_text(NET.replace("width=4", "width=7"))  # changed, but the user's
    monkeypatch.chdir(write(tmp_path / "elsewhere", {"own_net.py": "def build(strange=1): ..."}))
    assert architectures.get("own_net:build").hyperparameters == {"width": 7}


def test_a_module_of_the_same_name_elsewhere_is_not_trusted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named("own_net:build")
    forget()
    other = write(tmp_path / "other", {"own_net.py": MARKED + "def build(strange=1): ..."})
    monkeypatch.syspath_prepend(other)
    with pytest.raises(InputError, match=rf"in {other} \(you trusted it in {folder}\)"):
        architectures.get("own_net:build")
    assert not (other / "own_net.ran").exists()


def test_a_package_that_lies_in_the_working_folder_is_not_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {
        "METADATA": "Metadata-Version: 2.1\nName: own\nVersion: 1\n",
        "entry_points.txt": "[hpo.architectures]\nown-offer = own_net:build\n",
    }
    write(folder / "own-1.dist-info", info)
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(InputError, match="no architecture named 'own-offer'"):
        architectures.get("own-offer")
    monkeypatch.chdir(folder.parent)
    assert architectures.get("own-offer")


def test_a_reloaded_module_is_seen(folder: Path) -> None:
    with by_flag("own_net", "own_points"):
        before = architectures.get("own_net:build"), load_dataset("own_points:Points")
        assert (architectures.get("own_net:build"), load_dataset("own_points:Points")) == before
        (folder / "own_net.py").write_text(NET.replace("width=4", "depth_of_it=4"))
        (folder / "own_points.py").write_text(POINTS.replace("= 60", "= 6000"))
        for name in ("own_net", "own_points"):
            importlib.reload(sys.modules[name])
        assert architectures.get("own_net:build").hyperparameters == {"depth_of_it": 4}
        assert load_dataset("own_points:Points").max_train_size == 6000


@pytest.mark.parametrize(
    ("name", "instead"),
    [("mine.mlp", "mine:mlp"), ("lib.nets.Small", "lib.nets:Small"), ("mine.py", "mine:build")],
)
def test_a_name_with_a_dot_for_the_colon_is_corrected(name: str, instead: str) -> None:
    with pytest.raises(InputError, match=f"no architecture named .* with a colon: {instead}$"):
        architectures.get(name)


class TestFile:
    def test_it_holds_module_path_and_digest_for_its_owner_alone(self, folder: Path) -> None:
        named("own_net:build")
        path = trust_file.location()
        found = json.loads(path.read_text())
        (record,) = found["databases"]["sqlite:////data/hpo.db"]
        assert (record["module"], record["file"]) == ("own_net", str(folder / "own_net.py"))
        assert len(record["sha256"]) == 64
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_server_is_named_without_user_and_password(self) -> None:
        url = make_url("postgresql+psycopg://me:secret@db.host:6000/hpo?password=secret")
        assert trust.database_name(url) == "postgresql://db.host:6000/hpo"

    def test_no_record_is_lost_by_writing_at_the_same_time(self) -> None:
        modules = [f"module_{i}" for i in range(20)]

        def add(module: str) -> None:
            trust_file.add("a", [Record(module=module, file=None, sha256=None)])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, modules))
        assert sorted(record.module for record in trust_file.records("a")) == sorted(modules)

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{", '{"version": 2, "databases": {}}', '{"version": 1, "databases": [1]}',
         '{"version": 1, "databases": {"a": [{"module": "m", "file": 1, "sha256": null}]}}',
         '{"version": 1, "databases": {"a": [{"module": "m.n.o", "file": "/m.py", "sha256": ""}]}}',
         '{"version": 1, "databases": {"a": [{"module": "m", "file": "m.py", "sha256": ""}]}}',
         "[" * 100_000, "\0"],
        ids=range(10),
    )  # fmt: skip
    def test_a_damaged_file_is_told_and_left_alone(self, content: str, folder: Path) -> None:
        path = trust_file.location()
        path.parent.mkdir()
        path.write_text(content)
        path.chmod(0o600)
        with pytest.raises(InputError, match=r"the trust file .*trust\.json is damaged"):
            named("own_net:build")
        assert path.read_text() == content
        assert not (folder / "own_net.ran").exists()
        with by_flag("own_net"):  # a flag needs no file
            assert architectures.get("own_net:build")

    def test_a_file_that_others_can_change_is_refused(self) -> None:
        named("own_net:build")
        trust_file.location().chmod(0o666)
        with pytest.raises(InputError, match=r"other users can change .*chmod 600"):
            architectures.get("own_net:build")

    def test_a_file_that_cannot_be_written_is_a_warning(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("HPO_CONFIG_DIR", str(tmp_path / "file" / "config"))
        warning = named("own_net:build") or ""
        assert "cannot write the trust file" in warning
        assert "start workers with --trust own_net" in warning


def test_a_child_process_inherits_the_decision_and_no_working_folder(folder: Path) -> None:
    """As it starts, a new Python process would import these files before anything else."""
    shadows = ("random", "socket", "pickle", "selectors", "signal", "threading", "warnings")
    for name in shadows:
        (folder / f"{name}.py").write_text(f"open('ran', 'a').write('{name} ')")
    reader, writer = SPAWN.Pipe(duplex=False)
    with trust.decided(trust.decide(["own_net"])):
        child = SPAWN.Process(target=_tell, args=(writer,))
        child.start()
    writer.close()
    assert reader.recv() == (("own_net",), os.environ.get("PYTHONSAFEPATH"))
    child.join()
    assert not (folder / "ran").exists()


def _tell(writer: Connection) -> None:
    writer.send((trust.current().named, os.environ.get("PYTHONSAFEPATH")))
