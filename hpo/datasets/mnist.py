"""`mnist`: pairs of MNIST digits, 28x28 pixels averaged to 14x14.

Source: LeCun, Cortes and Burges, "The MNIST database of handwritten digits". Training pairs come
from its 60,000 training images, test pairs from its 10,000 test images. The files have the IDX
format: a big-endian header, then one byte per value.
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
    """Load the data set from the files of `mnist_files.find`, downloading them if needed.

    Raises:
        DataError: a file is missing, damaged or cannot be downloaded.
    """
    folder = mnist_files.find()
    return PairDataSet("mnist", _pool(folder, "train"), _pool(folder, "t10k"), shrink, 1000, 1000)


def shrink(images: Tensor) -> Tensor:
    """Convert uint8 [I, 28, 28], 0 to 255, to float32 [I, 14, 14], 0 to 1, by 2x2 averages."""
    return functional.avg_pool2d(images.float().unsqueeze(1), 2).squeeze(1).div(255)


def _pool(folder: Path, part: str) -> Pool:
    return Pool(
        _read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
        _read_idx(folder / f"{part}-labels-idx1-ubyte.gz"),
    )


def _read_idx(path: Path) -> Tensor:
    """The values of an IDX file, uint8, in the shape that the file's header gives."""
    content = bytearray(gzip.decompress(path.read_bytes()))  # writable, as torch.frombuffer needs
    n_dimensions = content[3]
    shape = np.frombuffer(content, ">u4", count=n_dimensions, offset=4).tolist()
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * n_dimensions).reshape(shape)
