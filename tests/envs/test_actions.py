import numpy as np
import pytest
from gymnasium import spaces

from envs.actions import batch_actions, single_action

BOX = spaces.Box(-1, 1, (2,), np.float32)
DISCRETE = spaces.Discrete(3, start=1)
MULTI = spaces.MultiDiscrete([2, 3])


@pytest.mark.parametrize("action", [[0.5, -9], np.array([1, 2]), np.array([0.1, 0.2], np.float64)])
def test_a_box_takes_what_converts(action):
    converted = single_action(BOX, action)
    assert converted.dtype == np.float32
    np.testing.assert_allclose(converted, action, rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "action", "message"),
    [
        (BOX, [1.0], r"must have shape \(2,\), got \(1,\)"),
        (BOX, [[1.0, 1.0]], "must have shape"),
        (BOX, [np.nan, 0.0], "must be finite"),
        (BOX, [np.inf, -np.inf], "must be finite"),
        (BOX, ["left", "up"], "actions must be of a type like float32"),
        (DISCRETE, 0, "must lie in Discrete"),
        (DISCRETE, 4, "must lie in Discrete"),
        (DISCRETE, 1.5, "must lie in Discrete"),
        (MULTI, np.array([1, 3]), "must lie in MultiDiscrete"),
    ],
)
def test_wrong_single_actions(space, action, message):
    with pytest.raises(ValueError, match=message):
        single_action(space, action)


@pytest.mark.parametrize(
    ("space", "actions", "message"),
    [
        (BOX, np.zeros((2, 2)), r"must have shape \(3, 2\), got \(2, 2\)"),
        (BOX, np.zeros((2, 3)).T[:, :1], "must have shape"),
        (BOX, [[0, 0], [0, np.nan], [0, 0]], "must be finite"),
        (DISCRETE, [1, 2, 4], "every action must lie in"),
        (DISCRETE, [0, 2, 3], "every action must lie in"),
        (DISCRETE, [1.0, 2.0, 3.0], "actions must be of a type like int64"),
        (DISCRETE, [[1], [2], [3]], "must have shape"),
        (MULTI, [[0, 0], [1, 2], [2, 0]], "every action must lie in"),
    ],
)
def test_wrong_batches(space, actions, message):
    with pytest.raises(ValueError, match=message):
        batch_actions(space, actions, 3)


def test_batches_come_in_fortran_order_and_large_numbers_are_finite():
    batch = batch_actions(BOX, np.full((3, 2), 3e38), 3)
    assert batch.flags.f_contiguous
    assert batch.dtype == np.float32
    assert batch_actions(DISCRETE, np.array([3, 2, 1], np.int32), 3).dtype == np.int64
    assert batch_actions(MULTI, [[0, 0], [1, 2], [1, 0]], 3).shape == (3, 2)
