"""A window on the training: what the agent sees, what it does, and how it goes."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

from callbacks.video import VideoFile, has_display

_METRICS = {
    "train/approx_kl": "approx_kl",
    "train/clip_fraction": "clip_fraction",
    "train/explained_variance": "explained var",
    "train/entropy_loss": "entropy_loss",
    "train/value_loss": "value_loss",
    "train/policy_gradient_loss": "policy_loss",
    "train/actor_loss": "actor_loss",
    "train/critic_loss": "critic_loss",
    "train/ent_coef": "ent_coef",
    "train/learning_rate": "learning_rate",
}


class LiveViewCallback(BaseCallback):
    """Shows row 0 of the training env: frame or observation, action, value, reward, return curve.

    Without a display it records a video instead. It never waits: between two pictures it lets as
    many steps pass as training takes, so that it costs a few per cent. Closing the window ends the
    view, not the training. The frame is the env's own if it was made with
    ``render_mode="rgb_array"``, else the observation is drawn; so it is where rows go each at its
    own pace (``min_inference_size``) and no env can be asked.

    Args:
        video: The file to record to where there is no display, ``.mp4`` or ``.gif``.
        fps: Pictures per second, at most.
        every: Draw each so many vector steps instead of by time; for a record of equal steps.
        window: True or False: whether to open one; None looks for a display.
        title: The window's.

    Example:
        >>> model.learn(100_000, callback=LiveViewCallback("live.mp4"))
    """

    def __init__(
        self,
        video: str | os.PathLike[str] = "live.mp4",
        fps: float = 15.0,
        every: int | None = None,
        window: bool | None = None,
        title: str = "training",
    ) -> None:
        super().__init__()
        self.video, self.fps, self.every, self.title = video, fps, every, title
        self.window = window
        self._dashboard: Any = None
        self._file: VideoFile | None = None
        self._screen: Any = None
        self._last = 0.0
        self._returns: list[float] = []
        self._sum, self._length = 0.0, 0
        self._place = 0  # of row 0 among those that have acted
        self._metrics: dict[str, float] = {}

    def _on_training_start(self) -> None:
        from callbacks.dashboard import SIZE, Dashboard

        self._dashboard = Dashboard()
        wanted = has_display() if self.window is None else self.window
        if wanted:
            import pygame

            if not pygame.display.get_init():
                pygame.display.init()
            # Who only watches takes the focus from nobody, such as a game that is played live.
            os.environ.setdefault("SDL_WINDOW_NO_ACTIVATION_WHEN_SHOWN", "1")
            self._screen = pygame.Window(title=self.title, size=SIZE)
        else:
            self._file = VideoFile(self.video, self.fps)

    def _on_rollout_start(self) -> None:
        logged = self.logger.name_to_value  # what was logged since it was last written
        found = {
            name: float(logged[key])
            for key, name in _METRICS.items()
            if isinstance(logged.get(key), int | float | np.number)
        }
        self._metrics = found or self._metrics

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._returns.append(float(info["episode"]["r"]))
        # Who has acted, where each row goes at its own pace: then no env can be asked for a frame.
        rows = self.locals.get("rows")
        if rows is not None and 0 not in rows:
            return True
        self._place = 0 if rows is None else int(np.flatnonzero(rows == 0)[0])
        info, reward = (self.locals[name][self._place] for name in ("infos", "rewards"))
        self._sum, self._length = self._sum + float(reward), self._length + 1
        if self._is_time():
            self._show(
                float(reward),
                self._view() if rows is None else self._picture_of(self.locals["obs"]),
            )
        if self.locals["dones"][self._place] or "episode" in info:
            self._sum, self._length = 0.0, 0
        return True

    def _is_time(self) -> bool:
        if self._screen is None and self._file is None:
            return False
        if self.every is not None:
            return self.n_calls % self.every == 0
        now = time.perf_counter()
        if now - self._last < 1.0 / self.fps:
            return False
        self._last = now
        return True

    def _show(self, reward: float, view: np.ndarray) -> None:
        action = self.locals.get("clipped_actions")
        action = np.asarray(self.locals["actions"] if action is None else action)[self._place]
        numbers = {
            "step": f"{self.num_timesteps:,}",
            "reward": f"{reward:.4g}",
            "return so far": f"{self._sum:.4g}  after {self._length} steps",
        }
        values = self.locals.get("values")
        if values is not None:
            numbers["value"] = f"{float(values[self._place]):.4g}"
        if np.ndim(action) == 0:
            numbers["action"] = str(action)
        self._dashboard.draw(
            view,
            *_bars_of(action, self.training_env.action_space),
            numbers,
            self._metrics,
            self._returns,
        )
        if self._file is not None:
            self._file.add(self._dashboard.frame())
        else:
            self._flip()

    def _view(self) -> np.ndarray:
        if self.training_env.render_mode == "rgb_array":
            frame = self.training_env.get_images()[0]
            if frame is not None:
                return frame
        return self._picture_of(self.model._last_obs)  # what the action was chosen from

    def _picture_of(self, obs: Any) -> np.ndarray:
        k = self._place
        if isinstance(obs, dict):
            images = [part for part in obs.values() if part.ndim >= 3]
            if images:
                return images[0][k]
            return np.concatenate([np.ravel(part[k]) for part in obs.values()])
        return obs[k]

    def _flip(self) -> None:
        import pygame

        closed = [e for e in pygame.event.get() if e.type == pygame.WINDOWCLOSE]
        if any(event.window is self._screen for event in closed):
            self._close_window()
            return
        self._screen.get_surface().blit(self._dashboard.surface, (0, 0))
        self._screen.flip()

    def _on_training_end(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._close_window()

    def _close_window(self) -> None:
        if self._screen is not None:
            self._screen.destroy()
            self._screen = None


def _bars_of(action: np.ndarray, space: spaces.Space) -> tuple[np.ndarray, tuple[float, float]]:
    """An action as bars with their range; a single choice as one bar among its alternatives."""
    if isinstance(space, spaces.Discrete):
        return np.arange(space.start, space.start + space.n) == action, (0.0, 1.0)
    if isinstance(space, spaces.Box) and np.isfinite([space.low, space.high]).all():
        return action, (float(space.low.min()), float(space.high.max()))
    if isinstance(space, spaces.MultiDiscrete):
        return action, (0.0, float(space.nvec.max()))
    if isinstance(space, spaces.MultiBinary):
        return action, (0.0, 1.0)
    return action, (-3.0, 3.0)
