"""What tests of a user's own networks and data share."""

import json
from pathlib import Path
from typing import Any

from tests.support.tiny_studies import must, tiny_flags


TINY = tiny_flags(dataset=None, train_size=None, test_size=None)
"""Flags of a study that a worker completes in a moment, on data of any size."""

POINTS = """\
import torch
from hpo import Examples
class Points:
    name, task = "what the class says", "points"
    default_train_size = max_train_size = 60
    default_test_size = max_test_size = 40
    def fingerprint(self):
        return "of points"
    def draw_train(self, n, seed):
        inputs = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
        return Examples(inputs, (inputs[:, 0] > 0).long())
    def draw_test(self, n, seed):
        return self.draw_train(n, seed + 1)
"""
"""A data set as a user writes one: is the first of three numbers above 0?"""


def write(folder: Path, files: dict[str, str]) -> Path:
    """Files by their paths in a folder, which is given back."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def show(name: str, url: str) -> dict[str, Any]:
    """What is shown of a study, as programs read it."""
    status: dict[str, Any] = json.loads(must("study", "show", name, "--json", "--storage", url))
    return status
