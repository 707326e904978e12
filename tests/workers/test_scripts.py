"""Workers that a script, stdin or a notebook starts: children do not run the script again."""

import subprocess
import sys
from multiprocessing import spawn
from pathlib import Path
from types import ModuleType

import pytest

from hpo.subprocesses.spawn import spawning
from tests.support.commands import TIMEOUT_S, clean_environment
from tests.support.tiny_studies import TINY


SCRIPT = f"""
import hpo
hpo.create_study("fnn", trials=1, name="s", storage="sqlite:///a.db", **{TINY})
hpo.run_worker("s", processes=2, storage="sqlite:///a.db")
print("state", hpo.show_study("s", storage="sqlite:///a.db").state)
"""


def test_a_child_does_not_import_the_main_script(monkeypatch: pytest.MonkeyPatch) -> None:
    main_module = ModuleType("__main__")
    main_module.__file__ = "script.py"
    monkeypatch.setitem(sys.modules, "__main__", main_module)
    with spawning():
        sent = spawn.get_preparation_data("child")
    assert [key for key in sent if key.startswith("init_main")] == []
    assert sys.modules["__main__"] is main_module
    assert any(key.startswith("init_main") for key in spawn.get_preparation_data("child"))


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["file", "stdin", "argument"])
def test_a_script_without_a_guard_starts_workers(how: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"file": ["script.py"], "stdin": ["-"], "argument": ["-c", SCRIPT]}[how]
    done = subprocess.run(
        [sys.executable, *arguments],
        input=SCRIPT,
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "state complete\n", "")
