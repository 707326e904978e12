"""`disk`: generated points of the unit square, classified as inside or outside a disk.

The disk covers half the area of the square. Source: report 002, project 2: points uniform in
[0, 1]^2, disk centred at (0.5, 0.5) with radius 1/sqrt(2 pi).
"""

import hashlib
import math

import numpy as np
import torch

from hpo.datasets.contract import Examples
from hpo.errors import InputError
from hpo.seeds import derive


TASK = "disk"
STEPS = 2**24
"""Grid steps along a side of the square. float32 holds each grid coordinate exactly."""
RADIUS_SQUARED = math.floor(STEPS**2 / (2 * math.pi))
"""Squared radius in squared grid steps.

Integer arithmetic classifies each point identically on every machine, also close to the edge.
"""
MAX_SIZE = 1_000_000
"""Largest number of points in one draw; a larger draw is an `InputError`."""
N_FINGERPRINT = 1000
"""Points of each part that the fingerprint covers."""


def make() -> "Disk":
    """Create the data set; no files are needed."""
    return Disk()


class Disk:
    """A `DataSet` of points (float32 [N, 2]); class 1 is inside the disk, class 0 outside."""

    name = "disk"
    task = TASK
    default_train_size = 1000
    default_test_size = 1000
    max_train_size = MAX_SIZE
    max_test_size = MAX_SIZE

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the grid, the disk and a draw of each part.

        The draws are included because they show how points are generated from a seed.
        """
        digest = hashlib.sha256(f"{STEPS} {RADIUS_SQUARED}".encode())
        for examples in (self.draw_train(N_FINGERPRINT, 0), self.draw_test(N_FINGERPRINT, 0)):
            digest.update(examples.inputs.numpy().astype("<f4").tobytes())
            digest.update(examples.targets.numpy().astype("<i8").tobytes())
        return digest.hexdigest()

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` points for training.

        Raises:
            InputError: `n` is not from 1 to `max_train_size`.
        """
        return self._draw("training", n, seed)

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` test points; no training draw can contain any of them.

        Raises:
            InputError: `n` is not from 1 to `max_test_size`.
        """
        return self._draw("test", n, seed)

    def _draw(self, part: str, n: int, seed: int) -> Examples:
        if not 1 <= n <= MAX_SIZE:
            raise InputError(
                f"{n} {part} points cannot be drawn from {self.name}: "
                f"ask for 1 to {MAX_SIZE} points"
            )
        generator = np.random.default_rng(derive(self.name, part, n, seed))
        steps = generator.integers(0, STEPS, size=(n, 2), dtype=np.int64)
        # The first grid coordinate is even for training points and odd for test points.
        steps[:, 0] += (part == "test") - steps[:, 0] % 2
        from_centre = steps - STEPS // 2
        inside = (from_centre**2).sum(axis=1) <= RADIUS_SQUARED
        inputs = torch.from_numpy((steps / STEPS).astype(np.float32))
        return Examples(inputs, torch.from_numpy(inside.astype(np.int64)))
