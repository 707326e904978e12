"""`digits`: pairs of the 1,797 handwritten 8x8 digits bundled with scikit-learn; no download.

Source: test part of the UCI "Optical Recognition of Handwritten Digits" data, pixels 0 to 16.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hpo.datasets.pairs import PairDataSet, Pool


N_TRAIN_IMAGES = 1200
"""Images of the training pool; the other 597 images form the test pool."""
SPLIT_SEED = 0


def make() -> PairDataSet:
    """Load the data set from the installed scikit-learn."""
    train, test = _pools()
    return PairDataSet("digits", train, test, enlarge, 600, 290)


def enlarge(images: Tensor) -> Tensor:
    """Convert uint8 [I, 8, 8], 0 to 16, to float32 [I, 14, 14], 0 to 1, bilinearly."""
    pixels = images.float().div(16).unsqueeze(1)
    return functional.interpolate(pixels, (14, 14), mode="bilinear").squeeze(1)


def _pools() -> tuple[Pool, Pool]:
    """The training and the test pool: 1,200 and 597 images.

    A fixed permutation splits the images. The split is not stratified, so the class frequencies
    of the two pools differ slightly. The data set's fingerprint covers the split.
    """
    from sklearn.datasets import load_digits  # imported here because the import is slow

    bundled = load_digits()
    images = torch.from_numpy(bundled.images.astype(np.uint8))
    digits = torch.from_numpy(bundled.target.astype(np.uint8))
    order = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(len(digits)))
    train, test = order[:N_TRAIN_IMAGES], order[N_TRAIN_IMAGES:]
    return Pool(images[train], digits[train]), Pool(images[test], digits[test])
