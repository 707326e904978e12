"""Words that other programs use for what hpo has, so that an error can name hpo's own word.

In each table a key is another program's word, and its value is hpo's.
"""

SETTINGS = {
    **dict.fromkeys(("cv", "n_splits", "n_folds", "num_folds", "k_folds", "kfold", "k"), "folds"),
    **dict.fromkeys(("n_trials", "num_trials", "n_iter", "max_evals", "num_samples"), "trials"),
    **dict.fromkeys(("budget", "n_calls", "iterations"), "trials"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs"), "epochs"),
    **dict.fromkeys(("bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("data", "data_set"), "dataset"),
    **dict.fromkeys(("config", "recipe", "search_space", "params", "param_grid"), "space"),
    **dict.fromkeys(("random_state", "random_seed", "rng"), "seed"),
    **dict.fromkeys(("n_repeats", "n_seeds", "runs", "n_runs"), "repeats"),
    **dict.fromkeys(("algorithm", "algo", "search", "search_alg", "strategy"), "sampler"),
    **dict.fromkeys(("scheduler", "early_stopping"), "pruner"),
    **dict.fromkeys(("study_name", "experiment", "experiment_name"), "name"),
}
"""Settings of a study."""

ARCHITECTURE = ("model", "arch", "network", "net", "estimator")
"""Words for the architecture of a study."""

WORKER_OPTIONS = {
    **dict.fromkeys(("n_jobs", "jobs", "j", "workers", "n_workers", "num_workers"), "processes"),
    **dict.fromkeys(("parallel", "parallelism", "cores"), "processes"),
    **dict.fromkeys(("gpu", "gpus", "cuda", "cpu", "accelerator"), "device"),
    **dict.fromkeys(("s", "studies"), "study"),
}
"""Options of `hpo worker`."""

PARAMETERS = {
    **dict.fromkeys(("lr", "learning_rate_init", "eta"), "learning_rate"),
    **dict.fromkeys(("wd", "l2", "weightdecay"), "weight_decay"),
    **dict.fromkeys(("bs", "batchsize"), "batch_size"),
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs", "max_iter"), "epochs"),
    **dict.fromkeys(("opt", "optim", "solver"), "optimizer"),
    **dict.fromkeys(("init", "initializer"), "initialization"),
    **dict.fromkeys(("lr_scheduler", "scheduler", "lr_schedule"), "schedule"),
    **dict.fromkeys(("criterion", "loss_function", "loss_fn"), "loss"),
    **dict.fromkeys(("drop", "p_drop", "dropout_rate", "p_dropout"), "dropout"),
}
"""Hyperparameters of trainings and networks."""

EXTRA_ARGUMENTS = {"hpo worker": "--study", "hpo export": "--output"}
"""The option of a command for what is written as a further argument."""

NAMES = {
    "device": {"gpu": "cuda"},
    "sampler": dict.fromkeys(("bayes", "bayesian", "optuna", "hyperopt"), "tpe")
    | dict.fromkeys(("gridsearch", "grid_search"), "grid")
    | dict.fromkeys(("gaussian_process", "bo", "botorch"), "gp"),
    "pruner": dict.fromkeys(("asha", "sha", "halving", "successive_halving"), "hyperband")
    | dict.fromkeys(("no", "off", "nop", "false"), "none"),
}
"""Names of one kind, such as samplers."""

_SEARCH = "study create, then hpo worker"
COMMANDS = {
    **dict.fromkeys(("run", "start", "train", "work", "fit", "agent", "execute"), "worker"),
    **dict.fromkeys(("worker", "workers"), "worker"),
    **dict.fromkeys(("sweep", "optimize", "optimise", "tune", "search", "minimize"), _SEARCH),
    **dict.fromkeys(("init", "new", "create", "add", "create-study"), "study create"),
    **dict.fromkeys(("best", "best-trial", "best-trials", "results", "status"), "study show NAME"),
    **dict.fromkeys(("show", "describe", "info"), "study show NAME"),
    **dict.fromkeys(("studies", "ls", "list"), "study list"),
    **dict.fromkeys(("pause", "stop", "suspend"), "study pause NAME"),
    **dict.fromkeys(("resume", "continue"), "study resume NAME"),
    **dict.fromkeys(("extend", "more"), "study extend NAME --trials 100"),
    **dict.fromkeys(("export", "save", "load"), "export NAME"),
    "help": "--help",
    "version": "--version",
    **dict.fromkeys(("trials", "history"), "study trials NAME"),
    **dict.fromkeys(("rm", "remove", "drop", "delete", "delete-study"), "study delete NAME"),
    **dict.fromkeys(("models", "networks", "zoo", "model"), "architectures"),
    **dict.fromkeys(("ui", "web", "gui", "view", "serve"), "dashboard"),
    **dict.fromkeys(("download", "fetch"), "data fetch mnist"),
    **dict.fromkeys(("check", "audit"), "storage check"),
    **dict.fromkeys(("upgrade", "migrate"), "storage upgrade"),
}
"""Commands, without the leading `hpo`."""


def hpos_word(name: str, table: dict[str, str]) -> str | None:
    """hpo's word for `name`, which may be hpo's word already; None if the table has neither."""
    return name if name in table.values() else table.get(name)
