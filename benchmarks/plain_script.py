"""The script that a user would write: Optuna, KFold, DataLoader, default threads, one process.

It searches one of four reports' networks on MNIST. It is clear and correct, and not tuned for
speed. `throughput.py` compares its time with that of `hpo worker`.
"""

import argparse
import json
import time

import numpy as np
import optuna
import torch
from sklearn.model_selection import KFold
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.plain_networks import FITS, Fit
from hpo.datasets import load_dataset


def train_fold(
    trial: optuna.Trial, fit: Fit, train: TensorDataset, held_out: TensorDataset, epochs: int
) -> float:
    """Train one fold; return the error on its held-out part."""
    model = fit.make()
    optimizer = fit.optimizer(
        model.parameters(), lr=trial.params["learning_rate"], weight_decay=fit.weight_decay
    )
    loss_of = nn.CrossEntropyLoss()
    error = 1.0
    for _ in range(epochs):
        model.train()
        for pairs, answers, digits in DataLoader(train, batch_size=fit.batch_size, shuffle=True):
            answer, left, right = model(pairs)
            auxiliary = loss_of(left, digits[:, 0]) + loss_of(right, digits[:, 1])
            loss = loss_of(answer, answers) + fit.aux_weight * auxiliary
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        n_wrong = 0
        with torch.no_grad():
            for pairs, answers, _digits in DataLoader(held_out, batch_size=fit.batch_size):
                n_wrong += int((model(pairs)[0].argmax(1) != answers).sum())
        error = n_wrong / len(held_out)
    return error


def main() -> None:
    """Run the search; print its wall seconds and the network's size as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=FITS, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--folds", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    options = parser.parse_args()
    fit = FITS[options.network]
    examples = load_dataset("mnist").draw_train(1000, seed=0)
    images = (examples.inputs - examples.inputs.mean()) / examples.inputs.std()
    assert examples.auxiliary is not None
    data = TensorDataset(images, examples.targets, examples.auxiliary)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("learning_rate", fit.learning_rate, fit.learning_rate)
        errors = []
        for train, held_out in KFold(options.folds, shuffle=True).split(np.zeros(len(data))):
            parts = [TensorDataset(*data[torch.from_numpy(part)]) for part in (train, held_out)]
            errors.append(train_fold(trial, fit, parts[0], parts[1], options.epochs))
        return float(np.mean(errors))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    fit.optimizer(
        fit.make().parameters()
    )  # the first optimizer imports a part of torch for a second
    start = time.perf_counter()
    study = optuna.create_study()
    study.optimize(objective, n_trials=options.trials)
    seconds = time.perf_counter() - start
    size = sum(weight.numel() for weight in fit.make().parameters())
    print(json.dumps({"seconds": seconds, "best_error": study.best_value, "n_parameters": size}))


if __name__ == "__main__":
    main()
