"""Augmentation of digit pairs in each epoch: new pairs, shifts, rotations and changes of size.

Shapes: N pairs, M = 2N images, S x S pixels.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from hpo.datasets.contract import Examples
from hpo.errors import InputError


def augment_pairs(
    examples: Examples,
    *,
    repair: bool = False,
    shift: float = 0.0,
    rotation: float = 0.0,
    scale: float = 0.0,
) -> Examples:
    """The training pairs of one epoch. With the default settings, `examples` itself.

    Random numbers come from torch's global generator. They are drawn on the CPU whatever the
    device.

    Args:
        examples: standardized pairs, inputs float32 [N, 2, S, S], auxiliary the digits [N, 2].
        repair: combine the 2N images into N new pairs, each image used once.
        shift: largest shift of an image in any direction, in pixels; below S.
        rotation: largest rotation about the image's centre, in degrees to either side; below 360.
        scale: largest relative change of size: 0.1 gives 0.9 to 1.1 of the size; below 1.

    Raises:
        InputError: a setting is out of its range, the inputs are not pairs of square images, or
            `repair` is set and the digits are missing.
    """
    _check_settings(repair, shift=shift, rotation=rotation, scale=scale)
    transforms = shift > 0 or rotation > 0 or scale > 0
    if not (repair or transforms):
        return examples
    _check_images(examples.inputs, shift)
    if repair:
        examples = _paired_anew(examples)
    if transforms:
        examples = replace(examples, inputs=_transformed(examples.inputs, shift, rotation, scale))
    return examples


def _paired_anew(examples: Examples) -> Examples:
    """The same images and digits in random new pairs."""
    inputs, digits, n = examples.inputs, examples.auxiliary, len(examples)
    if digits is None or digits.shape != (n, 2):
        raise InputError(
            "repair: new pairs need the digits of both images as auxiliary targets [N, 2], which "
            "these examples do not have; leave repair out"
        )
    order = torch.randperm(2 * n).to(inputs.device)
    inputs = inputs.flatten(0, 1)[order].reshape(inputs.shape)
    digits = digits.flatten()[order].reshape(n, 2)
    return Examples(inputs, (digits[:, 0] <= digits[:, 1]).long(), digits)


def _transformed(inputs: Tensor, shift: float, rotation: float, scale: float) -> Tensor:
    """Apply a random affine transform to each image; pixels beyond the edge repeat the edge."""
    images = inputs.reshape(-1, 1, *inputs.shape[2:])  # [M, 1, S, S]
    maps = _draw_maps(len(images), shift, rotation, scale, inputs.shape[-1]).to(inputs.device)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    transformed = functional.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return transformed.reshape(inputs.shape)


def _draw_maps(m: int, shift: float, rotation: float, scale: float, size: int) -> Tensor:
    """A random affine matrix for each image, [M, 2, 3], as `affine_grid` expects it.

    A matrix maps output to input coordinates, both from -1 to 1. It is therefore the inverse of
    the transform: to enlarge an image, the whole matrix is divided by the new size. Shifts are
    uniform in a disk, angles and sizes uniform in an interval.
    """
    length, direction, turn, growth = torch.rand(4, m)
    length, direction = shift * length.sqrt() * 2 / size, 2 * math.pi * direction
    angle = math.radians(rotation) * (2 * turn - 1)
    cos, sin = angle.cos(), angle.sin()
    along_x = torch.stack([cos, -sin, length * direction.cos()], dim=1)
    along_y = torch.stack([sin, cos, length * direction.sin()], dim=1)
    new_size = 1 + scale * (2 * growth - 1)
    return torch.stack([along_x, along_y], dim=1).div(new_size[:, None, None])


def _check_settings(repair: bool, **numbers: float) -> None:
    if not isinstance(repair, bool):
        raise InputError(f"repair: should be true or false, but it is {repair!r}")
    limits = {"shift": math.inf, "rotation": 360, "scale": 1}
    for name, value in numbers.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 <= value < limits[name]:
            below = "" if limits[name] == math.inf else f" and below {limits[name]}"
            raise InputError(f"{name}: should be a number from 0{below}, but it is {value!r}")


def _check_images(inputs: Tensor, shift: float) -> None:
    if inputs.ndim != 4 or inputs.shape[1] != 2 or inputs.shape[2] != inputs.shape[3]:
        raise InputError(
            "augmentation is for pairs of square images [N, 2, S, S], but these examples are "
            f"{list(inputs.shape)}; leave repair, shift, rotation and scale out"
        )
    size = inputs.shape[-1]
    if shift >= size:
        raise InputError(
            f"shift: should be below the {size} pixels of an image's side, but it is {shift!r}"
        )
