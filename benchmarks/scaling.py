"""Compare two workers with one, and measure the time that a worker does not spend on training.

The search is that of `throughput.py`, by one worker process and by two, in rounds that alternate.
It has more trials, because at the end one of two workers is idle while the other has the last
trial. `besides` is the share of a single worker's time, from its first claim to its last trial's
result, in which no network is trained or evaluated: claims, parameters, reports, building networks.
Prints Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.scaling --rounds 5
"""

import argparse
import statistics

from benchmarks.conditions import conditions, say
from benchmarks.plain_networks import FITS
from benchmarks.throughput import Search


def measure(network: str, trials: int, rounds: int) -> str:
    """Measure one network; return its line of the table, with medians over the rounds."""
    times, besides = [], []
    for number in range(rounds):
        order = (1, 2) if number % 2 == 0 else (2, 1)
        results = {n: Search(network, trials, n).ours() for n in order}
        one, two = (results[n]["seconds"] for n in (1, 2))
        times.append((one, two, one / two))
        besides.append(results[1]["besides"])
        say(f"{network}, round {number}: {one / two:.2f} times, besides {besides[-1]:.1%}")
    one, two, ratio = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [row[-1] for row in times]
    span = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| `{network}` | {one:.1f} | {two:.1f} | {span} | {statistics.median(besides):.1%} |"


def main() -> None:
    """Alternate one worker and two workers, network by network; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(FITS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    options = parser.parse_args()
    print(conditions("scaling"))
    head = "| network | one worker, s | two, s | one / two | besides |"
    print(f"\n{head}\n|{' --- |' * 5}", flush=True)
    for network in options.networks:
        print(measure(network, options.trials, options.rounds), flush=True)


if __name__ == "__main__":
    main()
