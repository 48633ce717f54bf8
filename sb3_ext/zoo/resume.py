"""Going on with a run, exactly where it was."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from callbacks.checkpoint import CHECKPOINT, checkpoints_in, remove_checkpoint, save_together
from sb3_ext.zoo import training_state
from sb3_ext.zoo.agents import load_to_go_on
from sb3_ext.zoo.checkpoints import read_state
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.fingerprint import machine, versions
from sb3_ext.zoo.hyperparams import Entry
from sb3_ext.zoo.recorded import Recorded
from sb3_ext.zoo.runs import Run
from sb3_ext.zoo.training_state import TrainingState

# What a process that was killed in the middle of writing leaves behind.
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


@dataclass
class Continuation:
    """A run to go on with.

    Attributes:
        run: Its files.
        entry: Its hyperparameters.
        model: The file from which it goes on.
        state: The training's state then.
        notices: What the user should know.
        inexact: Why what comes is not bit for bit what would have come; empty if it is.
    """

    run: Run
    entry: Entry
    model: Path
    state: TrainingState
    notices: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        """What summary.json says of this."""
        return {"steps": self.state.steps, "inexact": self.inexact}

    def load(
        self, args: argparse.Namespace, algorithm: type[Any], env: VecEnv, seed: int
    ) -> BaseAlgorithm:
        """The agent as it was, and its env.

        Raises:
            ZooError: If the file does not fit the world or the algorithm.
        """
        state = self.state
        model = load_to_go_on(algorithm, self.model, env, args)
        buffer = self._replay_buffer(model)
        if buffer is not None:
            going_on: Any = model
            going_on.load_replay_buffer(buffer, truncate_last_traj=state.episodes is None)
        self._look_at_the_buffer(model, there=buffer is not None)
        fresh = "" if state.episodes is not None else f"{args.env} cannot tell its episodes"
        try:
            training_state.put_env_back(state, env)
        except ValueError as error:  # other workers, of which each has its part of the rows
            fresh = str(error)
        if fresh:
            self.inexact.append(f"{fresh}: it begins with fresh ones")
            model._last_obs = None
            env.seed((seed + state.steps) % 2**32)  # not with those it began with
        if args.algo == "ars":
            self.inexact.append("ars goes on with other candidates")
        if getattr(getattr(model, "extensions", None), "min_inference_size", None):
            self.inexact.append("with min_inference_size who is ready first depends on the time")
        now = versions() | machine()
        for name in sorted(state.versions.keys() & now.keys() - {"platform"}):
            if state.versions[name] != now[name]:
                self.inexact.append(f"{name} was {state.versions[name]} and is {now[name]}")
        return model

    def _replay_buffer(self, model: BaseAlgorithm) -> Path | None:
        if not hasattr(model, "load_replay_buffer"):
            return None
        match = CHECKPOINT.fullmatch(self.model.name)
        name = f"rl_model_replay_buffer_{match[1]}_steps.pkl" if match else "replay_buffer.pkl"
        path = self.run.folder / name
        return path if path.is_file() else None

    def _look_at_the_buffer(self, model: BaseAlgorithm, *, there: bool) -> None:
        if self.state.replay is None:
            return
        if not there:
            self.inexact.append("no replay buffer was saved (--save-replay-buffer): it is empty")
        elif training_state.replay_place(model) != self.state.replay:
            self.inexact.append("the replay buffer was saved some steps later, on breaking off")

    def extended(self, n_timesteps: int) -> None:
        """Notes over how many steps the schedules run from now on.

        Raises:
            ZooError: If nothing is left to do, and nothing to save or to evaluate.
        """
        state = self.state
        if state.steps >= n_timesteps and self._is_whole():
            raise ZooError(
                f"--resume: {self.run.folder} has taken {state.steps:,} of {n_timesteps:,} steps: "
                "nothing is left to do (-n MORE goes on, up to MORE steps in all)"
            )
        if n_timesteps != state.total:
            self.inexact.append(
                f"it was meant to take {state.total:,} steps and takes {n_timesteps:,}: schedules "
                "go on as if that had been so from the beginning"
            )

    def _is_whole(self) -> bool:
        """Whether everything came of it that comes of a run; it may be killed at its very end."""
        try:
            summary = json.loads(self.run.summary.read_text(encoding="utf-8"))
            ended = not (summary["interrupted"] or "error" in summary)
            return ended and summary["steps"] == self.state.steps and self.run.model.is_file()
        except (OSError, ValueError, LookupError, TypeError):  # none, or half of one
            return False

    def announce(self, n_timesteps: int) -> None:
        """Prints from where it goes on, and whether exactly."""
        for notice in self.notices:
            print(notice)
        how = "not bit for bit as it would have gone on" if self.inexact else "exactly"
        print(f"goes on from {self.model}, {self.state.steps:,} of {n_timesteps:,} steps, {how}")
        for why in self.inexact:
            print(f"  {why}")

    def clean(self) -> None:
        """Removes from the folder what was written after the moment from which it goes on."""
        for steps, path in checkpoints_in(self.run.folder).items():
            if steps > self.state.steps:
                remove_checkpoint(path)
        final = _state_of(self.run.model, []) if self.run.model.is_file() else None
        if final is not None and final.steps > self.state.steps:
            self.run.model.unlink()
        if self.model == self.run.model:
            self._keep_final()
        for folder in (self.run.folder, self.run.parameters):
            for path in folder.iterdir():
                if TEMPORARY.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        (self.run.folder / "error.log").unlink(missing_ok=True)

    def _keep_final(self) -> None:
        """A final model that is gone on with becomes a checkpoint: another will take its place."""
        folder, steps = self.run.folder, self.state.steps
        names = {
            folder / "replay_buffer.pkl": f"rl_model_replay_buffer_{steps}_steps.pkl",
            self.run.normalizer: f"rl_model_vecnormalize_{steps}_steps.pkl",
            self.run.model: f"rl_model_{steps}_steps.zip",
        }
        there = {path: folder / name for path, name in names.items() if path.is_file()}
        save_together({copy: partial(_copy, path) for path, copy in there.items()})

    def forgetful(self, callbacks: Iterable[BaseCallback]) -> None:
        """Notes which of the entry's callbacks begin anew."""
        names = [type(each).__name__ for each in callbacks if not training_state.remembers(each)]
        self.inexact += [f"the callback {name} begins anew: it has no snapshot()" for name in names]


def continuation_of(recorded: Recorded) -> Continuation:
    """The newest moment from which a run can go on.

    Raises:
        ZooError: If there is none.
    """
    run = Run(recorded.folder, recorded.env_id)
    entry = Entry(recorded.config, recorded.env_id, str(recorded.config_file))
    if recorded.model is not None:
        state = read_state(recorded.model)
        if state is None:
            raise ZooError(
                f"--resume: {recorded.model} holds no training state: checkpoints do "
                f"({_listed(run)}); -i starts from its weights"
            )
        return Continuation(run, entry, recorded.model, state)
    notices: list[str] = []
    # The final model of a run that came to its end holds one too.
    found = _state_of(run.model, notices) if run.model.is_file() else None
    best = None if found is None else (found, run.model)
    for steps, path in reversed(run.checkpoints().items()):
        if best is not None and steps <= best[0].steps:
            break
        state = _state_of(path, notices)
        if state is not None:
            best = state, path
            break
    if best is None:
        told = "; ".join(notices) or f"checkpoints: {_listed(run)}"
        raise ZooError(
            f"--resume: {run.folder} has no checkpoint to go on from ({told}); -i starts from a "
            "model's weights"
        )
    return Continuation(run, entry, best[1], best[0], notices)


def _copy(path: Path, file: BufferedIOBase) -> None:
    with open(path, "rb") as source:
        shutil.copyfileobj(source, file)  # a replay buffer may not fit into memory twice


def _state_of(model: Path, notices: list[str]) -> TrainingState | None:
    try:
        return read_state(model)
    except ZooError as error:
        notices.append(f"passed over: {error}")
        return None


def _listed(run: Run) -> str:
    return ", ".join(path.name for path in run.checkpoints().values()) or "there are none"


class PutBack(BaseCallback):
    """Puts a training's state back in the moment in which it was taken; must be the first.

    Args:
        state: What to put back.
        callbacks: Those that remember.
    """

    def __init__(self, state: TrainingState, callbacks: list[BaseCallback]) -> None:
        super().__init__()
        self._state: TrainingState | None = state
        self._callbacks = callbacks

    def _on_rollout_start(self) -> None:
        if self._state is not None:
            training_state.put_back(self._state, self.model, self._callbacks)
            self._state = None

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        self._on_rollout_start()  # where all steps had been taken
