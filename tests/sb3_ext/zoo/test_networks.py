"""Networks of one's own through the command line: named in YAML, refused in one line."""

import json

import pytest

from sb3_ext import PPO

NETS = """
from sb3_ext.backends.numpy_backend import Linear, Module

class Linears(Module):
    def __init__(self, observation_space, n_outputs, rng, gain=0.1):
        n = observation_space.shape[0]
        self.actor = Linear.orthogonal(rng, n, n_outputs, gain)
        self.critic = Linear.orthogonal(rng, n, 1)

    def forward(self, x):
        return self.actor.forward(x), self.critic.forward(x)

    def backward(self, d_outputs, d_values):
        self.actor.backward(d_outputs, needs_d_x=False)
        self.critic.backward(d_values, needs_d_x=False)

class TooMany(Linears):
    def __init__(self, observation_space, n_outputs, rng):
        super().__init__(observation_space, n_outputs + 1, rng)
"""
ENTRY = """
TargetReach-v0:
  n_timesteps: 64
  policy: MlpPolicy
  n_steps: 64
  policy_kwargs: {kwargs}
"""
FLAGS = ("--env", "TargetReach-v0", "-conf", "nets.yml", "--gym-packages", "own_zoo_nets")
QUICK = ("--eval-freq", "-1", "--final-eval-episodes", "0", "--seed", "1")


@pytest.fixture
def zoo_with(zoo, tmp_path, monkeypatch):
    """The command line with a package of networks and an entry's policy_kwargs."""
    (tmp_path / "own_zoo_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)

    def run(algo, kwargs):
        (tmp_path / "nets.yml").write_text(ENTRY.format(kwargs=kwargs))
        return zoo("--algo", algo, *FLAGS, *QUICK)

    return run


@pytest.mark.parametrize(
    "kwargs",
    [
        "\"dict(network='own_zoo_nets:Linears', network_kwargs=dict(gain=0.5))\"",
        "{network: own_zoo_nets.Linears, network_kwargs: {gain: 0.5}}",
    ],
)
def test_both_ways_to_write_it(zoo_with, tmp_path, kwargs):
    answer = zoo_with("ppo_numpy", kwargs)
    assert answer.code == 0, answer.err
    (folder,) = (tmp_path / "logs" / "ppo_numpy").iterdir()
    assert json.loads((folder / "summary.json").read_text())["steps"] == 64
    model = PPO.load(folder / "TargetReach-v0.zip")
    assert isinstance(model.policy_kwargs["network"], str)
    assert type(model.actor_critic.own_network).__name__ == "Linears"


@pytest.mark.parametrize(
    ("algo", "kwargs", "message"),
    [
        ("ppo_numpy", "{network: own_zoo_nets.Missing}", "Missing"),
        ("ppo_numpy", "{network: own_zoo_nets.TooMany}", "must give (outputs [B, 2]"),
        ("ppo_numpy", "{network: own_zoo_nets.Linears, net_arch: [8]}", "net_arch"),
        ("ppo_torch", "{network: own_zoo_nets.Linears}", "needs backend='numpy', not 'torch'"),
        ("ppo", "{network: own_zoo_nets.Linears}", "network"),
    ],
)
def test_refusals_are_one_line(zoo_with, tmp_path, algo, kwargs, message):
    answer = zoo_with(algo, kwargs)
    assert answer.code == 2
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "logs").exists()
