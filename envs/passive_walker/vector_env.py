"""PassiveWalker-v0 as rows that are stepped together, on as many threads as one likes."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.noise import ResetNoise
from envs.passive_walker import physics
from envs.passive_walker.env import Constants, body_factors, make_task
from envs.passive_walker.rewards import TERMS
from envs.passive_walker.task import N_NOISE, Task, clip_actions, end_of, observe
from envs.resets import row_seeds


class PassiveWalkerVectorEnv(gym.vector.VectorEnv):
    """Rows of walkers; a row that is done is reset within the same step.

    Row i seeded s is the single environment seeded s + i, bit for bit. Infos are those of Gymnasium
    in SAME_STEP mode; a final info has `end`, `x` and `reward_terms`.

    Args:
        num_envs: How many rows.
        max_episode_steps: A time limit in steps, in place of the one in seconds; None: no other.
        threads: That step them; 1 by default.
        hz: As `PassiveWalkerEnv`'s, and so are all others.
        seconds: See there.
        slope: See there.
        friction: See there.
        mass: See there.
        push: See there.
        start: See there.
        pace: See there.
        reward: See there.
        reward_weights: See there.
        render_mode: "rgb_array" or None.

    Raises:
        ImportError: MuJoCo is older than 3.17, or 5 or newer.
        TypeError, ValueError: An argument makes no sense.
    """

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        threads: int = 1,
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
        for name, number in (("num_envs", num_envs), ("threads", threads)):
            if not isinstance(number, (int, np.integer)) or number < 1:
                raise ValueError(f"{name} must be a whole number from 1 on, got {number!r}")
        if max_episode_steps not in (None, -1):  # gym.make's word for "no limit"
            seconds = max_episode_steps / hz
        self.task = make_task(
            num_envs,
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
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": round(hz),
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")
        self.render_mode, self.num_envs = render_mode, num_envs
        self.single_observation_space = copy.deepcopy(Task.observation_space)
        self.single_action_space = copy.deepcopy(Task.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.model = physics.load_model(hz, np.radians(self.task.options.slope[0]))
        self._base = Constants.of(self.model)
        self._n_substeps = physics.timing(hz)[0]
        from mujoco.batch import Batch  # not in versions that `make_task` has refused by now

        self._batch = Batch(self.model, num_envs, nthread=threads)
        self._bind()
        self._noise = ResetNoise(num_envs, N_NOISE)
        self._started = False
        self._sums = np.zeros((len(TERMS), num_envs))
        self._terms = np.zeros((len(TERMS), num_envs))  # of the last step
        self._ended: dict[str, NDArray] = {}  # where rows were before they were reset
        self._camera: Any = None

    def _bind(self) -> None:
        """Live arrays of the rows' states, and of what differs between them."""
        batch, options = self._batch, self.task.options
        self._qpos, self._qvel = batch.bind("qpos"), batch.bind("qvel")
        self._ctrl, self._force = batch.bind("ctrl"), batch.bind("xfrc_applied")
        self._touch, self._time = batch.bind("sensordata"), batch.bind("time")
        self._first_guess = batch.bind("qacc_warmstart")  # of the solver
        low, high = options.slope
        self._gravity = batch.expand("opt.gravity") if low < high else None
        low, high = options.friction
        varied = low < high or low != 1.0
        self._friction = batch.expand("geom_friction") if varied else None
        self._mass = self._inertia = None
        if options.mass:
            self._mass, self._inertia = batch.expand("body_mass"), batch.expand("body_inertia")

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode in every row.

        Args:
            seed: An int seeds row i with `seed + i`; a list has each row's own. None goes on with
                the streams under way.
            options: None are known.

        Raises:
            ValueError: An unknown option, or seeds that aren't n non-negative ints.
        """
        if options:
            raise ValueError(f"there are no reset options, got {sorted(options)}")
        for row, number in enumerate(row_seeds(seed, self.num_envs, self._started)):
            if number is not None:
                self._noise.seed(row, number)
        super().reset(seed=None if isinstance(seed, list) else seed)
        self._started = True
        self._sums[:] = self._terms[:] = 0.0
        self._ended = {}
        self._begin(np.arange(self.num_envs))
        return observe(self._qpos, self._qvel, self._touch, self.task.slope), {}

    def _begin(self, rows: NDArray[np.intp]) -> None:
        start = self.task.begin(rows, self._noise.upcoming[rows])
        self._noise.advance(rows)
        if self._gravity is not None:
            self._gravity[rows] = start.gravity
        if self._friction is not None:
            self._friction[rows, :, 0] = start.friction[:, None]
        if self._mass is not None and self._inertia is not None:
            factors = body_factors(start.masses)
            self._mass[rows] = self._base.mass * factors
            self._inertia[rows] = self._base.inertia * factors[..., None]
            self._batch.set_const(rows)
        # That is all of a row's state; MuJoCo's own reset clears much more, which takes longer.
        for values in (self._ctrl, self._force, self._first_guess, self._time):
            values[rows] = 0.0
        self._qpos[rows], self._qvel[rows] = start.qpos, start.qvel
        self._batch.forward(rows)

    def push(self, impulses: NDArray[np.float64] | float) -> None:
        """Pushes the hips down (or, below 0, up) the slope during the next step, N s, `[n]`."""
        self.task.push(impulses)

    def step(
        self, actions: Any
    ) -> tuple[NDArray, NDArray, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Steps every row for one control step and resets those that are done.

        Args:
            actions: `[n, 3]`.

        Returns:
            Observations `[n, 12]`, rewards float64 `[n]`, terminated and truncated `[n]`, infos.

        Raises:
            ValueError: The actions' shape is wrong, or one isn't finite.
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before the first step()")
        actions = clip_actions(actions, self.num_envs)
        self._ctrl[:] = self.task.controls(actions)
        self._force[:, 1, 0] = self.task.pushes()
        self._batch.step(nstep=self._n_substeps)
        outcome = self.task.step(self._qpos, self._qvel, self._touch, actions)
        self._terms, self._ended = outcome.terms, {}
        self._sums += outcome.terms
        observations, infos = outcome.observation, {}
        done = outcome.terminated | outcome.truncated
        if np.count_nonzero(done):
            infos = self._final_infos(done, outcome.terminated, observations)
            observations = self._begin_again(np.flatnonzero(done), observations)
        return observations, outcome.reward, outcome.terminated, outcome.truncated, infos

    def _begin_again(self, rows: NDArray[np.intp], observations: NDArray) -> NDArray[np.float32]:
        self._ended = self._moment()
        self._begin(rows)
        self._sums[:, rows] = 0.0
        observations = observations.copy()  # the infos have the last ones
        state = self._qpos[rows], self._qvel[rows], self._touch[rows]
        observations[rows] = observe(*state, self.task.slope[rows])
        return observations

    def _moment(self) -> dict[str, NDArray[np.float64]]:
        return {
            "time": self.task.elapsed / self.task.hz,
            "qpos": self._qpos.copy(),
            "qvel": self._qvel.copy(),
            "torque": self._ctrl[:, 0].copy(),
            "touch": self._touch.copy(),
            "slope": self.task.slope.copy(),
            "reward_terms": self._terms.T.copy(),
        }

    def trajectory_record(self) -> dict[str, NDArray[np.float64]]:
        """The moments that the last step led to, of rows reset since as well.

        Returns:
            As `PassiveWalkerEnv.trajectory_record`, each `[n, ...]`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before trajectory_record()")
        return self._ended or self._moment()

    def snapshot(self) -> dict[str, Any]:
        """All rows' episodes and places in the streams of noise, for `restore`.

        Raises:
            gymnasium.error.ResetNeeded: There was no reset yet.
        """
        if not self._started:
            raise ResetNeeded("call reset() before snapshot()")
        return {
            "state": {name: values.copy() for name, values in self._state().items()},
            "task": self.task.snapshot(),
            "sums": self._sums.copy(),
            "noise": self._noise.places(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Goes on exactly where `snapshot` was taken, in this process or in another."""
        self.task.restore(snapshot["task"])
        for name, values in self._state().items():
            values[:] = snapshot["state"][name]
        if self._mass is not None:
            self._batch.set_const()
        self._sums = snapshot["sums"].copy()
        self._noise.place(snapshot["noise"])
        self._ended, self._started = {}, True

    def _state(self) -> dict[str, NDArray]:
        """What the physics goes on from: the live arrays."""
        arrays = {
            "qpos": self._qpos,
            "qvel": self._qvel,
            "first_guess": self._first_guess,
            "gravity": self._gravity,
            "friction": self._friction,
            "mass": self._mass,
            "inertia": self._inertia,
        }
        return {name: values for name, values in arrays.items() if values is not None}

    def _final_infos(
        self, done: NDArray[np.bool_], terminated: NDArray[np.bool_], observations: NDArray
    ) -> dict[str, Any]:
        final_obs = np.full(self.num_envs, None, dtype=object)
        ends = np.full(self.num_envs, None, dtype=object)
        for row in np.flatnonzero(done).tolist():
            final_obs[row] = observations[row]
            ends[row] = end_of(bool(terminated[row]), True, self._qpos[row])
        terms: dict[str, NDArray] = {}
        for name, total in zip(TERMS, np.where(done, self._sums, 0.0), strict=True):
            terms[name], terms[f"_{name}"] = total, done
        return {
            "final_obs": final_obs,
            "_final_obs": done,
            "final_info": {
                "reward_terms": terms,
                "_reward_terms": done,
                "end": ends,
                "_end": done,
                "x": self._qpos[:, 0].copy(),
                "_x": done,
            },
            "_final_info": done,
        }

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Every row's picture, `[540, 960, 3]`."""
        if self.render_mode is None:
            gym.logger.warn("render() does nothing without a render_mode: give one to make_vec()")
            return None
        if self._camera is None:
            from envs.passive_walker.rendering import open_camera

            data = self._batch.get_data(0)
            self._camera = open_camera("rgb_array", self.model, data, self.task.hz)
        return tuple(self._picture(row) for row in range(self.num_envs))

    def _picture(self, row: int) -> NDArray[np.uint8]:
        data = self._batch.get_data(row)
        physics.incline(self.model, float(self.task.slope[row]))
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))  # the camera's
        mujoco.mj_forward(self.model, data)  # a batch keeps states, not where things are
        return self._camera.show(data)

    def close_extras(self, **kwargs: Any) -> None:
        """Frees what drawing needs."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
