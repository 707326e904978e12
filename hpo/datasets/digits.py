"""`digits`: pairs of the 1,797 real 8x8 digits that come with scikit-learn; needs no download.

Source: test part of the UCI "Optical Recognition of Handwritten Digits" data, pixels 0 to 16.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpo.datasets.pairs import PairDataSet, Pool


N_TRAIN_IMAGES = 1200
SPLIT_SEED = 0


def make() -> PairDataSet:
    """The data set, from the files of the installed scikit-learn."""
    train, test = _pools()
    return PairDataSet("digits", train, test, enlarge, 600, 290)


def enlarge(images: Tensor) -> Tensor:
    """Pixels 0 to 16 (uint8 [I, 8, 8]) to 0 to 1 (float32 [I, 14, 14]), bilinear."""
    pixels = images.float().div(16).unsqueeze(1)
    return functional.interpolate(pixels, (14, 14), mode="bilinear").squeeze(1)


def _pools() -> tuple[Pool, Pool]:
    """1,200 training and 597 test images.

    One fixed permutation splits them, not stratified: the shares of the digits differ a little
    between the pools. The fingerprint covers the split.
    """
    from sklearn.datasets import load_digits  # slow to import, and needed here only

    bundled = load_digits()
    images = torch.from_numpy(bundled.images.astype(np.uint8))
    digits = torch.from_numpy(bundled.target.astype(np.uint8))
    order = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(len(digits)))
    train, test = order[:N_TRAIN_IMAGES], order[N_TRAIN_IMAGES:]
    return Pool(images[train], digits[train]), Pool(images[test], digits[test])
