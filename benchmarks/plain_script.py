"""The script that a user would write: Optuna, KFold, DataLoader, default threads, one process.

It searches the siamese network of report 004 on true MNIST, as well as one writes it on a first
day: clear, correct, nothing tuned. `throughput.py` times it beside `hpo worker`.
"""

import argparse
import json
import time

import numpy as np
import optuna
import torch
from sklearn.model_selection import KFold
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hpo.datasets import load


class Siamese(nn.Module):
    """Report 004, figure A2, with 64, 128, 256 channels: 192,601 parameters."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3)
        self.conv2 = nn.Conv2d(64, 128, 2)
        self.conv3 = nn.Conv2d(128, 256, 2)
        self.classifier = nn.Sequential(
            nn.Linear(256, 75), nn.BatchNorm1d(75), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(75, 75), nn.BatchNorm1d(75), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(75, 10),
        )  # fmt: skip
        self.comparator = nn.Sequential(
            nn.Linear(20, 50), nn.BatchNorm1d(50), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(50, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(10, 2),
        )  # fmt: skip

    def digit(self, image: Tensor) -> Tensor:
        """[N, 1, 14, 14] to [N, 10]."""
        x = nn.functional.max_pool2d(torch.relu(self.conv1(image)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        logits: Tensor = self.classifier(torch.relu(self.conv3(x)).flatten(1))
        return logits

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[N, 2, 14, 14] to the answer [N, 2] and both digits [N, 10]."""
        left, right = self.digit(pair[:, :1]), self.digit(pair[:, 1:])
        return self.comparator(torch.cat([left, right], dim=1)), left, right


def train_fold(
    trial: optuna.Trial, train: TensorDataset, held_out: TensorDataset, epochs: int
) -> float:
    """Train one fold; the error on its held-out part."""
    model = Siamese(trial.params["dropout"])
    optimizer = torch.optim.Adam(model.parameters(), lr=trial.params["learning_rate"])
    loss_of = nn.CrossEntropyLoss()
    error = 1.0
    for _ in range(epochs):
        model.train()
        for pairs, answers, digits in DataLoader(train, batch_size=100, shuffle=True):
            answer, left, right = model(pairs)
            loss = (
                loss_of(answer, answers)
                + loss_of(left, digits[:, 0])
                + loss_of(right, digits[:, 1])
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        n_wrong = 0
        with torch.no_grad():
            for pairs, answers, _digits in DataLoader(held_out, batch_size=100):
                n_wrong += int((model(pairs)[0].argmax(1) != answers).sum())
        error = n_wrong / len(held_out)
    return error


def main() -> None:
    """Run the search; print the wall seconds of it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--folds", type=int, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    options = parser.parse_args()
    examples = load("mnist").draw_train(1000, seed=0)
    images = (examples.inputs - examples.inputs.mean()) / examples.inputs.std()
    assert examples.auxiliary is not None
    data = TensorDataset(images, examples.targets, examples.auxiliary)

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_float("learning_rate", 0.005, 0.005)
        trial.suggest_float("dropout", 0.25, 0.25)
        errors = []
        for train, held_out in KFold(options.folds, shuffle=True).split(np.zeros(len(data))):
            parts = [TensorDataset(*data[torch.from_numpy(part)]) for part in (train, held_out)]
            errors.append(train_fold(trial, parts[0], parts[1], options.epochs))
        return float(np.mean(errors))

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    start = time.perf_counter()
    study = optuna.create_study()
    study.optimize(objective, n_trials=options.trials)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "best_error": study.best_value}))


if __name__ == "__main__":
    main()
