"""The settings in which a study differs from the settings that a user asks for."""

from collections.abc import Iterator

from hpo.protocol import Protocol
from hpo.settings import defaults, settings
from hpo.studies.draft import Draft
from hpo.studies.lifecycle import Study


def differences(study: Study, draft: Draft) -> list[str]:
    """The settings in which a stored study differs from a draft, each in a few words.

    Resolved settings are compared, so that a setting may be left out or given with its default. A
    setting that the study's version did not store counts as left out. The number of trials may be
    that of the study's creation or, after an extension, the present one.
    """
    stored, asked = study.protocol, draft.protocol
    return [
        *_different_data(stored, asked),
        *_different_space(stored, asked),
        *_different_settings(stored, asked),
        *_different_trials(study, draft),
    ]


def _different_data(stored: Protocol, asked: Protocol) -> Iterator[str]:
    if stored.architecture != asked.architecture:
        yield f"architecture is {stored.architecture}, not {asked.architecture}"
    if stored.dataset == asked.dataset and stored.fingerprint != asked.fingerprint:
        yield f"the data of {stored.dataset} were others than those on this machine"


def _different_space(stored: Protocol, asked: Protocol) -> Iterator[str]:
    of_study, wanted = (dict(each.search_space.parameters) for each in (stored, asked))
    names = [name for name in wanted | of_study if of_study.get(name) != wanted.get(name)]
    if names:
        yield f"the search space has another {', '.join(names)}"
    elif _known(stored) != _known(asked):
        yield "the recipe has other known configurations"


def _known(protocol: Protocol) -> list[object]:
    return [protocol.search_space.key_of(known) for known in protocol.known]


def _different_settings(stored: Protocol, asked: Protocol) -> Iterator[str]:
    for name, wanted in asked.frozen.items():
        value = stored.frozen[name]
        is_left_out = name not in stored.model_fields_set and wanted == defaults().get(name)
        if value != wanted and not is_left_out:
            yield f"{settings()[name].flag} is {value}, not {wanted}"


def _different_trials(study: Study, draft: Draft) -> Iterator[str]:
    at_creation = study.protocol.initial_trials
    is_unknown = at_creation is None and draft.n_trials <= study.n_trials
    if is_unknown or draft.n_trials in (at_creation, study.n_trials):
        return
    yield f"trials is {study.n_trials}, not {draft.n_trials}"
