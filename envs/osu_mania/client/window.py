"""The client's window, its keys and its sound."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.client.drawing import Drawing
from envs.osu_mania.client.game import Choices, Game, Performance
from envs.osu_mania.client.identity import NOTE_AREA, TITLE, WINDOW_CLASS
from envs.osu_mania.client.report import Report, Stage
from envs.osu_mania.client.song import SAMPLE_RATE, click_track
from envs.osu_mania.key_layouts import LAYOUTS


@dataclass(frozen=True)
class Look:
    """How the window looks and sounds.

    Attributes:
        height: Of the window, px.
        fps: Frames per second.
        scroll_speed: The game's: an object takes 11,485 ms over it from the top to the line.
        clicks: Whether the click track is heard.
    """

    height: int = 588
    fps: float = 60.0
    scroll_speed: float = 20.0
    clicks: bool = True

    def __post_init__(self) -> None:
        if not 168 <= self.height <= 4320:
            raise ValueError(f"the window's height must lie in 168 to 4320 px, got {self.height}")
        if not 10 <= self.fps <= 1000:
            raise ValueError(f"fps must lie in 10 to 1000, got {self.fps:g}")
        if not 1 <= self.scroll_speed <= 40:
            raise ValueError(f"the scroll speed must lie in 1 to 40, got {self.scroll_speed:g}")


class Client:
    """A game in a window.

    Between two frames it waits for keys, so that a key counts from the moment at which it comes
    and not from the next frame on.

    Args:
        maps: All of one key count.
        choices: How they are played.
        look: How it looks and sounds.
        tell: Is given a line for the user now and then.

    Attributes:
        report: The game as it was a moment ago, for other threads; None before there is a game.

    Raises:
        OSError: There is no display.
    """

    def __init__(
        self,
        maps: Sequence[Beatmap],
        choices: Choices,
        look: Look,
        tell: Callable[[str], None] = print,
    ) -> None:
        # X takes the class from here, where pygame has put the program's name.
        os.environ["SDL_VIDEO_X11_WMCLASS"] = WINDOW_CLASS
        if sys.platform.startswith("linux"):
            # SDL would copy each picture through OpenGL, which takes 4 ms where that is software.
            os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        _open_display()
        width = round(look.height / NOTE_AREA[2])  # the highway is a square
        self._window = pygame.Window(title=TITLE, size=(width, look.height), resizable=True)
        self._look = look
        names = LAYOUTS[maps[0].keys]
        self._columns = {pygame.key.key_code(name): column for column, name in enumerate(names)}
        self._drawing = Drawing(look.scroll_speed, names)
        self._sound = _Sound(tell) if look.clicks else None
        self._playing: Performance | None = None
        self.game = Game(maps, choices, time.perf_counter())
        self.report: Report | None = None

    def run(self, on_result: Callable[[Performance], None]) -> None:
        """Runs until the window is closed.

        Args:
            on_result: Is told of each play that is over.
        """
        period = 1.0 / self._look.fps
        next_frame = time.perf_counter()
        told = 0
        while not self.game.closed:
            self._wait(next_frame)
            now = time.perf_counter()
            self.game.tick(now)
            self._follow_the_song()
            self._publish(now)
            for performance in self.game.finished[told:]:
                on_result(performance)
            told = len(self.game.finished)
            if now >= next_frame:
                assert self.report is not None
                self._drawing.draw(self._window.get_surface(), self.game, self.report)
                self._window.flip()
                next_frame = max(next_frame + period, now)

    def close(self) -> None:
        """Closes the window."""
        self.report = None
        self._window.destroy()
        pygame.quit()

    def _wait(self, until: float) -> None:
        """Waits for the next frame's time, or for something to happen before it."""
        remaining = until - time.perf_counter()
        if remaining > 0:
            # Whole ms: rounded up it would be late; 0 would be for ever.
            event = pygame.event.wait(max(int(1000.0 * remaining), 1))
            self._handle(event)
        for event in pygame.event.get():
            self._handle(event)

    def _handle(self, event: pygame.event.Event) -> None:
        now, game = time.perf_counter(), self.game
        if event.type in (pygame.QUIT, pygame.WINDOWCLOSE):
            game.closed = True
        elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
            down = event.type == pygame.KEYDOWN
            if event.key in self._columns:
                game.touch(self._columns[event.key], down, now)
                self._publish(now)
            elif down and event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
                game.confirm(now)
            elif down and event.key == pygame.K_ESCAPE:
                game.back(now)
            elif down and event.key in (pygame.K_UP, pygame.K_DOWN):
                game.choose(1 if event.key == pygame.K_DOWN else -1)

    def _publish(self, now: float) -> None:
        self.report = self.game.report(now, self._window.focused)

    def _follow_the_song(self) -> None:
        """Starts, pauses and stops the click track with the play."""
        if self._sound is None:
            return
        play = self.game.performance if self.game.stage == Stage.PLAY else None
        if play is not self._playing:
            self._playing = play
            self._sound.stop()
            if play is not None:
                self._sound.start(play)
        elif play is not None:
            self._sound.pause(play.clock.paused)


def _open_display() -> None:
    try:
        pygame.display.init()
    except pygame.error as error:
        raise OSError(f"no display to open a window on: {error}") from error
    # SDL takes these by itself where nothing else works; nobody would see the window.
    unseen = pygame.display.get_driver() in ("dummy", "offscreen")
    if unseen and not os.environ.get("SDL_VIDEODRIVER"):
        raise OSError("no display to open a window on: set DISPLAY, or use xvfb-run")


class _Sound:
    """The click track; without a sound device it's silent."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._channel: pygame.mixer.Channel | None = None
        self._paused = False
        try:
            # Small buffers: what is late can't be told from what is early.
            pygame.mixer.init(SAMPLE_RATE, -16, 1, 512)
        except pygame.error as error:
            tell(f"no sound: {error}")

    def start(self, play: Performance) -> None:
        if pygame.mixer.get_init():
            session = play.session
            start = play.clock.time(time.perf_counter())
            track = click_track(session.beatmap, start, session.rules.rate)
            self._channel = pygame.mixer.Sound(buffer=track.tobytes()).play()
            self._paused = False

    def pause(self, paused: bool) -> None:
        if self._channel is not None and paused != self._paused:
            self._paused = paused
            (self._channel.pause if paused else self._channel.unpause)()

    def stop(self) -> None:
        if self._channel is not None:
            self._channel.stop()
            self._channel = None
