"""What can be chosen of OsuManiaLive-v0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envs.osu_mania.client.identity import NOTE_AREA, PORT, WINDOW_CLASS
from envs.osu_mania.key_layouts import LAYOUTS
from envs.osu_mania.live.desktop import Area, check_keys
from envs.osu_mania.live.readers import loopback
from envs.osu_mania.maps import MapSource
from envs.osu_mania.options import ACTIONS, HZ
from envs.osu_mania.rewards import reward_weights


@dataclass(frozen=True)
class LiveOptions:
    """Choices for OsuManiaLive-v0.

    Args:
        offline: Says that the game is played offline, logged out, unranked and on one's own
            machine. Without that nothing begins.
        live: Whether keys are pressed. Otherwise all goes on as if, and nothing is pressed.
        port, host: Where tosu or gosumemory serve the state; the host must be this machine.
        api: "v2" (tosu) or "v1" (tosu, gosumemory).
        transport: "websocket" or "http".
        window: The class of the game's window (on Windows: its title).
        area: The note area in the window: left, top, width and height as parts of its own.
        keys: Number of columns.
        column_keys: The columns' keys, from the left; None: the game's defaults.
        panic_key: Stops the agent at once, whatever has the focus.
        maps: The maps that may be played: files or folders; None: any. They are also needed for
            the reward terms that the game doesn't tell (see `ledger.UNTOLD`).
        ruleset: The game's: "stable" or "lazer".
        hz: Steps per second.
        actions: "multi_binary" or "discrete", as in OsuMania-v0.
        frame_size: Height and width of the frames, px.
        frame_stack: How many frames an observation has, the newest last.
        reward_weights: Weights of `rewards.WEIGHTS` to replace, by name.
        max_hold: How long a key is held at most, s.
        max_age: How old the game's state may be, s.
        patience: For how long `reset` waits for a play, s; None: for ever.

    Raises:
        BeatmapError: A map can't be used.
        ValueError: A choice makes no sense.
    """

    offline: bool = False
    live: bool = False
    port: int = PORT
    host: str = "127.0.0.1"
    api: str = "v2"
    transport: str = "websocket"
    window: str = WINDOW_CLASS
    area: Sequence[float] = NOTE_AREA
    keys: int = 4
    column_keys: Sequence[str] | None = None
    panic_key: str = "f10"
    maps: MapSource | None = None
    ruleset: str = "stable"
    hz: float = 60.0
    actions: str = "multi_binary"
    frame_size: Sequence[int] = (84, 84)
    frame_stack: int = 4
    reward_weights: Mapping[str, float] | None = None
    max_hold: float = 10.0
    max_age: float = 1.0
    patience: float | None = 300.0

    def __post_init__(self) -> None:
        for name in ("offline", "live"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, got {getattr(self, name)!r}")
        loopback(self.host)
        if self.actions not in ACTIONS:
            raise ValueError(f"actions must be one of {', '.join(ACTIONS)}, got {self.actions!r}")
        if self.keys not in LAYOUTS:
            raise ValueError(f"keys must lie in 1 to {max(LAYOUTS)}, got {self.keys!r}")
        if len(self.chosen_keys) != self.keys:
            raise ValueError(f"{self.keys} columns need as many keys, not {self.chosen_keys}")
        check_keys(self.chosen_keys, self.panic_key)
        if len(self.area) != 4 or not Area(0, 0, 1000, 1000).part(self.area).within(
            Area(0, 0, 1000, 1000)
        ):
            raise ValueError(f"area must be left, top, width and height in 0 to 1, got {self.area}")
        for name, low, high in (
            ("hz", *HZ),
            ("frame_stack", 1, 64),
            ("max_hold", 0.1, 60.0),
            ("max_age", 0.1, 5.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(
                    f"{name} must lie in {low:g} to {high:g}, got {getattr(self, name)}"
                )
        if len(self.frame_size) != 2 or min(self.frame_size) < 24:
            raise ValueError(f"frame_size must be at least 24 by 24 px, got {self.frame_size}")
        reward_weights(self.reward_weights)

    @property
    def chosen_keys(self) -> tuple[str, ...]:
        """The columns' keys."""
        return LAYOUTS[self.keys] if self.column_keys is None else tuple(self.column_keys)
