"""PassiveWalker-v0 as a single environment with MuJoCo's own model and data."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from envs.noise import RESET, Philox
from envs.passive_walker import physics
from envs.passive_walker.checks import finite_number
from envs.passive_walker.rewards import TERMS, weights_of
from envs.passive_walker.task import N_NOISE, Options, Task, clip_actions, end_of, observe
from envs.resets import fresh_seed

Policy = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Actions `[n, 3]` for observations `[n, 12]`."""

_ONE = np.zeros(1, np.intp)
_WHOLE_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


def make_task(
    n_rows: int,
    hz: float,
    seconds: float | None,
    slope: Any,
    friction: Any,
    reward: str,
    reward_weights: dict[str, Any] | None,
    **others: Any,
) -> Task:
    """A task from an environment's arguments.

    Raises:
        ImportError: MuJoCo is too old or too new.
        TypeError, ValueError: An argument makes no sense.
    """
    physics.check_version()
    physics.timing(hz)
    options = Options.of(slope, friction, **others)
    weights = weights_of(reward, {} if reward_weights is None else reward_weights)
    if seconds is not None and finite_number("seconds", seconds) < 1.0 / hz:
        raise ValueError(f"seconds must be at least one control step, or None, got {seconds}")
    limit = None if seconds is None else round(seconds * hz)
    return Task(n_rows, hz, options, weights, limit)


class PassiveWalkerEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """A planar biped without knees that can walk down a slope with almost no effort.

    Observation (12): see `task.observe`. Action (3) in [-1, 1]: hip torque (20 N m, leg against
    leg) and how far each foot is drawn up (negative: not at all). It terminates when the walker
    falls or comes forward by less than 0.1 m in 2 s; the last info's `end` says which.

    Args:
        hz: Control rate; the physics' timestep is chosen so that it divides a control step.
        seconds: Time limit of an episode, whatever the control rate; None: none.
        slope: Degrees, 0 to 12; or (lowest, highest), drawn for each episode.
        friction: Of feet and ground; or (lowest, highest).
        mass: By which share the hip's and the legs' masses vary.
        push: Largest impulse at the hip, N s, every 4 s.
        start: "gait", "rest" or "mixed".
        pace: By which share a gait's velocities vary at the start.
        reward: "efficient", "speed" or "original".
        reward_weights: Weights of that preset to change, by name.
        render_mode: "human" (MuJoCo's viewer), "rgb_array" or None.

    Attributes:
        model: MuJoCo's model.
        data: Its state.

    Raises:
        ImportError: MuJoCo is older than 3.17, or 5 or newer.
        TypeError, ValueError: An argument makes no sense.
    """

    metadata = {  # noqa: RUF012 (Gymnasium's)
        "render_modes": ["human", "rgb_array"],
        "render_fps": 50,
        "pretrained": {"efficient": str(Path(__file__).parent / "pretrained" / "efficient.npz")},
    }

    def __init__(
        self,
        hz: float = 50.0,
        seconds: float | None = 20.0,
        slope: Any = 3.0,
        friction: Any = 1.0,
        mass: float = 0.0,
        push: float = 0.0,
        start: str = "gait",
        pace: float = 0.05,
        reward: str = "efficient",
        reward_weights: dict[str, Any] | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.task = make_task(
            1,
            hz,
            seconds,
            slope,
            friction,
            reward,
            reward_weights,
            mass=mass,
            push=push,
            start=start,
            pace=pace,
        )
        self.metadata = {**self.metadata, "render_fps": round(hz)}
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode must be human or rgb_array, got {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space, self.action_space = Task.observation_space, Task.action_space
        self.model = physics.load_model(hz, np.radians(self.task.options.slope[0]))
        self.data = mujoco.MjData(self.model)
        self._n_substeps = physics.timing(hz)[0]
        self._base = Constants.of(self.model)
        self._noise = Philox()
        self._seed: int | None = None
        self._episode = 0
        self._sums = np.zeros((len(TERMS), 1))
        self._last: tuple[Any, ...] = ()  # what `trajectory_record` tells
        self._over = True
        self._camera: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode, the seed's next one."""
        super().reset(seed=seed)
        if seed is not None or self._seed is None:
            self._seed, self._episode = (fresh_seed() if seed is None else seed), 0
        noise = self._noise.uniforms(self._seed, RESET, self._episode, 1, N_NOISE)
        self._episode += 1
        start = self.task.begin(_ONE, noise)
        self._base.restore(self.model, start.friction[0], start.masses[0])
        physics.incline(self.model, float(self.task.slope[0]))
        mujoco.mj_setConst(self.model, self.data)
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:], self.data.qvel[:] = start.qpos[0], start.qvel[0]
        mujoco.mj_forward(self.model, self.data)
        self._sums[:], self._over = 0.0, False
        state = self._state()
        if not self._last:
            self._last = (0.0, *state, 0.0, self.task.slope, self._sums)
        if self.render_mode == "human":
            self.render()
        return observe(*state, self.task.slope)[0], {}

    def push(self, impulse: float) -> None:
        """Pushes the hip down (or, below 0, up) the slope during the next step, N s."""
        self.task.push(impulse)

    def _state(self) -> tuple[NDArray, NDArray, NDArray]:
        data = self.data
        return data.qpos[None].copy(), data.qvel[None].copy(), data.sensordata[None].copy()

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Steps the physics for one control step.

        Raises:
            ValueError: The action isn't three finite numbers.
            gymnasium.error.ResetNeeded: The episode is over, or there was none.
        """
        if self._over:
            raise ResetNeeded("the episode is over: call reset() before step()")
        actions = clip_actions(np.asarray(action)[None], 1)
        self.data.ctrl[:] = self.task.controls(actions)[0]
        self.data.xfrc_applied[1, 0] = self.task.pushes()[0]
        mujoco.mj_step(self.model, self.data, self._n_substeps)
        state = self._state()
        outcome = self.task.step(*state, actions)
        self._sums += outcome.terms
        self._last = (
            self.task.elapsed[0] / self.task.hz,
            *state,
            self.data.ctrl[0],
            self.task.slope,
            outcome.terms,
        )
        terminated = bool(outcome.terminated[0])
        info: dict[str, Any] = {"x": float(state[0][0, 0]), "speed": float(outcome.speed[0])}
        truncated = bool(outcome.truncated[0])
        if terminated or truncated:
            end = end_of(terminated, truncated, state[0][0])
            info |= {"end": end, "reward_terms": named(self._sums[:, 0])}
            self._over = True
        if self.render_mode == "human":
            self.render()
        return outcome.observation[0], float(outcome.reward[0]), terminated, truncated, info

    def trajectory_record(self) -> dict[str, NDArray[np.float64]]:
        """The moment that the last step led to, also when the episode was reset since.

        Returns:
            `time` in s and `slope` in rad, `qpos [6]`, `qvel [6]`, the hip's `torque` in N m, the
            forces `touch [2]` on the feet in N, and the step's `reward_terms [6]`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._last:
            raise ResetNeeded("call reset() before trajectory_record()")
        time, qpos, qvel, touch, torque, slope, terms = self._last
        row = {"qpos": qpos, "qvel": qvel, "touch": touch, "slope": slope, "reward_terms": terms.T}
        record = {name: values[0].copy() for name, values in row.items()}
        return record | {"time": np.float64(time), "torque": np.float64(torque)}

    def snapshot(self) -> dict[str, Any]:
        """The episode under way and the place in the stream of noise, for `restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._last:
            raise ResetNeeded("call reset() before snapshot()")
        state = np.empty(mujoco.mj_stateSize(self.model, _WHOLE_STATE))
        mujoco.mj_getState(self.model, self.data, state, _WHOLE_STATE)
        return {
            "state": state,
            "constants": copy.deepcopy(Constants.of(self.model)),
            "task": self.task.snapshot(),
            "last": copy.deepcopy(self._last),
            "sums": self._sums.copy(),
            "place": (self._seed, self._episode, self._over),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where `snapshot` was taken, in this process or in another."""
        self.task.restore(snapshot["task"])
        snapshot["constants"].write(self.model)
        physics.incline(self.model, float(self.task.slope[0]))
        mujoco.mj_setConst(self.model, self.data)
        # Twice, because what makes it ready to be drawn also moves the solver's first guess.
        mujoco.mj_setState(self.model, self.data, snapshot["state"], _WHOLE_STATE)
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_setState(self.model, self.data, snapshot["state"], _WHOLE_STATE)
        self._last, self._sums = copy.deepcopy(snapshot["last"]), snapshot["sums"].copy()
        self._seed, self._episode, self._over = snapshot["place"]

    def write_report(
        self,
        folder: str | os.PathLike[str],
        arrays: Mapping[str, NDArray[Any]],
        policy: Policy | None = None,
    ) -> list[Path]:
        """Writes the gait report of walks in this environment: a page, pictures, tables.

        Args:
            folder: Where to; made if need be.
            arrays: What `trajectory_record` told after each step, stacked `[T, ...]`, with the
                `rewards` and the number of the `episode`, `[T]`.
            policy: Actions `[n, 3]` for observations `[n, 12]`; given, it's sent down slopes and
                pushed, at this environment's control rate.

        Returns:
            The files, the page `gait.html` first.

        Raises:
            ValueError: An array is missing, or their lengths differ.
        """
        from envs.passive_walker.report import write_report

        slope = float(np.mean(self.task.options.slope))
        return write_report(folder, arrays, policy, hz=self.task.hz, slope=slope)

    def render(self) -> Any:
        """A picture `[540, 960, 3]` under "rgb_array"; moves the viewer under "human"."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to make()")
            return None
        if self._camera is None:
            from envs.passive_walker.rendering import open_camera

            self._camera = open_camera(self.render_mode, self.model, self.data, self.task.hz)
        return self._camera.show(self.data)

    def close(self) -> None:
        """Closes the viewer, if there is one."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def named(terms: NDArray) -> dict[str, Any]:
    """Reward terms `[6, ...]` by their names."""
    return dict(zip(TERMS, terms.tolist(), strict=True))


class Constants:
    """The model's friction, masses and inertias as they were; variations start from these."""

    def __init__(self, friction: NDArray, mass: NDArray, inertia: NDArray) -> None:
        self.friction, self.mass, self.inertia = friction, mass, inertia

    @classmethod
    def of(cls, model: mujoco.MjModel) -> Constants:
        """A model's own."""
        return cls(model.geom_friction.copy(), model.body_mass.copy(), model.body_inertia.copy())

    def restore(self, model: Any, friction: Any, masses: NDArray) -> None:
        """Writes an episode's variation of them.

        Args:
            model: What has the fields `geom_friction`, `body_mass` and `body_inertia`.
            friction: Of feet and ground.
            masses: Factors of hip, left and right leg, `[3]`.
        """
        self.write(model)
        factors = body_factors(masses)
        model.geom_friction[:, 0] = friction
        model.body_mass[:] = self.mass * factors
        model.body_inertia[:] = self.inertia * factors[:, None]

    def write(self, model: Any) -> None:
        """Writes them as they are."""
        model.geom_friction[:] = self.friction
        model.body_mass[:] = self.mass
        model.body_inertia[:] = self.inertia


def body_factors(masses: NDArray) -> NDArray:
    """Factors of all bodies, `[..., 6]`, from those of hip, left and right leg, `[..., 3]`.

    Bodies: the world, the hip, the left leg and its foot, the right leg and its foot.
    """
    world = np.ones_like(masses[..., :1])
    return np.concatenate([world, masses[..., [0, 1, 1, 2, 2]]], axis=-1)
