"""Networks of four reports in their plainest form: layers in sequence, nothing tuned for speed.

`throughput.py` checks that each has as many parameters as the zoo's network of that name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Compared(nn.Module):
    """One encoder for both images of a pair, and a comparator of their digits."""

    def __init__(self, encoder: nn.Module, comparator: nn.Module, reading: nn.Module) -> None:
        super().__init__()
        self.encoder, self.comparator, self.reading = encoder, comparator, reading

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map pairs [N, 2, 14, 14] to the answers [N, 2] and the logits of both digits [N, 10]."""
        left, right = self.encoder(pair[:, :1]), self.encoder(pair[:, 1:])
        read = torch.cat([self.reading(left), self.reading(right)], dim=1)
        return self.comparator(read), left, right


def dense(n_in: int, n_out: int, dropout: float) -> list[nn.Module]:
    """Linear, BatchNorm, ReLU, Dropout."""
    return [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU(), nn.Dropout(dropout)]


def siamese() -> Compared:
    """Report 004, figure A2, with 64, 128, 256 channels."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(128, 256, 2), nn.ReLU(), nn.Flatten(),
        *dense(256, 75, 0.25), *dense(75, 75, 0.25), nn.Linear(75, 10),
    )  # fmt: skip
    comparator = nn.Sequential(*dense(20, 50, 0.25), *dense(50, 10, 0.25), nn.Linear(10, 2))
    return Compared(encoder, comparator, nn.Identity())


def deepconv_aux() -> Compared:
    """Report 001, Table II."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3),
        nn.Conv2d(32, 64, 3, padding=3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 32, 3, padding=3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 16, 5, padding=3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(144, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    return Compared(encoder, nn.Linear(20, 2), nn.ReLU())


def fnn_ws_aux() -> Compared:
    """Report 002, project 1."""
    encoder = nn.Sequential(
        nn.Flatten(), *dense(196, 128, 0.0), *dense(128, 64, 0.0), nn.Linear(64, 10)
    )
    comparator = nn.Sequential(*dense(20, 64, 0.0), nn.Linear(64, 2))
    return Compared(encoder, comparator, nn.Softmax(dim=1))


def direct_al_ws() -> Compared:
    """Report 003, section 1.5."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    comparator = nn.Sequential(
        nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2)
    )
    return Compared(encoder, comparator, nn.Identity())


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A network and the report's hyperparameters.

    `epochs` are those of a trial in the benchmark, enough for a trial to take some seconds.
    """

    make: Callable[[], Compared]
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    aux_weight: float = 1.0
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam

    @property
    def recipe(self) -> dict[str, Any]:
        """The hyperparameters by hpo's names, without the learning rate."""
        return {
            "weight_decay": self.weight_decay,
            "aux_weight": self.aux_weight,
            "optimizer": "adamw" if self.optimizer is torch.optim.AdamW else "adam",
        }


FITS = {
    "siamese": Fit(make=siamese, epochs=8, batch_size=100, learning_rate=0.005),
    "deepconv-aux": Fit(
        make=deepconv_aux,
        epochs=4,
        batch_size=50,
        learning_rate=0.0022,
        weight_decay=0.11,
        aux_weight=0.5,
        optimizer=torch.optim.AdamW,
    ),
    "fnn-ws-aux": Fit(make=fnn_ws_aux, epochs=40, batch_size=64, learning_rate=0.001),
    "direct-al-ws": Fit(make=direct_al_ws, epochs=25, batch_size=100, learning_rate=0.001),
}
