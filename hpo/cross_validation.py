"""k folds, the same for all trials of a study, trained in lockstep, epoch by epoch, or in turn.

In lockstep the mean over all folds is known after each epoch, so that a pruner judges them all.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from sklearn.model_selection import KFold, StratifiedKFold

from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.metrics import Error, default_error
from hpo.seeds import derive_32
from hpo.setting import Setting
from hpo.stacking import Stack, together
from hpo.training import Split, Training


class CrossValidation:
    """The folds of a study on its training examples, standardized once for all trials."""

    def __init__(
        self,
        examples: Examples,
        n_folds: int,
        seed: int,
        device: torch.device,
        error: Error = default_error,
        *,
        stacked: bool = False,
    ) -> None:
        """Cut the examples into folds; `stacked` trains those side by side as one model."""
        self._device, self._is_stacked = device, stacked
        self.splits = [
            Split.of(examples.subset(train), examples.subset(held_out), device, error)
            for train, held_out in fold_indices(examples, n_folds, seed)
        ]

    def run(
        self,
        setting: Setting,
        seed: tuple[str | int, ...],
        pause: Callable[[], None] = lambda: None,
        *,
        in_turn: bool = False,
    ) -> Iterator[list[Training]]:
        """Train a fold each of a configuration; after every epoch gives those begun so far.

        In lockstep an epoch of all folds; `in_turn` one fold after another, or where they are
        stacked one stack after another. `pause` is called after each epoch of a fold or stack; what
        it raises ends the run.

        Raises:
            DivergedError: a fold's loss is not finite.
        """
        trainings: list[Training] = []
        for folds in self._rounds(in_turn=in_turn):
            begun = [
                Training(setting, self.splits[fold], self._device, (*seed, "fold", fold))
                for fold in folds
            ]
            trainings += begun
            units: Sequence[Stack | Training] = together(begun) if self._is_stacked else begun
            for _ in range(setting.epochs):
                for unit in units:
                    unit.run_epoch()
                    pause()
                yield trainings

    def _rounds(self, *, in_turn: bool) -> list[list[int]]:
        """Which folds are trained side by side, round by round."""
        folds = range(len(self.splits))
        if not in_turn:
            return [list(folds)]
        if not self._is_stacked:
            return [[fold] for fold in folds]
        groups = itertools.groupby(folds, key=lambda fold: self.splits[fold].sizes)
        return [list(group) for _, group in groups]


def fold_indices(
    examples: Examples, n_folds: int, seed: int
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Training and held-out indices of each fold, stratified by the answer where it is a class.

    Raises:
        InputError: there are fewer examples than folds, or an answer is rarer than that.
    """
    targets, n = examples.targets, len(examples)
    are_numbers = targets.is_floating_point()
    most = n if are_numbers else min(Counter(targets.tolist()).values())
    if n_folds > most:
        reason = "" if are_numbers else f": the rarest answer comes {most} times"
        instead = f"at most {most} folds or more examples" if most > 1 else "more examples"
        raise InputError(f"{n_folds} folds of {n} training examples{reason}; use {instead}")
    kind = KFold if are_numbers else StratifiedKFold
    splitter = kind(n_folds, shuffle=True, random_state=derive_32("folds", seed))
    splits = splitter.split(targets, targets)
    return [(torch.from_numpy(train), torch.from_numpy(held)) for train, held in splits]
