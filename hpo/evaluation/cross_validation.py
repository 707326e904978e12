"""k folds, the same for all trials of a study, trained in lockstep, epoch by epoch, or in turn.

In lockstep the mean over all folds is known after each epoch, so that a pruner judges them all.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from sklearn.model_selection import KFold, StratifiedKFold

from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.seeds import derive_32
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.metrics import Error, default_error
from hpo.training.split import Split
from hpo.training.vectorized import VectorizedTraining, together


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
        vectorized: bool = False,
    ) -> None:
        """Cut the examples into folds; `stacked` trains those side by side as one model."""
        self._device, self._is_vectorized = device, vectorized
        self.splits = [
            Split.of(examples.subset(train), examples.subset(held_out), device, error)
            for train, held_out in fold_indices(examples, n_folds, seed)
        ]

    def run(
        self,
        config: TrainingConfig,
        seed: tuple[str | int, ...],
        pause: Callable[[], None] = lambda: None,
        *,
        in_turn: bool = False,
    ) -> Iterator[list[Training]]:
        """Train a fold each of a configuration; after every epoch gives those begun so far.

        In lockstep an epoch of all folds; `in_turn` one fold or stack of folds after another.
        `pause` is called after each epoch of a fold or stack; what it raises ends the run.

        Raises:
            DivergedError: a fold's loss is not finite.
        """
        begun: list[Training] = []
        for units in self._units(config, seed, begun, in_turn=in_turn):
            for _ in range(config.epochs):
                for unit in units:
                    unit.run_epoch()
                    pause()
                yield [training for training in begun if training.curve]

    def _units(
        self,
        config: TrainingConfig,
        seed: tuple[str | int, ...],
        begun: list[Training],
        *,
        in_turn: bool,
    ) -> Iterator[Sequence[VectorizedTraining | Training]]:
        """What is trained side by side, one after another; adds to `begun` the folds in it."""

        def begin(fold: int) -> Training:
            begun.append(Training(config, self.splits[fold], self._device, (*seed, "fold", fold)))
            return begun[-1]

        folds = range(len(self.splits))
        if in_turn and not self._is_vectorized:
            yield from ([begin(fold)] for fold in folds)
            return
        trainings = [begin(fold) for fold in folds]
        units = together(trainings) if self._is_vectorized else trainings
        yield from [[unit] for unit in units] if in_turn else [units]


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
