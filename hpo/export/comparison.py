"""Check that an export answers as the network that was trained.

The export is loaded in a new process. In this one, values that the trained network keeps outside of
its weights would still be there.
"""

import json
import random
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypedDict

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor, nn

from hpo import events
from hpo.errors import HpoError
from hpo.export.load import load_allowed
from hpo.export.state import describe
from hpo.registry import user_code
from hpo.subprocesses import fresh
from hpo.training.fit import EVALUATION_BATCH, batch_sizes, images_last, outputs_of, repeatable


EXPORT, WEIGHTS, INPUTS = "export", "weights", "inputs"
ANSWERS, REPLY = "answers", "reply"
"""The files by which this process and the new one speak to each other."""

NOT_LOADED = "the export cannot be loaded in a new process"

TOLERANCE = 1e-4
"""The largest difference of two answers that counts as rounding, as a fraction of their range."""

MAX_NAMED = 3
"""Values that a message names one by one; further ones are only counted."""


class Reply(TypedDict):
    """What the new process found.

    state: what the loaded network keeps (see `state.describe`); None if it cannot be loaded.
    answers: its answers; None if it raises an exception.
    failure: the exception; None if there is none.
    """

    state: dict[str, str] | None
    answers: list[Tensor] | None
    failure: str | None


def check(text: str, weights: bytes, trained: nn.Sequential, inputs: Tensor) -> None:
    """Check that an export, loaded in a new process, answers as the trained network.

    Args:
        text: the export. It names the file `WEIGHTS` for its weights.
        weights: the content of that file.
        trained: the trained network, which standardizes its inputs.
        inputs: examples as the data set draws them.

    Raises:
        HpoError: the export cannot be loaded, or its answers differ; the message says what is not
            saved. Or the trained network's own answers change from call to call.
    """
    events.inform("checking_export", "comparing the export with the trained network")
    with user_code("the trained network cannot be examined"):
        state = describe(trained[1])  # before the network can change it while it answers
        expected = answers(trained, inputs)
        is_fickle = not are_equal(expected, answers(trained, inputs))
        changed = unsaved_names(state, describe(trained[1]), saved=())
    reply = _ask(text, weights, inputs)
    if reply["answers"] is not None and are_equal(expected, reply["answers"]):
        if not is_fickle:
            return
        reason = f": answering changes {_joined(changed)}" if changed else ""
        raise HpoError(
            "the trained network's answers to the same inputs differ from call to call, so that no "
            f"export answers as it was measured{reason}"
        )
    unsaved = unsaved_names(state, reply["state"] or state, saved=trained[1].state_dict())
    raise HpoError(_explanation(reply, unsaved, is_fickle=is_fickle))


def answers(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """All outputs of a network for all inputs, without dropout.

    A network that draws random numbers when it answers draws the same ones in each call.
    """
    model.eval()
    with repeatable(), _seeded(), torch.inference_mode():
        sizes = batch_sizes(len(inputs), EVALUATION_BATCH)  # none has one example, as in training
        pieces = [outputs_of(model, piece.clone()) for piece in torch.split(inputs, sizes)]
    fields = [field for field in zip(*pieces, strict=True) if field[0] is not None]
    return [torch.cat(field) for field in fields]


@contextmanager
def _seeded() -> Iterator[None]:
    """A context in which the random generators of torch, NumPy and Python start from one seed."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


def are_equal(expected: Sequence[Tensor], found: Sequence[Tensor]) -> bool:
    """Whether two networks gave the same answers, except for rounding."""
    pairs = zip(expected, found, strict=False)
    return len(expected) == len(found) and all(_is_equal(*pair) for pair in pairs)


def _is_equal(expected: Tensor, found: Tensor) -> bool:
    if (expected.shape, expected.dtype) != (found.shape, found.dtype):
        return False
    exact = expected.double()
    finite = exact.nan_to_num(0.0, 0.0, 0.0)
    spread = (finite.amax(dim=0) - finite.amin(dim=0)).max()
    precision = torch.finfo(expected.dtype).eps if expected.is_floating_point() else 0.0
    tolerance = float(TOLERANCE * spread + 8 * precision * finite.abs().max())
    return torch.allclose(found.double(), exact, rtol=0.0, atol=tolerance, equal_nan=True)


def _ask(text: str, weights: bytes, inputs: Tensor) -> Reply:
    """Let a new process load the export and answer."""
    try:
        with TemporaryDirectory(prefix="hpo-") as name:
            folder = Path(name)
            (folder / EXPORT).write_text(text, encoding="utf-8")
            (folder / WEIGHTS).write_bytes(weights)
            _write_tensors(folder / INPUTS, [inputs])
            fresh.call(f"{__name__}:answer", name, failure=NOT_LOADED)
            return _read_reply(folder)
    except OSError as error:
        raise HpoError(
            f"the export cannot be compared with the trained network: {error.strerror} "
            f"({error.filename}); free room for temporary files"
        ) from error


def _write_tensors(file: Path, tensors: Sequence[Tensor]) -> None:
    named = {str(number): tensor.contiguous() for number, tensor in enumerate(tensors)}
    file.write_bytes(save(named))


def _read_tensors(file: Path) -> list[Tensor]:
    tensors = load_tensors(file.read_bytes())
    return [tensors[str(number)] for number in range(len(tensors))]


def _write_reply(folder: Path, reply: Reply) -> None:
    _write_tensors(folder / ANSWERS, reply["answers"] or [])
    facts = reply | {"answers": None}
    (folder / REPLY).write_text(json.dumps(facts), encoding="utf-8")


def _read_reply(folder: Path) -> Reply:
    if not (folder / REPLY).exists():
        raise HpoError(f"{NOT_LOADED}: the process ended without an answer")
    reply: Reply = json.loads((folder / REPLY).read_text(encoding="utf-8"))
    reply["answers"] = _read_tensors(folder / ANSWERS) or None
    return reply


def answer(name: str) -> None:
    """Load the export in a folder and write a `Reply`; the main function of the new process."""
    # A value that is drawn anew must not be equal by chance: torch starts with a fixed seed.
    torch.seed()
    folder, reply = Path(name), Reply(state=None, answers=None, failure=None)
    try:
        model = load_allowed(folder / EXPORT)
        images_last(model)  # as in training: in another order of memory, sums round differently
        reply["state"] = describe(model[1])  # type: ignore[index]
        (inputs,) = _read_tensors(folder / INPUTS)
        reply["answers"] = answers(model, inputs)
    except (Exception, SystemExit) as error:  # noqa: BLE001  a network may raise anything
        kind = "" if isinstance(error, HpoError) else f"{type(error).__name__}: "
        reply["failure"] = f"{kind}{error}".replace(f"{folder}/", "")
    _write_reply(folder, reply)


def unsaved_names(
    trained: Mapping[str, str], loaded: Mapping[str, str], saved: Container[str]
) -> list[str]:
    """The names of values that the loaded network lacks or has otherwise.

    Values of the network itself come first, and among them tensors.
    """
    names = [
        name
        for name in {**trained, **loaded}
        if trained.get(name) != loaded.get(name) and name not in saved
    ]
    return sorted(names, key=lambda n: (":" in n, not trained.get(n, "").startswith("tensor")))


def _explanation(reply: Reply, unsaved: Sequence[str], *, is_fickle: bool) -> str:
    if reply["state"] is None:
        return f"{NOT_LOADED}: {reply['failure']}"
    failure = reply["failure"]
    effect = "answers otherwise than the trained one" if failure is None else f"fails ({failure})"
    if unsaved:
        reason = f"{_listed(unsaved)} not saved; keep such values as parameters or buffers"
        reason += " (register_buffer)"
    elif is_fickle:
        reason = "its answers to the same inputs differ from call to call"
    else:
        reason = "its answers depend on something that is no parameter, buffer or attribute of it"
    return f"loaded in a new process, the exported network {effect}: {reason}"


def _listed(names: Sequence[str]) -> str:
    return f"{_joined(names)} {'is' if len(names) == 1 else 'are'}"


def _joined(names: Sequence[str]) -> str:
    n_more = len(names) - MAX_NAMED
    more = [f"{n_more} more"] if n_more > 0 else []
    *others, last = [*names[:MAX_NAMED], *more]
    return f"{', '.join(others)} and {last}" if others else last
