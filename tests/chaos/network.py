"""The network and the data that studies under faults are of: they take time, hardly any work.

An error tells of which configuration it is and who measured it: it is the parameter x of the
configuration plus a mark of the process.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from hpo import Examples


MARK = 1e-12
"""How much a process adds to the errors that it measures, times its number."""

_sleeps = True

Harm = Literal["none", "kill", "fail"]


def error_of(x: float, pid: int) -> float:
    """The error that the process measures for the configuration."""
    return float(torch.tensor(x)) + pid * MARK


@contextmanager
def wide_awake() -> Iterator[None]:
    """Networks of this process take no time: checks of a new study need not wait for them."""
    global _sleeps
    _sleeps = False
    yield
    _sleeps = True


class Constant(nn.Module):
    """Always says x; an epoch of training takes `pace_s` seconds, nearly all of them asleep.

    Where x lies between `above` and `below` it does harm in training: it kills its process, or it
    fails, with a loss that is no number in the lower half and an exception in the upper.
    """

    def __init__(
        self,
        x: float = 1.0,
        pace_s: float = 0.0,
        harm: Harm = "none",
        above: float = 0.45,
        below: float = 0.5,
    ) -> None:
        super().__init__()
        self._x, self._pace_s = x, pace_s
        self._harm = harm if above < x < below else "none"
        self._is_high = x >= (above + below) / 2
        self.line = nn.Linear(3, 1)

    def forward(self, points: Tensor) -> Tensor:
        """[N, 3] to the numbers [N]."""
        numbers: Tensor = 0 * self.line(points)[:, 0] + self._x
        if self.training:
            threading.Event().wait(self._pace_s if _sleeps else 0.0)
            numbers = self._do_harm(numbers)
        return numbers

    def _do_harm(self, numbers: Tensor) -> Tensor:
        if self._harm == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._harm == "fail" and self._is_high:
            raise RuntimeError(f"the network cannot stand {self._x}")
        return numbers * torch.nan if self._harm == "fail" else numbers


class Points:
    """Points with numbers to be said of them."""

    name, task = "chaos", "numbers of points"
    default_train_size = max_train_size = 20
    default_test_size = max_test_size = 20

    def fingerprint(self) -> str:
        """They never change."""
        return "points"

    def draw_train(self, n: int, seed: int) -> Examples:
        """Inputs float32 [n, 3], targets float32 [n]."""
        points = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
        return Examples(points, points[:, 0])

    def draw_test(self, n: int, seed: int) -> Examples:
        """The same from other numbers."""
        return self.draw_train(n, seed + 1)

    def error(self, answers: Tensor, targets: Tensor) -> float:
        """What the network always says, with the mark of this process."""
        return error_of(float(answers[0]), os.getpid())
