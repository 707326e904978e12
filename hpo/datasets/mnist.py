"""`mnist`: pairs of MNIST digits, 28x28 pixels averaged to 14x14.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits": 60,000 images for
training pairs, 10,000 for test pairs, in the IDX format (big-endian header, then bytes).
"""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpo.datasets import mnist_files
from hpo.datasets.pairs import PairDataSet, Pool


def make() -> PairDataSet:
    """The data set, from files that `mnist_files.find` has found and checked.

    Raises:
        DataError: a file is missing, damaged or cannot be downloaded.
    """
    folder = mnist_files.find()
    return PairDataSet("mnist", _pool(folder, "train"), _pool(folder, "t10k"), shrink, 1000, 1000)


def shrink(images: Tensor) -> Tensor:
    """Pixels 0 to 255 (uint8 [I, 28, 28]) to 0 to 1 (float32 [I, 14, 14]), means of 2x2."""
    return functional.avg_pool2d(images.float().unsqueeze(1), 2).squeeze(1).div(255)


def _pool(folder: Path, part: str) -> Pool:
    return Pool(
        _read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
        _read_idx(folder / f"{part}-labels-idx1-ubyte.gz"),
    )


def _read_idx(path: Path) -> Tensor:
    """The bytes of an IDX file, uint8, in the shape that its header gives."""
    content = bytearray(gzip.decompress(path.read_bytes()))  # torch wants memory it may write to
    n_dimensions = content[3]
    shape = np.frombuffer(content, ">u4", count=n_dimensions, offset=4).tolist()
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * n_dimensions).reshape(shape)
