"""Folds are a stratified partition, trained in lockstep; test runs draw data by seed alone."""

from typing import Any

import pytest
import torch

from hpo import protocol
from hpo.architectures import architectures
from hpo.datasets import Examples, load_dataset
from hpo.errors import InputError
from hpo.evaluation import repeated_seeds
from hpo.evaluation.cross_validation import CrossValidation, fold_indices
from hpo.protocol import Protocol
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.split import Split


CPU = torch.device("cpu")
PARAMS = {"channels": [2, 4, 4], "learning_rate": 0.01}
SETTING = TrainingConfig(
    architecture=architectures.get("siamese"), params=PARAMS, epochs=3, batch_size=16
)


def examples(n: int = 60) -> Examples:
    return load_dataset("digits").draw_train(n, 0)


def held_out_of(n_folds: int, seed: int, n: int = 60) -> list[list[int]]:
    return [held_out.tolist() for _, held_out in fold_indices(examples(n), n_folds, seed)]


class TestFolds:
    @pytest.mark.parametrize("n_folds", [2, 3, 5])
    def test_every_example_is_held_out_once_and_else_trained_on(self, n_folds: int) -> None:
        everything = list(range(61))
        folds = fold_indices(examples(61), n_folds, 0)
        assert sorted(i for _, held_out in folds for i in held_out.tolist()) == everything
        for train, held_out in folds:
            assert sorted([*train.tolist(), *held_out.tolist()]) == everything

    def test_folds_are_those_of_earlier_releases(self) -> None:
        data = Examples(torch.zeros(10, 1), torch.tensor([0, 1] * 5))
        assert [held.tolist() for _, held in fold_indices(data, 3, 0)] == [
            [2, 5, 6, 9],
            [0, 7, 8],
            [1, 3, 4],
        ]

    def test_each_fold_has_its_share_of_each_answer(self) -> None:
        data = examples(600)
        for _, held_out in fold_indices(data, 5, 0):
            shares = data.targets[held_out].bincount().tolist()
            wanted = (data.targets.bincount() / 5).tolist()
            assert all(abs(n - share) < 1 for n, share in zip(shares, wanted, strict=True))

    def test_a_seed_decides_the_folds(self) -> None:
        torch.manual_seed(1)
        first = held_out_of(3, seed=7)
        torch.manual_seed(2)
        assert held_out_of(3, seed=7) == first
        assert held_out_of(3, seed=8) != first

    def test_more_folds_than_the_rarest_answer_are_refused(self) -> None:
        data = Examples(torch.zeros(8, 1), torch.tensor([0, 0, 0, 1, 1, 1, 1, 1]))
        assert len(fold_indices(data, 3, 0)) == 3
        with pytest.raises(InputError, match=r"4 folds of 8 .*; use at most 3 folds"):
            fold_indices(data, 4, 0)

    def test_one_example_of_an_answer_asks_for_more(self) -> None:
        data = Examples(torch.zeros(3, 1), torch.tensor([0, 0, 1]))
        with pytest.raises(InputError, match="occurs 1 times; use more examples"):
            fold_indices(data, 2, 0)

    @pytest.mark.parametrize("targets", [torch.zeros(61), torch.zeros(61, 3)], ids=["N", "ND"])
    def test_examples_with_numbers_are_split_evenly_at_random(self, targets: torch.Tensor) -> None:
        folds = fold_indices(Examples(torch.zeros(61, 1), targets), 5, 0)
        held_out = [held.tolist() for _, held in folds]
        assert sorted(map(len, held_out)) == [12, 12, 12, 12, 13]
        assert sorted(i for held in held_out for i in held) == list(range(61))
        for train, held in folds:
            assert sorted([*train.tolist(), *held.tolist()]) == list(range(61))
        assert all(max(held) - min(held) > 30 for held in held_out)  # 13 neighbours span 12

    def test_a_seed_decides_the_folds_of_numbers(self) -> None:
        data = Examples(torch.zeros(30, 1), torch.zeros(30))

        def held_out(seed: int) -> list[list[int]]:
            return [held.tolist() for _, held in fold_indices(data, 3, seed)]

        assert held_out(7) == held_out(7)
        assert held_out(7) != held_out(8)

    @pytest.mark.parametrize(
        ("n", "advice"), [(3, "use at most 3 folds or more examples"), (1, "use more examples")]
    )
    def test_more_folds_than_examples_with_numbers_are_refused(self, n: int, advice: str) -> None:
        data = Examples(torch.zeros(n, 1), torch.zeros(n))
        with pytest.raises(InputError, match=f"^4 folds of {n} training examples; {advice}$"):
            fold_indices(data, 4, 0)

    def test_each_fold_is_standardized_by_its_own_training_part(self) -> None:
        data = examples()
        folds = CrossValidation(data, 3, 0, CPU).splits
        for split, (train, held_out) in zip(folds, fold_indices(data, 3, 0), strict=True):
            raw = data.inputs[train]
            assert torch.equal(split.standardize.mean, raw.mean())
            assert torch.equal(split.standardize.std, raw.std())
            expected = (data.inputs[held_out] - raw.mean()) / raw.std()
            assert torch.allclose(split.held_out.inputs, expected, atol=1e-6)
        assert len({split.standardize.mean.item() for split in folds}) == 3


class TestLockstep:
    def test_all_folds_are_given_after_each_epoch(self) -> None:
        lengths = [
            [len(training.curve) for training in trainings]
            for trainings in CrossValidation(examples(), 3, 0, CPU).run(SETTING, ("x",))
        ]
        assert lengths == [[1] * 3, [2] * 3, [3] * 3]

    def test_it_gives_the_curves_that_one_fold_after_the_other_gives(self) -> None:
        folds = CrossValidation(examples(), 3, 0, CPU)
        *_, lockstep = folds.run(SETTING, ("x", 1))
        for number, split in enumerate(folds.splits):
            alone = Training(SETTING, split, CPU, ("x", 1, "fold", number))
            for _ in range(3):
                alone.run_epoch()
            assert alone.curve == lockstep[number].curve

    def test_folds_begin_from_different_networks(self) -> None:
        one, other = next(iter(CrossValidation(examples(), 2, 0, CPU).run(SETTING, ("x",))))
        first, second = (next(iter(each.model.parameters())) for each in (one, other))
        assert not torch.equal(first, second)

    def test_what_a_pause_raises_ends_the_run_between_folds(self) -> None:
        class LeaveError(Exception):
            pass

        paused = 0

        def pause() -> None:
            nonlocal paused
            paused += 1
            if paused == 4:
                raise LeaveError

        epochs = CrossValidation(examples(), 3, 0, CPU).run(SETTING, ("x",), pause)
        assert len(next(epochs)) == 3
        with pytest.raises(LeaveError):
            next(epochs)
        assert paused == 4


def frozen(**settings: Any) -> Protocol:
    base = {
        "architecture": "siamese",
        "dataset": "digits",
        "fingerprint": load_dataset("digits").fingerprint(),
        "train_size": 40,
        "test_size": 30,
        "space": PARAMS,
        "epochs": 2,
    }
    return protocol.make(**base | settings)


def same_data(one: Split, other: Split) -> bool:
    return torch.equal(one.train.inputs, other.train.inputs) and torch.equal(
        one.held_out.inputs, other.held_out.inputs
    )


class TestTestRuns:
    def test_data_depend_on_data_set_sizes_and_seed_alone(self) -> None:
        drawn = repeated_seeds.draw_split(frozen(), 3, CPU)
        others = [
            frozen(seed=9),
            frozen(architecture="baseline"),
            frozen(folds=3, epochs=7, sampler="random", repeats=4),
        ]
        assert all(same_data(drawn, repeated_seeds.draw_split(other, 3, CPU)) for other in others)

    def test_each_seed_has_data_of_its_own(self) -> None:
        draws = [repeated_seeds.draw_split(frozen(), seed, CPU) for seed in range(3)]
        assert not same_data(draws[0], draws[1])
        assert not same_data(draws[1], draws[2])

    def test_sizes_and_pools_are_those_of_the_protocol(self) -> None:
        split = repeated_seeds.draw_split(frozen(), 0, CPU)
        assert (len(split.train), len(split.held_out)) == (40, 30)
        raw = split.held_out.inputs * split.standardize.std + split.standardize.mean
        pool = load_dataset("digits").draw_test(298, 0).inputs.reshape(-1, 196)
        drawn = raw.reshape(-1, 196)
        assert torch.cdist(drawn, pool).min(dim=1).values.quantile(0.9).item() < 1e-2

    def test_a_run_repeats_bit_for_bit_by_trial_and_study(self) -> None:
        def curve_and_weight(study_seed: int, trial: int) -> tuple[list[float], float]:
            *_, last = repeated_seeds.run(frozen(seed=study_seed), trial, PARAMS, 0, CPU)
            return last.curve, next(iter(last.model.parameters())).sum().item()

        first = curve_and_weight(0, 1)
        assert curve_and_weight(0, 1) == first
        assert curve_and_weight(0, 2)[1] != first[1]
        assert curve_and_weight(5, 1)[1] != first[1]

    def test_it_is_given_after_each_epoch(self) -> None:
        lengths = [len(t.curve) for t in repeated_seeds.run(frozen(), 0, PARAMS, 0, CPU)]
        assert lengths == [1, 2]
