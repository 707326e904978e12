"""A computation on a GPU that is recorded once: one launch in place of hundreds of small ones."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


Compute = Callable[..., Sequence[Tensor]]

WARMUPS = 3
"""So often it runs before it is recorded, for the libraries to choose their ways."""


class Recorded:
    """A computation on tensors of fixed shapes, as a CUDA graph.

    It reads and writes always at the same places: results are good until the next call.
    """

    def __init__(self, compute: Compute, arguments: Sequence[Tensor]) -> None:
        """Run it a few times on copies of these arguments, then record it."""
        self._arguments = [each.clone() for each in arguments]
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARMUPS):
                compute(*self._arguments)
        current.wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._results = compute(*self._arguments)

    def __call__(self, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        """Run it on these arguments; the results."""
        for place, argument in zip(self._arguments, arguments, strict=True):
            place.copy_(argument)
        self._graph.replay()
        return self._results
