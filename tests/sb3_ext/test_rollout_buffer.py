"""The rollout's store: shapes, masks, lazy locals, finite numbers."""

import numpy as np
import pytest
from gymnasium import spaces

from sb3_ext.rollout_buffer import (
    RolloutBuffer,
    StepLocals,
    check_finite,
    our_buffer,
    rows_of,
    truncated,
)

BOX = spaces.Box(-1, 1, (3,), np.float32)


def filled(action_space, observation_space=BOX, n_steps=4, n_envs=2):
    buffer = RolloutBuffer(n_steps, observation_space, action_space, n_envs=n_envs)
    for _ in range(n_steps):
        sample = [observation_space.sample() for _ in range(n_envs)]
        obs = (
            {key: np.stack([s[key] for s in sample]) for key in sample[0]}
            if isinstance(observation_space, spaces.Dict)
            else np.stack(sample)
        )
        actions = np.stack([action_space.sample() for _ in range(n_envs)])
        buffer.put(obs, actions, np.ones(n_envs), np.zeros(n_envs))
    return buffer


@pytest.mark.parametrize(
    ("space", "stored", "seen"),
    [
        (spaces.Box(-1, 1, (2,), np.float32), (4, 2, 2), (8, 2)),
        (spaces.Box(-1, 1, (2, 3), np.float64), (4, 2, 6), (8, 6)),
        (spaces.Discrete(3), (4, 2, 1), (8,)),
        (spaces.MultiDiscrete([2, 3]), (4, 2, 2), (8, 2)),
        (spaces.MultiBinary(3), (4, 2, 3), (8, 3)),
    ],
)
def test_actions_as_stored_and_as_networks_take_them(space, stored, seen):
    buffer = filled(space)
    assert buffer.full
    assert buffer.size() == 4
    assert buffer.actions.shape == stored
    assert buffer.actions.dtype == space.dtype
    rows = rows_of(buffer)
    assert rows.actions.shape == seen
    assert rows.actions.dtype == (
        np.int64 if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)) else np.float32
    )


def test_rows_are_views_in_the_order_of_time():
    buffer = filled(spaces.Discrete(3))
    rows = rows_of(buffer)
    assert np.shares_memory(rows.obs, buffer.observations)
    np.testing.assert_array_equal(rows.obs[5], buffer.observations[2, 1])


def test_dict_observations():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(4)})
    buffer = filled(spaces.Discrete(3), space)
    assert buffer.observations["b"].shape == (4, 2, 1)
    assert rows_of(buffer).obs["a"].shape == (8, 3)
    assert {x.shape for x in next(iter(buffer.get(3))).observations.values()} == {(3, 3), (3, 1)}


def test_inactive_rows_are_left_out():
    buffer = filled(spaces.Discrete(3))
    buffer.active = np.ones((4, 2), bool)
    buffer.active[2:, 1] = False
    buffer.episode_starts[2, 1] = 1.0  # it ended with its last active step
    buffer.store_predictions(np.arange(6.0), -np.arange(6.0))
    np.testing.assert_array_equal(buffer.values[:, 0], [0, 2, 4, 5])
    buffer.compute_returns_and_advantage(np.zeros(2), np.zeros(2))
    assert (buffer.advantages[2:, 1] == 0).all()
    assert rows_of(buffer).n_rows == 6
    buffer.reset()
    assert buffer.active is None


def test_reset_keeps_the_memory():
    buffer = filled(spaces.Discrete(3))
    observations = buffer.observations
    buffer.reset()
    assert buffer.observations is observations
    assert (buffer.pos, buffer.full) == (0, False)


def test_locals_are_made_once_per_step():
    made = []
    seen = StepLocals({"a": 1}, {"b": lambda known: made.append(known["a"]) or known["a"] + 1})
    assert "b" in seen
    assert (seen["b"], seen["b"], seen.get("b"), seen.get("c", 5)) == (2, 2, 2, 5)
    assert made == [1]
    seen.update({"a": 10})
    assert seen["b"] == 11
    seen.update({"b": "given"})
    assert seen["b"] == "given"
    with pytest.raises(KeyError):
        seen["c"]


def test_check_finite_names_the_step():
    rewards = np.ones((4, 3), np.float32)
    check_finite("reward", rewards, 100)
    check_finite("observation", {"x": np.ones((4, 3), np.int64)}, 100)
    rewards[1, 2] = np.nan
    with pytest.raises(FloatingPointError, match="the reward of env 2 is not finite at step 94"):
        check_finite("reward", rewards, 100)


def test_truncated_rows_only():
    infos = [
        {"TimeLimit.truncated": True, "terminal_observation": 1},
        {"TimeLimit.truncated": False, "terminal_observation": 2},
        {"TimeLimit.truncated": True, "terminal_observation": 3},
        {"TimeLimit.truncated": True},
    ]
    slots = np.array([7, 8, 9, 10])
    assert truncated(slots, np.array([True, True, False, True]), infos) == [(7, 1)]


def test_other_devices_and_classes_are_refused():
    with pytest.raises(ValueError, match="cuda"):
        RolloutBuffer(4, BOX, BOX, device="cuda")

    class Mine(RolloutBuffer):
        pass

    assert our_buffer(Mine) is Mine
    assert our_buffer(None) is RolloutBuffer
    assert our_buffer(list) is None
