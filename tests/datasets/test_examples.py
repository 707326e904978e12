"""Examples of a data set are ordinary dense tensors on the CPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hpo.datasets import Examples
from hpo.datasets.draws import check_examples
from hpo.errors import InputError


def nested() -> torch.Tensor:
    return torch.nested.nested_tensor([torch.rand(3), torch.rand(3)])


def quantized() -> torch.Tensor:
    return torch.quantize_per_tensor(torch.rand(2, 3), 0.1, 0, torch.quint8)


ODD: dict[str, Callable[[], torch.Tensor]] = {
    "sparse": lambda: torch.eye(2).to_sparse(),
    "sparse_csr": lambda: torch.eye(2).to_sparse_csr(),
    "nested": nested,
    "quantized": quantized,
    "complex": lambda: torch.eye(2) * 1j,
    "on the device meta": lambda: torch.empty(2, 3, device="meta"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("field", ["inputs", "targets", "auxiliary"])
def test_an_odd_tensor_is_refused(field: str, kind: str) -> None:
    ordinary: dict[str, Any] = {"inputs": torch.eye(2), "targets": torch.tensor([0, 1])}
    examples = Examples(**ordinary | {field: ODD[kind]()})
    with pytest.raises(InputError, match=rf"returns {field} .*{kind}.*dense tensor on the CPU"):
        check_examples("it", examples, 2)


@pytest.mark.parametrize("field", ["inputs", "targets"])
def test_a_single_number_is_refused(field: str) -> None:
    ordinary = {"inputs": torch.eye(2), "targets": torch.tensor([0, 1])}
    with pytest.raises(InputError, match=f"returns .*0 {field}.* not 2"):
        check_examples("it", Examples(**ordinary | {field: torch.tensor(1)}), 2)
