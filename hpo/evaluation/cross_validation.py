"""k-fold cross-validation of a configuration. All trials of a study share the same folds.

Folds can be trained in two orders. In lockstep, each epoch is trained on all folds before the
next, so that the mean error over all folds is known after each epoch. In turn, each fold is
trained to its last epoch before the next fold begins.
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
    """The folds of a study's training examples, standardized once for all trials."""

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
        """Split the examples into folds.

        Args:
            examples: the training examples of the study.
            n_folds: number of folds.
            seed: the study's seed, which determines the folds.
            device: where the folds are trained.
            error: the metric of held-out examples.
            vectorized: train several folds at once, as one batched model, if the network allows.

        Raises:
            InputError: there are fewer examples than folds, or a class is too rare.
        """
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
        """Train a configuration on every fold; yield the folds begun so far after each epoch.

        Args:
            config: the configuration to train.
            seed: the purpose that each fold's random numbers derive from.
            pause: called after each epoch of a fold, or of several vectorized folds. An exception
                from it ends the run.
            in_turn: train one fold, or one group of vectorized folds, after another. The default
                trains all folds in lockstep.

        Raises:
            DivergedError: a fold's loss or error is not finite.
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
        """Yield the units, single or vectorized folds, that are trained in lockstep.

        With `in_turn`, every yielded list has one unit. The folds of a unit are appended to `begun`
        before the unit is yielded.
        """

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
    """Training and held-out indices of each fold; folds are stratified if targets are classes.

    Raises:
        InputError: there are fewer examples than folds, or fewer examples of a class than folds.
    """
    targets, n = examples.targets, len(examples)
    is_regression = targets.is_floating_point()
    max_folds = n if is_regression else min(Counter(targets.tolist()).values())
    if n_folds > max_folds:
        reason = "" if is_regression else f": the rarest class occurs {max_folds} times"
        advice = f"at most {max_folds} folds or more examples" if max_folds > 1 else "more examples"
        raise InputError(f"{n_folds} folds of {n} training examples{reason}; use {advice}")
    splitter_class = KFold if is_regression else StratifiedKFold
    splitter = splitter_class(n_folds, shuffle=True, random_state=derive_32("folds", seed))
    splits = splitter.split(targets, targets)
    return [(torch.from_numpy(train), torch.from_numpy(held)) for train, held in splits]
