"""The audit of a study as a whole: its row, its trial numbers, its choice."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from storage import digests, values
from storage.audit.rows import StudyRows
from storage.audit.rules import DAY_S, Rules, exceeds
from storage.audit.trials import stored_parameters
from storage.choice import Candidate, best_of
from storage.tables import AnyRow


def wrong_columns(study: AnyRow) -> Iterator[str]:
    """Each column of the study's row must hold a value that hpo writes."""
    for name, column in values.STUDY.items():
        if not column.has(value := study._mapping[name]):
            yield f"the study's {name} is {values.shown(value)}"


def wrong_numbers(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Each trial number that was given out must be once in both sets of tables, others never."""
    n_started, n_trials = rows.study.n_started, rows.study.n_trials
    if n_started > n_trials:
        yield f"{n_started} trials were started, but the study should have {n_trials}"
    yield from _miscounted("Optuna's", [row.number for row in rows.optuna_trials], n_started)
    yield from _miscounted("hpo's", [row.trial for row in rows.trials], n_started)


def _miscounted(whose: str, numbers: list[int], n_started: int) -> Iterator[str]:
    for number, count in sorted(Counter(numbers).items(), key=str):
        if not isinstance(number, int) or not 0 <= number < n_started:
            yield f"trial {values.shown(number)} in {whose} tables was never given out"
        elif count > 1:
            yield f"trial {number} occurs {count} times in {whose} tables"
    present = sorted({n for n in numbers if isinstance(n, int) and 0 <= n < n_started})
    for before, after in zip([-1, *present], [*present, n_started], strict=True):
        first, last = before + 1, after - 1
        if first == last:
            yield f"trial {first} is missing in {whose} tables"
        elif first < last:
            yield f"trials {first} to {last} are missing in {whose} tables"


def wrong_budget(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The number of trials must lie within the limits of the protocol."""
    n_trials = rows.study.n_trials
    if exceeds(n_trials, rules.max_trials):
        yield f"the study should have {n_trials} trials; possible are {rules.max_trials}"
    if rules.min_trials is not None and n_trials < rules.min_trials:
        yield f"the study should have {n_trials} trials; at least {rules.min_trials} are planned"


def wrong_protocol(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The protocol must have the digest that it had when the study was created."""
    digest = rows.study.digest
    if digest is not None and digest != digests.of_protocol(rows.study.protocol):
        yield "the protocol differs from its digest: one of them was changed"


def wrong_times(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The study must not have been created in the future."""
    if rows.study.created_at > rows.now + DAY_S:
        yield "the study was created in the future"


def wrong_directions(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Optuna's study must minimize one objective."""
    directions = [(row.objective, row.direction) for row in rows.directions]
    if directions != [(0, "MINIMIZE")]:
        shown = ", ".join(values.shown(direction) for _, direction in directions) or "none"
        yield f"the directions of Optuna's study are {shown}, not one 'MINIMIZE'"


def wrong_choice(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The choice must be the best trial, made when the search was over."""
    choice, complete = rows.study.choice, rows.complete
    if choice is not None and choice not in complete:
        yield f"the chosen trial {choice} is not complete"
    elif choice is not None and rows.is_searching:
        yield f"trial {choice} is chosen, but the search is not over"
    elif choice is not None:
        candidates = _candidates(rows, rules).values()
        yield from _not_best(f"the chosen trial {choice}", choice, candidates)
    elif not rows.is_searching and _is_chosen(rows):
        yield "there are test runs of a chosen trial, but the choice is missing"


def _is_chosen(rows: StudyRows) -> bool:
    """Whether a test run was claimed after every trial, so that a choice must exist."""
    last_trial = max((row.id for row in rows.trials), default=0)
    return any(row.id > last_trial for row in rows.test_runs)


def wrong_test_runs(rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A test run must be of the trial that was best when it was claimed, and each seed once."""
    for (trial, seed), n in Counter((row.trial, row.part) for row in rows.test_runs).items():
        if n > 1:
            yield f"test run {seed} of trial {trial} occurs {n} times in hpo's tables"
    candidates = _candidates(rows, rules)
    for row in rows.test_runs:
        what = f"test run {row.part} of trial {row.trial}"
        if row.trial not in rows.complete:
            yield f"{what}: that trial is not complete"
            continue
        earlier = [candidate for id_, candidate in candidates.items() if id_ < row.id]
        yield from _not_best(f"{what}: that trial", row.trial, earlier)


def _candidates(rows: StudyRows, rules: Rules) -> dict[int, Candidate]:
    """The complete trials as candidates for the choice, by the id of their work."""
    return {
        row.id: Candidate(row.trial, row.error, _key(row, rows, rules))
        for row in rows.complete.values()
        if isinstance(row.error, float)
    }


def _key(row: AnyRow, rows: StudyRows, rules: Rules) -> Hashable:
    """What identifies the configuration of a trial."""
    trial = rows.optuna_trial.get(row.trial)
    if rules.key is None or trial is None:
        return int(row.trial)
    return rules.key(stored_parameters(trial, rows))


def _not_best(what: str, number: int, candidates: Iterable[Candidate]) -> Iterator[str]:
    """A finding if the trial of this number is not the one to choose from the candidates."""
    best = best_of(candidates)
    if best is not None and best.trial != number:
        yield f"{what} is not the best; trial {best.trial} has the least error"
