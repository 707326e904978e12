"""Seeds of random draws.

A seed depends on the purpose of the draw. The seed never depends on the process that draws, or on
the order of the draws.
"""

import hashlib
import json


def derive(*purpose: str | int) -> int:
    """A 63-bit seed for a purpose, such as `derive("trial", study_seed, 12, "fold", 3)`."""
    digest = hashlib.sha256(json.dumps(purpose).encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def derive_32(*purpose: str | int) -> int:
    """A 32-bit seed for a purpose: the older generators of NumPy and Optuna take no longer one."""
    return derive(*purpose) >> 31
