"""Check whether this machine can run studies: versions, cores, device, storage, data sets."""

from collections.abc import Iterator
from contextlib import closing

from hpo import machine
from hpo.datasets import datasets, is_here, load_dataset
from hpo.errors import HpoError
from hpo.machine import count_cores
from hpo.operations.databases import Finding, findings_of
from hpo.studies.lifecycle import all_studies, open_database, storage_url
from storage import health
from storage.errors import EmptyStorageError


def examine(storage: str | None = None) -> list[Finding]:
    """Check everything that a study needs on this machine; a bad finding says what to do."""
    return [*_versions(), _cores(), _device(), *_storage(storage), *_data()]


def _versions() -> Iterator[Finding]:
    words = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
    yield Finding(what="versions", verdict="good", words=words)


def _cores() -> Finding:
    n = count_cores()
    return Finding(what="cores", verdict="good", words=f"{n}: hpo worker starts {n} processes")


def _device() -> Finding:
    import torch

    words = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU: the CPU is used"
    return Finding(what="device", verdict="good", words=words)


def _storage(storage: str | None) -> Iterator[Finding]:
    try:
        yield from findings_of(health.examine(storage_url(storage)))
        with closing(open_database(storage)) as db:
            readable, unreadable = all_studies(db)
        n_studies = len(readable) + len(unreadable)
        words = f"{db.name} holds {n_studies} {'study' if n_studies == 1 else 'studies'}"
        yield Finding(what="storage", verdict="good", words=words)
        for study in unreadable:
            yield Finding(what=f"study {study.name}", verdict="bad", words=str(study.error))
    except EmptyStorageError as error:
        yield Finding(what="storage", verdict="note", words=str(error))
    except HpoError as error:
        yield Finding(what="storage", verdict="bad", words=str(error))


def _data() -> Iterator[Finding]:
    for name in datasets:
        if not is_here(name):
            words = f"not on this machine yet; fetch it with: hpo data fetch {name}"
            yield Finding(what=f"data {name}", verdict="note", words=words)
            continue
        try:
            data = load_dataset(name)
            words = f"up to {data.max_train_size} training and {data.max_test_size} test examples"
            yield Finding(what=f"data {name}", verdict="good", words=words)
        except HpoError as error:
            yield Finding(what=f"data {name}", verdict="bad", words=str(error))
