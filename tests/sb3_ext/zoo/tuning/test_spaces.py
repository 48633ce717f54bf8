"""Whatever a space draws is a valid entry: it can be written, read, looked up and built."""

import argparse
import json
import math
from typing import Any

import gymnasium as gym
import optuna
import pytest
import yaml

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import Entry, find_entry, resolve
from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.registry import ALGORITHMS, OWN_ALGORITHMS, load_algorithm
from sb3_ext.zoo.tuning.objective import Objective
from sb3_ext.zoo.tuning.plan import Plan
from sb3_ext.zoo.tuning.report import entry_text
from sb3_ext.zoo.tuning.spaces import PPOSpace, search_space

CONTINUOUS = ("ddpg", "sac", "td3", "tqc", "crossq")
TUNABLE = sorted({*ALGORITHMS, "ppo_numpy"} - {"crossq"})


def plan(values: dict[str, Any], algo: str = "ppo_numpy", env: str = "CartPole-v1", **fields: Any):
    everything = {
        "pinned": [],
        "eval_env_kwargs": None,
        "seed": 0,
        "n_seeds": 1,
        "n_evaluations": 5,
        "eval_episodes": 5,
        "final_eval_episodes": 20,
        "n_eval_envs": None,
    }
    return Plan(algo=algo, env=env, values=values, **(everything | fields))


def ppo_space(values: dict[str, Any], **fields: Any) -> PPOSpace:
    made = plan({"n_timesteps": 1e5, "policy": "MlpPolicy"} | values, **fields)
    settings = resolve(Entry(made.values, "x", "x"), load_algorithm("ppo_numpy"), "ppo_numpy")
    return PPOSpace(made, settings)


def trials(n: int, seed: int = 0) -> list[optuna.Trial]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [study.ask() for _ in range(n)]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("algo", TUNABLE)
def test_what_is_drawn_can_be_stored_read_and_built(algo: str) -> None:
    env_id = "Pendulum-v1" if algo in CONTINUOUS else "CartPole-v1"
    values = find_entry(algo, env_id).values | {"n_timesteps": 1000}
    args = argparse.Namespace(
        algo=algo, env=env_id, device="cpu", verbose=0, vec_env="dummy", workers=0, num_threads=1
    )
    objective = Objective(plan(values, algo, env_id), args, Interruption())
    for trial in trials(3):
        drawn = objective.space.draw(trial)
        entry = values | json.loads(json.dumps(drawn))
        assert yaml.safe_load(entry_text(env_id, entry)) == {env_id: entry}
        # Its constructor takes it: the rehearsal builds the agent and takes a step.
        Objective(plan(entry, algo, env_id), args, Interruption())


@pytest.mark.parametrize("n_envs", [1, 3, 8, 10, 1024])
@pytest.mark.parametrize("n_timesteps", [1, 2_000, 25_000, 1_000_000])
def test_minibatches_divide_whole_rollouts_within_the_budget(n_envs: int, n_timesteps: int) -> None:
    space = ppo_space({"n_envs": n_envs, "n_timesteps": n_timesteps})
    for trial in trials(30):
        drawn = space.draw(trial)
        rollout = drawn["n_steps"] * n_envs
        assert rollout % drawn["batch_size"] == 0
        assert drawn["batch_size"] > 1
        assert drawn["n_timesteps"] % rollout == 0
        assert rollout <= max(128 * 2, n_envs, n_timesteps / 10)
        assert drawn["n_timesteps"] <= max(n_timesteps, rollout)


def test_the_entry_is_a_point_of_the_space() -> None:
    values = {
        "n_envs": 8,
        "learning_rate": "lin_2e-3",
        "n_steps": 64,
        "batch_size": 128,
        "n_epochs": 7,
        "gamma": 0.95,
        "gae_lambda": 0.9,
        "clip_range": 0.3,
        "ent_coef": 0.01,
        "vf_coef": 0.7,
        "max_grad_norm": 0.8,
        "policy_kwargs": "dict(net_arch=dict(pi=[256, 256], vf=[256, 256]), activation_fn=nn.ReLU)",
    }
    space = ppo_space(values)
    again = space.entry(space.nearest())
    expected = values | {
        "policy_kwargs": "dict(net_arch=[256, 256], activation_fn=nn.ReLU)",
        "learning_rate": "lin_0.002",
        "n_timesteps": 99_840,  # 195 rollouts of 512
    }
    del expected["n_envs"]
    assert again == expected


def test_an_entry_that_leaves_everything_out_has_sb3s_defaults() -> None:
    space = ppo_space({})
    again = space.entry(space.nearest())
    assert again["learning_rate"] == 3e-4
    assert (again["n_steps"], again["batch_size"], again["n_epochs"]) == (2048, 64, 10)
    assert (again["gamma"], again["gae_lambda"], again["clip_range"]) == (0.99, 0.95, 0.2)
    assert again["policy_kwargs"] == "dict(net_arch=[64, 64], activation_fn=nn.Tanh)"


def test_an_entry_outside_of_the_ranges_is_moved_to_their_edges() -> None:
    values = {"learning_rate": "cosine_1", "gamma": 1.0, "ent_coef": 0, "gae_lambda": 0.1}
    space = ppo_space(values | {"policy_kwargs": "dict(activation_fn=nn.ELU)"})
    nearest = space.nearest()
    for name, distribution in space.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(nearest[name])), name
    assert nearest["learning_rate"] == 5e-3
    assert nearest["one_minus_gamma"] == 1e-4


def test_what_params_fix_is_not_drawn() -> None:
    pinned = ["batch_size", "gamma", "learning_rate", "policy_kwargs"]
    space = ppo_space({"gamma": 0.5, "n_steps": 100}, pinned=pinned)
    drawn = space.draw(trials(1)[0])
    assert not set(pinned) & set(drawn)
    assert space.nearest().keys() == space.distributions.keys()
    with pytest.raises(ZooError, match="nothing is left to tune"):
        ppo_space({}, pinned=list({*drawn, *pinned}))


def test_other_policy_kwargs_of_the_entry_are_kept() -> None:
    space = ppo_space({"policy_kwargs": "dict(ortho_init=False, log_std_init=-2)"})
    drawn = space.draw(trials(1)[0])
    assert drawn["policy_kwargs"].startswith("dict(ortho_init=False, log_std_init=-2, net_arch=")


def test_written_figures_are_the_ones_that_are_trained_with() -> None:
    for trial in trials(20):
        drawn = ppo_space({}).draw(trial)
        for value in drawn.values():
            if isinstance(value, float):
                assert value == float(f"{value:.4g}")
        rate = str(drawn["learning_rate"]).removeprefix("lin_")
        assert math.isclose(float(rate), trial.params["learning_rate"], rel_tol=1e-3)


def test_action_noise_is_drawn_by_name() -> None:
    made = plan({"n_timesteps": 1e3}, "td3", "Pendulum-v1")
    settings = resolve(Entry(made.values, "x", "x"), load_algorithm("td3"), "td3")
    space = search_space(made, settings, gym.make("Pendulum-v1").action_space)
    kinds = {space.draw(trial)["noise_type"] for trial in trials(20)}
    assert kinds == {None, "normal", "ornstein-uhlenbeck"}


def test_an_algorithm_without_a_space_says_which_have_one() -> None:
    made = plan({"n_timesteps": 1e3}, "crossq", "Pendulum-v1")
    settings = resolve(Entry(made.values, "x", "x"), load_algorithm("crossq"), "crossq")
    with pytest.raises(ZooError, match=r"no search space for --algo crossq .*ppo_numpy.*sac"):
        search_space(made, settings, gym.make("Pendulum-v1").action_space)


def test_all_four_of_ours_share_one_space() -> None:
    made = plan({"n_timesteps": 1e4})
    settings = resolve(Entry(made.values, "x", "x"), load_algorithm("ppo_numpy"), "ppo_numpy")
    for algo in OWN_ALGORITHMS:
        space = search_space(plan(made.values, algo), settings, gym.spaces.Discrete(2))
        assert isinstance(space, PPOSpace)
