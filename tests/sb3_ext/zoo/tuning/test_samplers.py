"""Draws depend on the seed, the trial's number and the trials so far, and on nothing else."""

import sys
import types
import warnings
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.samplers import CmaEsSampler, RandomSampler, TPESampler

from sb3_ext.zoo.tuning.samplers import make_pruner, make_sampler

NAMES = ("tpe", "random", "cmaes")


def _value(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -5, 5)
    n = trial.suggest_int("n", 0, 10)
    kind = trial.suggest_categorical("kind", ("a", "b"))
    return -((x - 1.3) ** 2) - (n - 7) ** 2 - (kind == "a")


def _study(name: str, seed: int, storage: Any = None) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, notice = make_sampler(name, seed, n_startup_trials=5)
    assert notice == ""
    return optuna.create_study(
        study_name="s",
        storage=storage,
        sampler=sampler,
        direction="maximize",
        load_if_exists=True,
    )


def _params(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_that_is_gone_on_with_draws_what_it_would_have_drawn(name: str) -> None:
    whole, halves = _study(name, 3), optuna.storages.InMemoryStorage()
    whole.optimize(_value, 16)
    _study(name, 3, halves).optimize(_value, 9)
    second = _study(name, 3, halves)
    second.optimize(_value, 7)
    assert _params(second) == _params(whole)


@pytest.mark.parametrize("name", NAMES)
def test_two_that_share_a_study_and_a_seed_draw_different_trials(name: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    first, second = _study(name, 3, storage), _study(name, 3, storage)
    for _ in range(4):
        for study in (first, second):
            trial = study.ask()
            study.tell(trial, _value(trial))
    draws = [trial.params["x"] for trial in first.trials]
    assert len(set(draws)) == len(draws) == 8


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_governs_the_draws(name: str) -> None:
    studies = [_study(name, seed) for seed in (3, 3, 4)]
    for study in studies:
        study.optimize(_value, 4)
    first, same, other = map(_params, studies)
    assert first == same != other


@pytest.mark.parametrize(("name", "least"), [("tpe", -4.0), ("cmaes", -4.0)])
def test_what_learns_from_trials_comes_closer_than_chance(name: str, least: float) -> None:
    study = _study(name, 1)
    study.optimize(_value, 60)
    values = [trial.value for trial in study.trials]
    assert median(values[40:]) > median(values[:20])
    assert study.best_value > least


def test_names_are_optunas_samplers_and_pruners() -> None:
    kinds = {"tpe": TPESampler, "random": RandomSampler, "cmaes": CmaEsSampler}
    for name, kind in kinds.items():
        assert isinstance(make_sampler(name, 0, 10)[0]._sampler, kind)
    assert isinstance(make_pruner("median", 10, 5), optuna.pruners.MedianPruner)
    assert isinstance(make_pruner("halving", 10, 5), optuna.pruners.SuccessiveHalvingPruner)
    assert isinstance(make_pruner("none", 10, 5), optuna.pruners.NopPruner)


def _hub(load: Any) -> types.ModuleType:
    module = types.ModuleType("optunahub")
    module.load_module = load  # type: ignore[attr-defined]
    return module


def test_auto_without_optunahub_says_so_and_is_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    sampler, notice = make_sampler("auto", 0, 10)
    assert isinstance(sampler._sampler, TPESampler)
    assert "optunahub is not installed" in notice
    assert notice.endswith("tpe")


def test_auto_without_a_network_says_so_and_is_tpe(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        raise OSError("could not resolve host: github.com")

    monkeypatch.setitem(sys.modules, "optunahub", _hub(load))
    sampler, notice = make_sampler("auto", 0, 10)
    assert isinstance(sampler._sampler, TPESampler)
    assert "could not resolve host" in notice


def test_auto_takes_what_the_hub_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        assert name == "samplers/auto_sampler"
        return types.SimpleNamespace(AutoSampler=RandomSampler)

    monkeypatch.setitem(sys.modules, "optunahub", _hub(load))
    sampler, notice = make_sampler("auto", 0, 10)
    assert (type(sampler._sampler), notice) == (RandomSampler, "")


def test_nothing_of_it_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            _study(name, 0).optimize(_value, 12)
