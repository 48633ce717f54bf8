"""What a world is, and what it means to step one: pure functions over numpy or jax.numpy.

A world knows its equations and nothing of Gymnasium, of seeds or of time limits. Every function
here and every method of a world takes the array module `xp` and broadcasts over leading axes:
`[]` is one world, `[n]` are n rows. Shapes below write those leading axes as `...`.

`step_autoreset` is the meaning of a vector environment and can be jitted and scanned as a whole.
The NumPy adapters run the same functions and only leave out the reset when no row is done.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces

Array = Any
"""An array of `xp`: `numpy.ndarray`, a NumPy scalar, `jax.Array` or a tracer."""

State = Any
"""A NamedTuple of arrays, each with the leading axes first: a JAX pytree for free."""

Params = Any
"""A NamedTuple of constants: Python numbers, or float32 arrays where there are several."""


class World(Protocol):
    """The definition of a world: frozen, and pure in every method.

    Subclass it in a frozen dataclass to inherit the defaults of `truncated`, `check_params` and
    `renderer`. Keep Python-scalar constants as they are: they follow the arrays' float32.

    Attributes:
        observation_space: Space of one row's observation.
        action_space: Space of one row's action.
        n_reset_noise: Uniforms in [0, 1) that `initial` takes.
        n_step_noise: Uniforms in [0, 1) that `transition` takes.
        default_params: The constants, a NamedTuple; adapters replace fields by keyword.
        renderer: `"module:Class"` of what draws this world, see `envs.rendering`; "" for nothing.
    """

    observation_space: spaces.Space
    action_space: spaces.Space
    n_reset_noise: int
    n_step_noise: int
    default_params: Params
    renderer: str = ""

    def initial(self, xp: Any, noise: Array, params: Params) -> State:
        """The first state of an episode, from noise `[..., n_reset_noise]`."""
        ...

    def transition(
        self, xp: Any, state: State, action: Array, noise: Array, params: Params
    ) -> State:
        """The next state, from an action `[..., *action_shape]`, noise `[..., n_step_noise]`."""
        ...

    def observation(self, xp: Any, state: State, params: Params) -> Array:
        """What the agent sees, `[..., *observation_shape]`."""
        ...

    def reward(
        self, xp: Any, state: State, action: Array, next_state: State, params: Params
    ) -> dict[str, Array]:
        """Named terms, each `[...]` and always under the same names; their sum is the reward."""
        ...

    def terminated(self, xp: Any, state: State, params: Params) -> Array:
        """Whether the episode has ended in this state, bool `[...]`; no value follows it."""
        ...

    def truncated(self, xp: Any, state: State, params: Params) -> Array:
        """Whether the world itself cuts the episode here, bool `[...]`; a value follows it.

        A limit on the number of steps isn't the world's business: it lives in the Gymnasium spec.
        """
        return xp.zeros_like(self.terminated(xp, state, params))

    def check_params(self, params: Params) -> None:
        """Raises ValueError where the constants make no world (a size of zero, say)."""


class Transition(NamedTuple):
    """One step of a world, before any reset.

    Attributes:
        state: The state after the step.
        observation: Its observation, `[..., *observation_shape]`.
        reward: Sum of the terms, `[...]`.
        reward_terms: The reward's named terms, each `[...]`.
        terminated: bool `[...]`.
        truncated: bool `[...]`.
    """

    state: State
    observation: Array
    reward: Array
    reward_terms: dict[str, Array]
    terminated: Array
    truncated: Array


class Rows(NamedTuple):
    """Rows of worlds under way.

    Attributes:
        state: The world's state, fields `[n, ...]`.
        elapsed: Steps since each row's last reset, int32 `[n]`.
        episodes: Episodes that each row has begun since it was seeded, int32 `[n]`: the index of
            the reset noise that its next episode takes.
    """

    state: State
    elapsed: Array
    episodes: Array


def step(
    world: World, xp: Any, state: State, action: Array, noise: Array, params: Params
) -> Transition:
    """Steps a world: transition, then reward, observation and flags of the state it led to.

    Args:
        world: The definition.
        xp: numpy or jax.numpy.
        state: Fields `[..., *field_shape]`.
        action: `[..., *action_shape]`.
        noise: Uniforms in [0, 1), `[..., n_step_noise]`.
        params: The world's constants.

    Returns:
        The transition; its reward is the sum of its named terms.
    """
    next_state = world.transition(xp, state, action, noise, params)
    terms = world.reward(xp, state, action, next_state, params)
    first, *others = terms.values()
    reward = first
    for term in others:
        reward = reward + term
    return Transition(
        next_state,
        world.observation(xp, next_state, params),
        reward,
        terms,
        world.terminated(xp, next_state, params),
        world.truncated(xp, next_state, params),
    )


def first_rows(world: World, xp: Any, reset_noise: Array, params: Params) -> Rows:
    """Rows at the start of their first episode, from reset noise `[n, n_reset_noise]`."""
    n_rows = reset_noise.shape[0]
    return Rows(
        state=world.initial(xp, reset_noise, params),
        elapsed=xp.zeros(n_rows, dtype=xp.int32),
        episodes=xp.ones(n_rows, dtype=xp.int32),
    )


def advance(
    world: World,
    xp: Any,
    rows: Rows,
    action: Array,
    step_noise: Array,
    params: Params,
    max_episode_steps: int | None,
) -> tuple[Rows, Transition]:
    """Steps rows and truncates those that reach the time limit; resets nothing.

    Args:
        world: The definition.
        xp: numpy or jax.numpy.
        rows: n rows.
        action: `[n, *action_shape]`.
        step_noise: Uniforms in [0, 1), `[n, n_step_noise]`.
        params: The world's constants.
        max_episode_steps: The time limit in steps; None for no limit.

    Returns:
        The rows after the step, and the transition with the time limit in `truncated`.
    """
    transition = step(world, xp, rows.state, action, step_noise, params)
    elapsed = rows.elapsed + 1
    if max_episode_steps is not None:
        # A row may be terminated and truncated at once, as under Gymnasium's TimeLimit.
        truncated = transition.truncated | (elapsed >= max_episode_steps)
        transition = Transition(*transition[:-1], truncated)  # _replace costs 1 us
    return Rows(transition.state, elapsed, rows.episodes), transition


def reset_where(
    world: World, xp: Any, done: Array, rows: Rows, reset_noise: Array, params: Params
) -> Rows:
    """Starts a new episode in the rows that are done and leaves the others as they are.

    Args:
        world: The definition.
        xp: numpy or jax.numpy.
        done: bool `[n]`.
        rows: n rows.
        reset_noise: Uniforms in [0, 1) of each row's next episode, `[n, n_reset_noise]`.
        params: The world's constants.

    Returns:
        The rows, of which the done ones are fresh.
    """
    fresh = world.initial(xp, reset_noise, params)

    def select(new: Array, old: Array) -> Array:
        return xp.where(done.reshape(done.shape + (1,) * (old.ndim - 1)), new, old)

    return Rows(
        state=type(rows.state)(*map(select, fresh, rows.state)),
        elapsed=xp.where(done, 0, rows.elapsed),
        episodes=rows.episodes + done,
    )


def step_autoreset(
    world: World,
    xp: Any,
    rows: Rows,
    action: Array,
    step_noise: Array,
    reset_noise: Array,
    params: Params,
    max_episode_steps: int | None,
) -> tuple[Rows, Array, Transition]:
    """Steps rows and resets within the same step those that are done. Jittable as a whole.

    Args:
        world: The definition; hashable, so that it may be a static argument.
        xp: numpy or jax.numpy; static under jit.
        rows: n rows.
        action: `[n, *action_shape]`.
        step_noise: Uniforms in [0, 1), `[n, n_step_noise]`.
        reset_noise: Uniforms in [0, 1) of each row's next episode, `[n, n_reset_noise]`; only the
            rows that are done use theirs.
        params: The world's constants.
        max_episode_steps: The time limit in steps, static under jit; None for no limit.

    Returns:
        The rows to go on from, the observation to act on next, and the transition, whose
        observation is that of the episodes' last states where a row is done.
    """
    rows, transition = advance(world, xp, rows, action, step_noise, params, max_episode_steps)
    done = transition.terminated | transition.truncated
    rows = reset_where(world, xp, done, rows, reset_noise, params)
    return rows, world.observation(xp, rows.state, params), transition


def override_params(world: World, overrides: dict[str, Any]) -> Params:
    """The world's constants with some replaced.

    Args:
        world: The definition.
        overrides: Field name -> value; a number, or for an array field something of its shape.

    Returns:
        The NamedTuple of constants.

    Raises:
        TypeError: A name isn't one of the world's constants, or its value isn't a number.
        ValueError: A value isn't finite, has the wrong shape, or makes no world.
    """
    params = world.default_params
    name = type(world).__name__
    for key in overrides:
        if key not in params._fields:
            raise TypeError(
                f"{name} has no parameter {key!r}; it takes {', '.join(params._fields)}"
            )
    values = {key: _like(getattr(params, key), key, new) for key, new in overrides.items()}
    params = params._replace(**values)
    world.check_params(params)
    return params


def _like(default: Any, key: str, value: Any) -> Any:
    """Converts a parameter's value to its default's type and shape."""
    try:
        array = np.asarray(value, dtype=np.float32 if np.ndim(default) else np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{key} must be a number or numbers, got {value!r}") from error
    if array.shape != np.shape(default):
        raise ValueError(f"{key} must have shape {np.shape(default)}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{key} must be finite, got {value!r}")
    if array.ndim:
        array = array.copy()
        array.flags.writeable = False
        return array
    number = type(default)(array)
    if number != array:
        raise TypeError(f"{key} must be of type {type(default).__name__}, got {value!r}")
    return number
