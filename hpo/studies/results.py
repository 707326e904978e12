"""Whether a complete study has a result, and why test runs failed."""

from collections.abc import Sequence

from hpo.errors import HpoError
from hpo.foreign_code.failures import last_line
from hpo.studies.status import FailedTestRun, Status


def check_has_result(status: Status) -> None:
    """Check that a complete study has a result.

    Raises:
        HpoError: every trial of the study failed, or every test run.
    """
    if not status.is_complete:
        return
    if (best := status.best) is None:
        raise HpoError(
            f"no trial of study {status.name!r} is complete: {status.trials.failed} failed; "
            f"see why with: hpo study trials {status.name}"
        )
    if best.test_error is None:
        reasons = "; ".join(reasons_of(best.failed_test_runs))
        raise HpoError(
            f"no test run of study {status.name!r} is complete: {len(best.failed_test_runs)} "
            f"failed ({reasons}); see: hpo study show {status.name} --json"
        )


def reasons_of(failed: Sequence[FailedTestRun]) -> list[str]:
    """Each different reason of failed test runs on one line, with their seeds."""
    seeds: dict[str, list[str]] = {}
    for run in failed:
        seeds.setdefault(last_line(run.failure) or "", []).append(str(run.seed))
    return [
        f"seed{'' if len(some) == 1 else 's'} {', '.join(some)}: {reason}"
        for reason, some in seeds.items()
    ]
