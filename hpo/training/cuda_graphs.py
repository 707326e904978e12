"""CUDA graphs: a recorded GPU computation runs with one launch in place of hundreds."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


Compute = Callable[..., Sequence[Tensor]]

WARMUPS = 3
"""Number of runs before the recording, in which CUDA libraries select their algorithms."""


class RecordedGraph:
    """A computation on tensors of fixed shapes, recorded as a CUDA graph.

    A graph always writes to the same memory: each call overwrites the results of the call before.
    """

    def __init__(self, compute: Compute, arguments: Sequence[Tensor]) -> None:
        """Run `compute` `WARMUPS` times on copies of the arguments, then record it."""
        self._arguments = [argument.clone() for argument in arguments]
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
        """Run the computation on arguments of the recorded shapes and return its results."""
        for recorded, argument in zip(self._arguments, arguments, strict=True):
            recorded.copy_(argument)
        self._graph.replay()
        return self._results
