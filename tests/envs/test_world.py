from functools import partial

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs import noise
from envs.simple_aim import SimpleAim
from envs.target_reach import TargetReach
from envs.vector_env import WorldVectorEnv
from envs.world import Rows, first_rows, override_params, reset_where, step_autoreset


def test_reset_where_changes_the_done_rows_only(drift):
    params = drift.default_params
    rng = np.random.default_rng(0)
    rows = first_rows(drift, np, rng.random((3, 9), dtype=np.float32), params)
    rows = Rows(rows.state, rows.elapsed + 4, rows.episodes)
    upcoming = rng.random((3, 9), dtype=np.float32)
    after = reset_where(drift, np, np.array([False, True, False]), rows, upcoming, params)
    expected = drift.initial(np, upcoming, params)
    np.testing.assert_array_equal(after.state.position[1], expected.position[1])
    np.testing.assert_array_equal(after.state.position[[0, 2]], rows.state.position[[0, 2]])
    assert after.elapsed.tolist() == [4, 0, 4]
    assert after.episodes.tolist() == [1, 2, 1]
    assert after.elapsed.dtype == after.episodes.dtype == np.int32


@pytest.mark.parametrize(
    ("world", "limit"),
    [(SimpleAim(), 40), (TargetReach(), 12), ("drift", 7), ("drift", None)],
    ids=["SimpleAim", "TargetReach", "drift, short", "drift, no limit"],
)
def test_jitted_scan_equals_the_numpy_adapter(world, limit, drift):
    """The collector's view: one compiled scan of `step_autoreset` over a whole rollout."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    world = drift if world == "drift" else world
    n_steps, n_rows, seed = 300, 5, 11
    env = WorldVectorEnv(world, num_envs=n_rows, max_episode_steps=limit)
    env.action_space.seed(0)
    actions = np.stack([env.action_space.sample() for _ in range(n_steps)])
    philox = noise.Philox()
    step_noise = np.stack(
        [philox.uniforms(seed + i, 1, 0, n_steps, world.n_step_noise) for i in range(n_rows)], 1
    )
    reset_noise = np.stack(
        [philox.uniforms(seed + i, 0, 0, n_steps, world.n_reset_noise) for i in range(n_rows)]
    )

    @jax.jit
    def rollout(params):
        one = partial(step_autoreset, world, jnp, params=params, max_episode_steps=limit)

        def body(rows, inputs):
            action, uniforms = inputs
            upcoming = jnp.asarray(reset_noise)[jnp.arange(n_rows), rows.episodes]
            rows, observation, transition = one(rows, action, uniforms, upcoming)
            return rows, (observation, transition)

        rows = first_rows(world, jnp, jnp.asarray(reset_noise[:, 0]), params)
        return jax.lax.scan(body, rows, (jnp.asarray(actions), jnp.asarray(step_noise)))

    final_rows, (observations, transitions) = rollout(env.params)
    env.reset(seed=seed)
    n_ends = 0
    for t in range(n_steps):
        obs, reward, terminated, truncated, infos = env.step(actions[t])
        np.testing.assert_array_equal(terminated, transitions.terminated[t])
        np.testing.assert_array_equal(truncated, transitions.truncated[t])
        np.testing.assert_allclose(obs, observations[t], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(reward, transitions.reward[t], rtol=1e-5, atol=1e-5)
        for row in np.flatnonzero(terminated | truncated):
            final = infos["final_obs"][row]
            np.testing.assert_allclose(final, transitions.observation[t, row], rtol=1e-5, atol=1e-5)
            n_ends += 1
    assert n_ends > n_rows
    assert final_rows.elapsed.dtype == np.int32


def test_worlds_can_be_static_arguments_under_jit():
    assert SimpleAim() == SimpleAim()
    assert hash(SimpleAim()) == hash(SimpleAim())
    assert TargetReach() != SimpleAim()


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_parameters_by_keyword(make):
    env = make("SimpleAim-v0", target_speed=8, size=(400, 300)).unwrapped
    assert env.params.target_speed == 8.0
    assert isinstance(env.params.target_speed, float)
    assert env.params.size.tolist() == [400, 300]
    assert env.params.size.dtype == np.float32
    env.reset(seed=0)
    assert env.state.mouse.tolist() in ([200, 150], [[200, 150]])
    assert make("SimpleAim-v0").unwrapped.params.size.tolist() == [800, 600]
    with pytest.raises(TypeError, match="no parameter 'target_sped'; it takes size, mouse_speed"):
        make("SimpleAim-v0", target_sped=8)


def test_parameter_values_are_checked(drift):
    world = SimpleAim()
    with pytest.raises(TypeError, match="target_speed must be a number"):
        override_params(world, {"target_speed": "fast"})
    with pytest.raises(ValueError, match=r"size must have shape \(2,\)"):
        override_params(world, {"size": 800})
    with pytest.raises(ValueError, match="hit_radius must be finite"):
        override_params(world, {"hit_radius": float("nan")})
    with pytest.raises(TypeError, match="patience must be of type int"):
        override_params(drift, {"patience": 2.5})
    assert override_params(drift, {"patience": 3}).patience == 3
