"""Measure a training step on one thread: milliseconds, and its share of a matrix product's speed.

Torch counts the floating-point operations of the convolutions and matrix products, forward and
backward, of two forms of a network: as hpo runs it, and as the plain script writes it. (hpo leaves
out what later layers drop.) Products of two 1,024 x 1,024 matrices are timed in the same run,
before and after each round of steps. Prints Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.steps
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.conditions import conditions
from benchmarks.plain_networks import FITS, Fit
from hpo.architectures import architectures
from hpo.datasets import load_dataset
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training, batch_starts, repeatable
from hpo.training.split import Split


SIDE = 1024
"""Rows and columns of the matrices."""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Steps:
    """The training of one network on the 667 pairs of a fold."""

    fit: Fit
    training: Training
    split: Split

    @classmethod
    def of(cls, network: str) -> "Steps":
        """Prepare a network and train it for one epoch to warm up."""
        fit = FITS[network]
        examples = load_dataset("mnist").draw_train(1000, seed=0)
        order = torch.arange(len(examples))
        split = Split.of(examples.subset(order[:667]), examples.subset(order[667:]), CPU)
        config = TrainingConfig(
            architecture=architectures.get(network),
            params={**fit.recipe, "learning_rate": fit.learning_rate},
            epochs=1000,
            batch_size=fit.batch_size,
        )
        steps = cls(fit, Training(config, split, CPU, ("benchmark",)), split)
        steps.training.run_epoch()
        return steps

    @property
    def n(self) -> int:
        """Number of steps in an epoch."""
        return len(batch_starts(len(self.split.train), self.fit.batch_size))

    def seconds(self) -> float:
        """Seconds of one step, averaged over an epoch."""
        return _seconds(self.training._train) / self.n

    def operations(self) -> float:
        """Floating-point operations of one step as hpo runs it, averaged over an epoch."""
        with FlopCounterMode(display=False) as counter:
            self.training._train()
        return float(counter.get_total_flops() / self.n)

    def operations_of_plain(self) -> float:
        """Floating-point operations of one step of the plain script's network."""
        model, train = self.fit.make(), self.split.train
        assert train.auxiliary is not None
        with FlopCounterMode(display=False) as counter:
            answer, left, right = model(train.inputs)
            loss = cross_entropy(answer, train.targets)
            loss = loss + cross_entropy(left, train.auxiliary[:, 0])
            loss = loss + cross_entropy(right, train.auxiliary[:, 1])
            loss.backward()  # type: ignore[no-untyped-call]
        return float(counter.get_total_flops() / self.n)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def product_speed() -> float:
    """Floating-point operations per second of float32 matrix products on one thread."""
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    n = 20
    return n * 2 * SIDE**3 / _seconds(lambda: [a @ b for _ in range(n)])


def measure(network: str, rounds: int) -> str:
    """Measure one network; return its line of the table."""
    steps = Steps.of(network)
    speeds, seconds = [product_speed()], []
    for _ in range(rounds):
        seconds.append(steps.seconds())
        speeds.append(product_speed())
    around = [statistics.mean(pair) for pair in itertools.pairwise(speeds)]
    cells = [f"{1000 * statistics.median(seconds):.2f}"]
    for operations in (steps.operations(), steps.operations_of_plain()):
        shares = [operations / s / speed for s, speed in zip(seconds, around, strict=True)]
        cells += [f"{operations / 1e9:.3f}", f"{statistics.median(shares):.0%}"]
    speed = f"{statistics.median(speeds) / 1e9:.0f}"
    return f"| `{network}` | {' | '.join(cells)} | {speed} |"


def main() -> None:
    """Measure each network and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(FITS))
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print(conditions("steps"))
    head = ["network", "step, ms", "GFLOP", "share", "GFLOP as drawn", "share", "sgemm, GFLOP/s"]
    print(f"\n| {' | '.join(head)} |\n|{' --- |' * len(head)}", flush=True)
    with repeatable():
        for network in options.networks:
            print(measure(network, options.rounds), flush=True)


if __name__ == "__main__":
    main()
