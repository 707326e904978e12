"""Convolutions and pooling with the results of torch's modules, but faster on a CPU.

Results differ from torch's only by rounding. Shapes: N batch, C channels, H W image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Crop(nn.Module):
    """Crops an image to its upper left corner, to skip pixels that later layers ignore."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, size, size]."""
        return images_NCHW[:, :, : self.size, : self.size]


class WholeConv2d(nn.Conv2d):
    """A convolution whose kernel has the size of its input, so that its output is one vector.

    It is computed as one matrix product, which takes a quarter of the convolution's time on a CPU.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map [N, C, H, W], with the kernel's H and W, to [N, C']."""
        rows = images_NCHW.permute(0, 2, 3, 1).flatten(1)  # no copy in channels-last format
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        return functional.linear(rows, weights, self.bias)


class TileConv2d(nn.Conv2d):
    """A convolution of 5x5 images with a 2x2 kernel, with 40 % of the multiplications.

    It uses Winograd's algorithm with the whole image as one tile (Lavin and Gray, "Fast Algorithms
    for Convolutional Neural Networks", CVPR 2016). Images and kernels are treated as polynomials
    and evaluated at 25 points. In this form the convolution is one matrix product at each point.

    torch's own convolution is used in three cases:

    - below `MIN_CHANNELS` input channels, because the transforms take the time that is saved;
    - for bfloat16, because rounding errors are about five times torch's;
    - on a GPU.
    """

    MIN_CHANNELS = 64

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map [N, C, 5, 5] to [N, C', 4, 4]."""
        if self.in_channels < self.MIN_CHANNELS or not _is_precise_on_cpu(images_NCHW):
            return super().forward(images_NCHW)
        to_points, kernels_to_points, to_outputs = (
            transform.to(images_NCHW.dtype) for transform in TRANSFORMS
        )
        n, c = images_NCHW.shape[:2]
        pixels = images_NCHW.permute(2, 3, 0, 1).reshape(25, -1)
        images = (to_points @ pixels).view(25, n, c)
        weights = self.weight.permute(2, 3, 0, 1).reshape(4, -1)
        kernels = (kernels_to_points @ weights).view(25, self.out_channels, c)
        products = images @ kernels.transpose(1, 2)  # [25, N, C']
        outputs = (to_outputs @ products.flatten(1)).view(16, n, self.out_channels)
        if self.bias is not None:
            outputs = outputs + self.bias
        outputs = outputs.transpose(0, 1).contiguous()  # [N, 16, C']: channels last
        return outputs.view(n, 4, 4, self.out_channels).permute(0, 3, 1, 2)


def _is_precise_on_cpu(images: Tensor) -> bool:
    is_precise = images.dtype in (torch.float32, torch.float64)
    return images.device.type == "cpu" and is_precise and not torch.is_autocast_enabled("cpu")


def _transforms() -> list[Tensor]:
    """The matrices of Winograd's algorithm for 5x5 images and 2x2 kernels.

    The first maps images to values at the 25 points, [25, 25]. The second maps kernels to values
    at the points, [25, 4]. The third maps products of values to outputs, [16, 25].

    In one dimension, a polynomial of degree 4 is determined by its values at four points and its
    highest coefficient. The Kronecker product applies the same transform to rows and columns.
    """
    points = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)

    def evaluation(n: int) -> Tensor:
        """A matrix [5, n] that maps a polynomial's n coefficients to the polynomial's values."""
        highest = torch.eye(n, dtype=torch.float64)[-1:]
        return torch.cat([points[:, None] ** torch.arange(n), highest])

    one_dimensional = torch.linalg.inv(evaluation(5)).T, evaluation(2), evaluation(4).T
    return [torch.kron(transform, transform) for transform in one_dimensional]


TRANSFORMS = _transforms()


class PaddedConv2d(nn.Conv2d):
    """A convolution that is also fast if its padding exceeds half of its square kernel.

    With such a padding, the gradients of torch's own convolution take three times as long on a
    CPU. Here the excess padding is added to the image before the convolution. Border outputs whose
    kernel covers no pixel equal the bias, so they are filled in without a convolution.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H', W'], with H' = H + 2 padding - kernel + 1."""
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        half, n_border = kernel // 2, padding - (kernel - 1)
        if padding <= half:
            return super().forward(images_NCHW)
        if n_border <= 0:
            padded = functional.pad(images_NCHW, (padding - half,) * 4)
            return functional.conv2d(padded, self.weight, self.bias, padding=half)
        inner = functional.conv2d(images_NCHW, self.weight, padding=kernel - 1)
        outputs = functional.pad(inner, (n_border,) * 4)
        return outputs if self.bias is None else outputs + self.bias[:, None, None]


class FirstConv2d(PaddedConv2d):
    """A convolution of one-channel images that is also fast with few output channels.

    With fewer than `VECTOR_WIDTH` output channels, torch's convolution leaves part of a CPU's
    vector registers unused. In this case, the convolution is computed as one matrix product of the
    patches of all images. The outputs lie in memory as [C, H', W', N], so that the pooling that
    follows fills the vector registers with images.
    """

    VECTOR_WIDTH = 16

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """Map [N, 1, H, W] to [N, C, H', W'], with H' = H + 2 padding - kernel + 1."""
        if self.out_channels >= self.VECTOR_WIDTH or images_N1HW.device.type != "cpu":
            return super().forward(images_N1HW)
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        images_HWN = images_N1HW.squeeze(1).permute(1, 2, 0)
        padded_HWN = functional.pad(images_HWN, (0, 0, *(padding,) * 4)).contiguous()
        patches = padded_HWN.unfold(0, kernel, 1).unfold(1, kernel, 1).permute(3, 4, 0, 1, 2)
        outputs = self.weight.flatten(1) @ patches.reshape(kernel**2, -1)
        if self.bias is not None:
            outputs = outputs + self.bias[:, None]
        return outputs.view(self.out_channels, *patches.shape[2:]).permute(3, 0, 1, 2)


class MaxPool2d(nn.MaxPool2d):
    """A max pooling that is faster than torch's on a CPU in two cases.

    - The batch is the innermost dimension in memory, as after `FirstConv2d`.
    - The window is 2x2 and gradients are disabled. The positions of the maxima, which only
      gradients need, are not computed.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C, H // size, W // size]."""
        if self.kernel_size != 2 or torch.is_grad_enabled():
            is_batch_innermost = images_NCHW.stride(0) == 1
            pooled: Tensor = super().forward(
                images_NCHW.transpose(0, 1) if is_batch_innermost else images_NCHW
            )
            return pooled.transpose(0, 1) if is_batch_innermost else pooled
        height, width = (side - side % 2 for side in images_NCHW.shape[2:])
        rows = torch.maximum(images_NCHW[:, :, 0:height:2], images_NCHW[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])
