"""A worker's name is its own, wherever it runs: by it a command ends the leases of dead workers."""

import os
import subprocess
import sys

from hpo.events import worker_name
from hpo.subprocesses.spawn import SPAWN
from storage.engine import Database
from tests.support.sources import ROOT
from tests.support.storage_checks import work_rows
from tests.support.storage_worker import make_plan, must_claim, new_study


END_LEASES = """\
import sys
from hpo.events import worker_name
from storage.engine import Database
from storage.leases import end_leases
db = Database(sys.argv[1])
end_leases(db, worker_name(0, int(sys.argv[2])), "killed")
db.close()
"""
"""What a command does after its worker 0, of that process number, has died."""


def test_a_command_leaves_another_s_worker_its_work(
    sqlite_url: str,
) -> None:
    """As in two containers of one host name, in which process numbers begin at 1."""
    db = Database(sqlite_url, create=True)
    study_id, pid = new_study(db, 1), 7
    must_claim(db, study_id, make_plan(lease_s=3600), worker_name(0, pid))
    before = work_rows(db, study_id)
    subprocess.run([sys.executable, "-c", END_LEASES, sqlite_url, str(pid)], check=True, cwd=ROOT)
    assert work_rows(db, study_id) == before
    db.close()


def test_a_spawned_worker_and_its_command_call_it_the_same() -> None:
    with SPAWN.Pool(1) as pool:
        (pid,) = pool.map(_number, [0])
        assert pool.map(worker_name, [3]) == [worker_name(3, pid)]


def _number(_: int) -> int:
    return os.getpid()
