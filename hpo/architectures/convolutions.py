"""Convolutions and poolings that give what torch's give, in less time on a CPU.

Shapes: N batch, C channels, H W image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Crop(nn.Module):
    """Keeps the upper left corner of an image: what later layers drop need not be computed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, size, size]."""
        return images_NCHW[:, :, : self.size, : self.size]


class WholeConv2d(nn.Conv2d):
    """A convolution whose kernel covers its whole input, so that one vector comes out.

    Computed as one matrix product: on a CPU that takes a quarter of the convolution's time.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W], with H and W those of the kernel, to [N, C']."""
        rows = images_NCHW.permute(0, 2, 3, 1).flatten(1)  # no copy where channels come last
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        return functional.linear(rows, weights, self.bias)


class TileConv2d(nn.Conv2d):
    """A convolution of images of 5x5 with a kernel of 2x2, in four tenths of the multiplications.

    Winograd's way, the whole image as one tile (Lavin and Gray, "Fast Algorithms for Convolutional
    Neural Networks", CVPR 2016): images and kernels are taken as polynomials, by their values at
    25 points; there a convolution is one product a point, of matrices where there are many images.
    Its roundings are some five times torch's, so that bfloat16 is left to torch, as is a GPU; with
    fewer than `MANY` channels in, going there and back takes what the products save.
    """

    MANY = 64

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, 5, 5] to [N, C', 4, 4]."""
        if self.in_channels < self.MANY or not _is_precise_on_cpu(images_NCHW):
            return super().forward(images_NCHW)
        to_points, kernels_to_points, to_outputs = (
            each.to(images_NCHW.dtype) for each in TRANSFORMS
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
    """Images to points [25, 25], kernels to points [25, 4], their products to outputs [16, 25].

    A polynomial of degree 4 is known by its values at four numbers and its highest coefficient,
    its value at infinity, so to speak. Rows and columns are transformed alike.
    """
    points = torch.tensor([0.0, 1.0, -1.0, 0.5], dtype=torch.float64)

    def values(n: int) -> Tensor:
        """[5, n]: the n coefficients of a polynomial to its values."""
        highest = torch.eye(n, dtype=torch.float64)[-1:]
        return torch.cat([points[:, None] ** torch.arange(n), highest])

    one_way = torch.linalg.inv(values(5)).T, values(2), values(4).T
    return [torch.kron(each, each) for each in one_way]


TRANSFORMS = _transforms()


class PaddedConv2d(nn.Conv2d):
    """A convolution that may have more padding than half of its square kernel, where it is quick.

    torch's own takes three times as long for the gradients then, on a CPU. Outputs so far out that
    their kernel touches no pixel are the bias alone, and what exceeds half a kernel otherwise is
    put around the image beforehand.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C', H', W'], H' = H + 2 padding - kernel + 1."""
        kernel, padding = self.kernel_size[0], int(self.padding[0])
        half, untouched = kernel // 2, padding - (kernel - 1)
        if padding <= half:
            return super().forward(images_NCHW)
        if untouched <= 0:
            larger = functional.pad(images_NCHW, (padding - half,) * 4)
            return functional.conv2d(larger, self.weight, self.bias, padding=half)
        touched = functional.conv2d(images_NCHW, self.weight, padding=kernel - 1)
        outputs = functional.pad(touched, (untouched,) * 4)
        return outputs if self.bias is None else outputs + self.bias[:, None, None]


class FirstConv2d(PaddedConv2d):
    """A convolution of images of one channel, quick for a few channels, too.

    Fewer than `FULL` leave a CPU's vectors partly empty: with these it is one matrix product of all
    images' patches, and its outputs lie in memory as [C, H', W', N], so that images fill the
    vectors of the pooling that follows.
    """

    FULL = 16

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """[N, 1, H, W] to [N, C, H', W'], H' = H + 2 padding - kernel + 1."""
        if self.out_channels >= self.FULL or images_N1HW.device.type != "cpu":
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
    """torch's, quicker on a CPU where images lie innermost in memory, as after `FirstConv2d`.

    And where no gradient will ask which value was the greatest.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, H // size, W // size]."""
        if self.kernel_size != 2 or torch.is_grad_enabled():
            innermost = images_NCHW.stride(0) == 1
            pooled: Tensor = super().forward(
                images_NCHW.transpose(0, 1) if innermost else images_NCHW
            )
            return pooled.transpose(0, 1) if innermost else pooled
        height, width = (side - side % 2 for side in images_NCHW.shape[2:])
        rows = torch.maximum(images_NCHW[:, :, 0:height:2], images_NCHW[:, :, 1:height:2])
        return torch.maximum(rows[..., 0:width:2], rows[..., 1:width:2])
