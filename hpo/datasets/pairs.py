"""Pairs of digit images, classified by whether the first digit is at most the second.

Shapes: I images of a pool, H x W pixels as stored, N pairs of a draw.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hpo.datasets.contract import Examples
from hpo.errors import InputError
from hpo.seeds import derive


TASK = "digit pairs"


@dataclass(frozen=True, eq=False)
class Pool:
    """Images as stored (uint8 [I, H, W]) and their digits (uint8 [I])."""

    images: Tensor
    digits: Tensor

    @property
    def max_pairs(self) -> int:
        """Largest number of pairs in one draw, which uses each image at most once."""
        return len(self.digits) // 2


@dataclass(frozen=True, eq=False)
class PairDataSet:
    """A `DataSet` of digit pairs.

    `prepare` converts stored images (uint8 [I, H, W]) to float32 [I, 14, 14] from 0 to 1. Only
    drawn images are converted, for two reasons: a pool stays small and quick to load, and the
    fingerprint covers integers, so that it is the same on every machine.
    """

    name: str
    train_pool: Pool
    test_pool: Pool
    prepare: Callable[[Tensor], Tensor]
    default_train_size: int
    default_test_size: int
    task: str = TASK

    @property
    def max_train_size(self) -> int:
        """Largest number of pairs in one training draw."""
        return self.train_pool.max_pairs

    @property
    def max_test_size(self) -> int:
        """Largest number of pairs in one test draw."""
        return self.test_pool.max_pairs

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the images and digits of both pools as stored."""
        return self._fingerprint

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` pairs of training images, each image used once.

        Raises:
            InputError: `n` is not from 1 to `max_train_size`.
        """
        return self._draw("training", self.train_pool, n, seed)

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` pairs of test images, each image used once.

        Raises:
            InputError: `n` is not from 1 to `max_test_size`.
        """
        return self._draw("test", self.test_pool, n, seed)

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for pool in (self.train_pool, self.test_pool):
            for array in (pool.images, pool.digits):
                digest.update(f"{array.dtype}{tuple(array.shape)}".encode())
                digest.update(array.contiguous().numpy().data)
        return digest.hexdigest()

    def _draw(self, part: str, pool: Pool, n: int, seed: int) -> Examples:
        if not 1 <= n <= pool.max_pairs:
            raise InputError(
                f"{n} {part} pairs cannot be drawn from {self.name}: "
                f"ask for 1 to {pool.max_pairs} (each image is used once)"
            )
        generator = np.random.default_rng(derive(self.name, part, n, seed))
        drawn = torch.from_numpy(generator.permutation(len(pool.digits))[: 2 * n])
        images = self.prepare(pool.images[drawn])
        digits = pool.digits[drawn].long().reshape(n, 2)
        targets = (digits[:, 0] <= digits[:, 1]).long()
        return Examples(images.reshape(n, 2, *images.shape[1:]), targets, digits)
