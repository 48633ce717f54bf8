"""Worlds that go on while the agent learns are told before it does."""

from __future__ import annotations

from stable_baselines3.common.callbacks import BaseCallback


class BeforeUpdateCallback(BaseCallback):
    """Calls ``before_update()`` of every env that has it, after each rollout.

    A world in real time, such as OsuManiaLive-v0, releases what it holds then.
    """

    def _on_rollout_end(self) -> None:
        if self.training_env.has_attr("before_update"):
            self.training_env.env_method("before_update")

    def _on_step(self) -> bool:
        return True
