"""Collecting and learning in one jitted program must be the loop's own work, only elsewhere."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.vec_env import VecMonitor, VecNormalize

import envs  # noqa: F401
from sb3_ext import JaxPPO, NumpyPPO, PPOExtensions
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv, JaxWorldVecEnv

N_ENVS, N_STEPS = 4, 32


def make_env(cls=JaxWorldVecEnv, world="SimpleAim-v0", n_envs=N_ENVS, **kwargs):
    env = cls(gym.make_vec(world, num_envs=n_envs, **kwargs))
    env.seed(5)  # as the model with its own seed will
    return env


def make(env, **kwargs):
    options = {"n_steps": N_STEPS, "batch_size": 32, "n_epochs": 3, "seed": 5} | kwargs
    return JaxPPO("MlpPolicy", env, **options)


class Seen(BaseCallback):
    """Keeps every step's locals."""

    def __init__(self):
        super().__init__()
        self.steps, self.values = [], []

    def _on_step(self):
        names = ("obs", "actions", "clipped_actions", "rewards", "dones", "infos", "new_obs")
        self.steps.append({name: self.locals[name] for name in names})
        self.values.append(self.locals["values"].numpy().copy())
        return True


@pytest.mark.parametrize(
    ("world", "limit"), [("SimpleAim-v0", 10), ("TargetReach-v0", 10), ("TargetReach-v0", 1)]
)
def test_the_recorded_steps_are_what_the_env_does_with_these_actions(world, limit):
    """Limit 1: every row begins more episodes than the program first has noise for."""
    seen = Seen()
    kwargs = {"world": world, "max_episode_steps": limit}
    make(make_env(**kwargs)).learn(2 * N_ENVS * N_STEPS, callback=seen)
    reference = make_env(GymnasiumVecEnv, **kwargs)
    obs = reference.reset()
    assert any(step["dones"].any() for step in seen.steps)
    for step in seen.steps:
        np.testing.assert_allclose(step["obs"], obs, atol=1e-6)
        obs, rewards, dones, infos = reference.step(step["clipped_actions"])
        np.testing.assert_allclose(step["new_obs"], obs, atol=1e-6)
        np.testing.assert_allclose(step["rewards"], rewards, atol=1e-5)
        np.testing.assert_array_equal(step["dones"], dones)
        for got, wanted in zip(step["infos"], infos, strict=True):
            assert got.keys() == wanted.keys()
            if wanted:
                assert got["episode"]["l"] == wanted["episode"]["l"]
                assert got["episode"]["r"] == pytest.approx(wanted["episode"]["r"], abs=1e-3)
                assert got["reward_terms"] == pytest.approx(wanted["reward_terms"], abs=1e-3)
                assert got["TimeLimit.truncated"] == wanted["TimeLimit.truncated"]
                np.testing.assert_allclose(
                    got["terminal_observation"], wanted["terminal_observation"], atol=1e-6
                )


@pytest.mark.parametrize(
    "kwargs",
    [
        {"batch_size": 48},
        {"use_sde": True, "sde_sample_freq": 8, "normalize_advantage": False},
        {"target_kl": 1e-4, "clip_range_vf": 0.2, "ent_coef": 0.01},
        {"extensions": PPOExtensions(n_rollouts_kept=2)},
        {"extensions": PPOExtensions(accumulate_minibatches=2, value_learning_rate=1e-3)},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:a rollout of:UserWarning")
def test_it_learns_what_the_loop_learns(kwargs):
    """Two iterations; a time limit of 20 makes truncated episodes within them."""
    models = {}
    for cls in (JaxWorldVecEnv, GymnasiumVecEnv):
        env = make_env(cls, max_episode_steps=20)
        models[cls] = make(env, **kwargs).learn(2 * N_ENVS * N_STEPS)
    ours, theirs = models.values()
    np.testing.assert_allclose(
        ours.rollout_buffer.advantages, theirs.rollout_buffer.advantages, atol=2e-3
    )
    for name, value in theirs.actor_critic.parameters().items():
        np.testing.assert_allclose(
            ours.actor_critic.parameters()[name], value, atol=1e-3, err_msg=name
        )
    assert ours._n_updates == theirs._n_updates
    assert ours.num_timesteps == theirs.num_timesteps
    logged = ours.logger.name_to_value
    for name, value in theirs.logger.name_to_value.items():
        if name.startswith("train/"):
            assert logged[name] == pytest.approx(value, rel=0.05, abs=5e-3), name


def test_discrete_actions_learn_alike():
    results = [
        make(make_env(cls, "TargetReach-v0")).learn(2 * N_ENVS * N_STEPS).actor_critic.parameters()
        for cls in (JaxWorldVecEnv, GymnasiumVecEnv)
    ]
    for name, value in results[1].items():
        np.testing.assert_allclose(results[0][name], value, atol=1e-3, err_msg=name)


def test_values_that_a_callback_asks_for_are_those_of_the_policy_that_acted():
    seen = Seen()
    model = make(make_env())
    before = model.actor_critic.parameters()
    model.learn(N_ENVS * N_STEPS, callback=seen)
    np.testing.assert_allclose(
        np.stack(seen.values)[..., 0], model.rollout_buffer.values, atol=1e-5
    )
    model.actor_critic.load_parameters(before)
    np.testing.assert_allclose(
        model.actor_critic.values(seen.steps[0]["obs"]), seen.values[0][:, 0], atol=1e-5
    )


class ChangesRate(BaseCallback):
    def _on_rollout_end(self):
        self.model.lr_schedule = lambda _: 1e-2

    def _on_step(self):
        return True


def test_a_setting_changed_by_a_callback_counts():
    changed, fixed = make(make_env()), make(make_env(), learning_rate=1e-2)
    changed.learn(N_ENVS * N_STEPS, callback=ChangesRate())
    fixed.learn(N_ENVS * N_STEPS)
    for name, value in fixed.actor_critic.parameters().items():
        np.testing.assert_allclose(changed.actor_critic.parameters()[name], value, atol=1e-5)


class AsksTheEnv(BaseCallback):
    def _on_step(self):
        self.training_env.get_attr("state")
        return True


class Draws(BaseCallback):
    def _on_step(self):
        self.training_env.render()
        return True


@pytest.mark.parametrize("callback", [AsksTheEnv, Draws])
def test_a_callback_that_needs_the_env_is_refused_by_name(callback):
    model = make(EpisodeLog(make_env(render_mode="rgb_array")))
    with pytest.raises(ValueError, match=f"{callback.__name__}: .* needs the env itself"):
        model.learn(N_ENVS * N_STEPS, callback=CallbackList([Seen(), callback()]))
    model.get_env().reset()
    model.get_env().get_attr("state")  # outside of a rollout it may be asked


class StopsAt(BaseCallback):
    def _on_step(self):
        return self.num_timesteps != 10 * N_ENVS


def test_a_stopped_rollout_is_played_out_before_the_next_one():
    model = make(make_env()).learn(N_ENVS * N_STEPS, callback=StopsAt())
    assert model.num_timesteps == 10 * N_ENVS
    assert model._n_updates == 0
    before = model.actor_critic.parameters()
    model.learn(N_ENVS * N_STEPS, reset_num_timesteps=False)
    assert model._n_updates == 3
    assert any((v != before[k]).any() for k, v in model.actor_critic.parameters().items())


def test_wrappers_that_only_watch_are_fine_and_others_refused():
    with pytest.warns(UserWarning, match="already wrapped"):
        env = VecMonitor(EpisodeLog(make_env()))
    make(env).learn(N_ENVS * N_STEPS)
    with pytest.raises(ValueError, match="VecNormalize changes"):
        make(VecNormalize(make_env())).learn(N_ENVS * N_STEPS)


def test_only_worlds_with_a_definition():
    with pytest.raises(TypeError, match="functional definition"):
        JaxWorldVecEnv(gym.make_vec("CartPole-v1", num_envs=2))


def test_any_other_algorithm_takes_it_as_a_plain_vec_env():
    results = []
    for cls in (JaxWorldVecEnv, GymnasiumVecEnv):
        model = NumpyPPO("MlpPolicy", make_env(cls), n_steps=N_STEPS, batch_size=32, seed=5)
        results.append(model.learn(N_ENVS * N_STEPS).actor_critic.parameters())
    for name, value in results[1].items():
        np.testing.assert_array_equal(results[0][name], value)


def test_not_finite_numbers_are_named():
    model = make(make_env())
    parameters = model.actor_critic.parameters()
    parameters["value_net.bias"][:] = np.inf
    model.actor_critic.load_parameters(parameters)
    with pytest.raises(FloatingPointError):
        model.learn(N_ENVS * N_STEPS)
