"""Who takes part in ppo_speed.py: builders of models that share ``learn`` and ``predict``.

``vector`` is the world's own vector env, ``dummy`` SB3's DummyVecEnv of single envs: the same world
bit for bit. In ``jitted`` form the world is part of the training program: our JAX backend's, and
``pure_jax`` knows no other.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import stable_baselines3
import yaml
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

import envs  # noqa: F401 (registers SimpleAim-v0)
from sb3_ext import PPO
from sb3_ext.schedules import from_string
from sb3_ext.vec_env import GymnasiumVecEnv, JaxWorldVecEnv

ENV = "SimpleAim-v0"
PEERS = ("sbx", "pure_jax")
ENV_FORMS = ("vector", "dummy", "jitted")


class Contestant(NamedTuple):
    """An algorithm with the form in which it gets the world."""

    name: str
    env: str
    build: Callable[[dict[str, Any]], Any]  # from n_envs and SB3's hyperparameters
    is_ours: bool = False


def contestants(backends: list[str], peers: list[str], forms: list[str]) -> list[Contestant]:
    """Everybody, SB3 first."""
    algorithms: dict[str, Callable] = {"SB3": partial(stable_baselines3.PPO, device="cpu")}
    if "sbx" in peers:
        import sbx

        algorithms["sbx"] = sbx.PPO
    algorithms |= {backend: partial(PPO, backend=backend) for backend in backends}
    result = [
        Contestant(name, form, partial(_build, algorithm, form), name in backends)
        for name, algorithm in algorithms.items()
        for form in forms
        if form != "jitted" or name == "jax"
    ]
    if "pure_jax" in peers and "jitted" in forms:
        from peers.pure_jax import PurePPO, settings_of

        def build(settings: dict[str, Any]) -> PurePPO:
            return PurePPO(ENV, settings_of(settings))

        result.append(Contestant("pure_jax", "jitted", build))
    return result


def _build(algorithm: Callable, form: str, settings: dict[str, Any]) -> Any:
    settings = dict(settings)
    n_envs = settings.pop("n_envs")
    if isinstance(rate := settings.get("learning_rate"), str):
        settings["learning_rate"] = from_string(rate)
    return algorithm("MlpPolicy", make_env(form, n_envs), seed=0, **settings)


def make_env(form: str, n_envs: int) -> VecEnv:
    """The world in one of ``ENV_FORMS``."""
    if form == "dummy":
        return make_vec_env(ENV, n_envs)
    as_vec_env = JaxWorldVecEnv if form == "jitted" else GymnasiumVecEnv
    return as_vec_env(gym.make_vec(ENV, num_envs=n_envs))


def zoo_entry() -> tuple[dict[str, Any], int]:
    """The world's entry in hyperparams/ppo.yml: the hyperparameters with n_envs, and the steps."""
    file = Path(__file__).parents[1] / "hyperparams" / "ppo.yml"
    entry = yaml.safe_load(file.read_text())[ENV]
    assert entry.pop("policy") == "MlpPolicy"
    return entry, int(entry.pop("n_timesteps"))
