"""The trainable weights of a network as one vector, so that an optimizer makes one call a step.

With a call for each weight the overhead is a tenth of a small network's training step on a CPU.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


ALIGNED = 16
"""A weight begins at a multiple of so many numbers: float32 then lies at the 64 bytes that torch
gives to a tensor of its own, and matrix products read it as fast."""


class OneVector(nn.Module):
    """A vector for each kind of weight (dtype and device), in general one, to be optimized.

    The weights, as before in shape and strides, and their gradients become views of it. What is
    between them is 0 and stays 0. A weight that gets no gradient in a step has one of zeros.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._parts: list[tuple[nn.Parameter, Tensor, Tensor]] = []
        weights = [each for each in network.parameters() if each.requires_grad]
        kinds = dict.fromkeys((each.dtype, each.device) for each in weights)
        self.vectors = nn.ParameterList(
            self._laid_out([each for each in weights if (each.dtype, each.device) == kind])
            for kind in kinds
        )

    def take_in(self) -> None:
        """Copy what a network has put in the place of a weight or of a gradient into the vectors.

        To be called between backward pass and optimizer. Networks that limit their weights assign
        `weight.data` in their forward pass, which makes it a tensor of its own again.
        """
        for weight, value, gradient in self._parts:
            if weight.data_ptr() != value.data_ptr():
                value.copy_(weight.data)
                weight.data = value
            if weight.grad is not gradient:
                gradient.zero_() if weight.grad is None else gradient.copy_(weight.grad)
                weight.grad = gradient

    def _laid_out(self, weights: Sequence[nn.Parameter]) -> nn.Parameter:
        """Weights of a kind as a vector, and that of their gradients."""
        like, ends = weights[0], [0]
        for weight in weights:
            ends.append(ends[-1] + -(-weight.numel() // ALIGNED) * ALIGNED)
        vector = nn.Parameter(torch.zeros(ends[-1], dtype=like.dtype, device=like.device))
        vector.grad = torch.zeros_like(vector)
        for weight, begin in zip(weights, ends, strict=False):
            layout = (weight.shape, torch.empty_like(weight).stride(), begin)
            value, gradient = vector.data.as_strided(*layout), vector.grad.as_strided(*layout)
            value.copy_(weight.data)
            weight.data, weight.grad = value, gradient
            self._parts.append((weight, value, gradient))
        return vector
