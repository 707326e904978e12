"""Every random draw's seed comes from what the draw is for, never from the process or the order."""

import hashlib
import json


def derive(*purpose: str | int) -> int:
    """A seed of 63 bits for a purpose, such as `derive("trial", study_seed, 12, "fold", 3)`."""
    digest = hashlib.sha256(json.dumps(purpose).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def derive_32(*purpose: str | int) -> int:
    """The same in 32 bits, for NumPy's and Optuna's older generators."""
    return derive(*purpose) >> 31
