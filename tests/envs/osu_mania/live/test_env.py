"""OsuManiaLive-v0 in the reference client's window: nothing between them is made up."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import gymnasium as gym
import numpy as np
import pytest
from Xlib import X, display

from envs.osu_mania.client.identity import WINDOW_CLASS
from envs.osu_mania.live.errors import LiveError
from envs.osu_mania.live.x11 import X11Windows
from envs.osu_mania.rewards import WEIGHTS

UP = [0, 0, 0, 0]


@pytest.fixture
def make_env(shared_display, keyboard):  # which looks whether all keys are up at the end
    envs = []

    def make(port, **options):
        chosen = {"offline": True, "live": True, "port": port, "patience": 30.0} | options
        envs.append(gym.make("OsuManiaLive-v0", **chosen).unwrapped)
        return envs[-1]

    yield make
    for env in envs:
        env.close()


@pytest.fixture
def waiting(shared_display, run_client, make_beatmap, make_env, keyboard):
    """A client in the long lead-in of a play, where one can begin again at any time."""
    beatmap = make_beatmap((0, 60_000), (1, 60_200))
    options = ("--auto", "0.05", "--lead-in", "59000", "--refresh", "20", "--silent")
    return run_client(shared_display, [beatmap], *options)


def until_it_ends(env, action, seconds=5.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        step = env.step(action)
        if step[2] or step[3]:
            return step
    raise AssertionError("the episode doesn't end")


def scripted_keys(beatmap, time):
    """The keys of a player who knows the map, is half a step early and lets go of notes late."""
    ends = np.maximum(beatmap.ends, beatmap.starts + 120.0)
    due = (beatmap.starts - 8.0 <= time) & (time < ends - 8.0)
    keys = np.zeros(4, np.int8)
    keys[beatmap.columns[due]] = 1
    return keys


def test_a_whole_play(shared_display, run_client, make_beatmap, make_env, keyboard):
    objects = [(n % 4, 1000.0 + 150.0 * n) for n in range(10)]
    beatmap = make_beatmap(*objects, (1, 2600.0, 3000.0), (2, 2700.0, 3100.0), od=5.0)
    options = ("--auto", "0.2", "--lead-in", "3500", "--silent")
    client = run_client(shared_display, [beatmap], *options)
    env = make_env(client.port, maps=str(client.folder / "map0.osu"), render_mode="rgb_array")
    for _ in range(3):  # on a machine so busy that half a second passes by a play ends early
        n_before = len(client.plays(0))
        observation, info = env.reset()
        assert observation in env.observation_space
        assert (observation == observation[0]).all()  # one frame, as often as it takes
        over, truncated, total, steps, changed, last = False, False, 0.0, 0, 0, observation
        while not (over or truncated):
            keys = scripted_keys(beatmap, env.song_time)
            observation, reward, over, truncated, info = env.step(keys)
            assert observation in env.observation_space
            total, steps = total + reward, steps + 1
            changed += not np.array_equal(observation[-1], last[-1])
            np.testing.assert_array_equal(observation[0], last[1])
            last = observation
        if over:
            break
    assert not truncated, info["stopped"]
    assert keyboard.down() == []
    assert changed > 20
    assert steps + info["missed_deadlines"] > 120
    assert sum(info["reward_terms"].values()) == pytest.approx(total, abs=1e-6)
    assert env.render().shape[2] == 3
    with pytest.raises(gym.error.ResetNeeded):
        env.step(UP)
    assert "MIT-SHM is working correctly." in env.capture_notes
    results = client.plays(n_before + 1)[-1]
    assert info["judgements"] == results["judgements"]
    assert info["score"] == results["score"]
    assert info["max_combo"] == results["max_combo"]
    assert info["accuracy"] == pytest.approx(results["accuracy"], abs=1e-4)
    assert info["accuracy"] > 0.5
    # What was paid for judgements is what was judged, whenever it was paid.
    for name, count in results["judgements"].items():
        paid = WEIGHTS[name] * count
        assert info["reward_terms"][name] == pytest.approx(paid, abs=1e-6)
    assert info["reward_terms"]["holding"] > 0.1  # which only the rules can tell
    assert info["reward_terms"]["hold_head"] > 0.1
    presses = [column for _, column, down in results["touches"] if down]
    assert presses == [n % 4 for n in range(10)] + [1, 2]


def test_a_dry_run_presses_nothing(waiting, make_env, keyboard):
    env = make_env(waiting.port, live=False)
    env.reset()
    for _ in range(10):
        *_, info = env.step([1, 0, 1, 0])
        assert keyboard.down() == []
    assert info["keys"] == [True, False, True, False]
    assert not info["stopped"]


def change(**fields):
    """A change of a message of tosu's v2: `change(play__mode__number=0)`."""

    def apply(text):
        message = json.loads(text)
        for path, value in fields.items():
            *parents, name = path.split("__")
            place = message
            for parent in parents:
                place = place.get(parent, {})
            if place:
                place[name] = value
        return json.dumps(message)

    return apply


FAULTS = {
    "not ready": (lambda text: '{"error":"not_ready"}', "no game yet"),
    "garbage": (lambda text: "\x07 osu!", ""),  # old or standing, whichever is seen first
    "half a JSON": (lambda text: text[: len(text) // 2], ""),
    "another mode": (change(play__mode__number=0), "mode 0"),
    "another key count": (change(beatmap__stats__cs={"converted": 7, "original": 7}), "7 keys"),
    "another map": (change(beatmap__checksum="0" * 32), ""),  # not to be played, or begun anew
    "paused": (change(game={"paused": True, "focused": True}), "paused"),
    "logged in": (change(profile__userStatus__number=65793), "logged in"),
    "a song that stands": (change(beatmap__time={"live": 5, "firstObject": 60_000}), "stands"),
}


def test_every_fault_of_the_state_lifts_the_keys(waiting, make_env, relay, keyboard, wait_for):
    between = relay(waiting.port)
    env = make_env(between.port, maps=str(waiting.folder / "map0.osu"))
    for name, (fault, words) in FAULTS.items():
        env.reset()
        env.step([1, 0, 0, 1])
        assert keyboard.down() == ["d", "k"], name
        between.change = fault
        _, _, terminated, truncated, info = until_it_ends(env, [1, 0, 0, 1])
        assert (terminated, truncated) == (False, True), name
        assert info["stopped"], name
        assert words in info["stopped"], name
        assert keyboard.down() == [], name
        between.change = None  # and it goes on when it can


def test_failing_ends_the_episode(waiting, make_env, relay, keyboard):
    between = relay(waiting.port)
    env = make_env(between.port)
    for fault in (change(play__failed=True), change(state__number=7)):
        env.reset()
        env.step([0, 1, 0, 0])
        between.change = fault
        _, _, terminated, truncated, _ = until_it_ends(env, [0, 1, 0, 0])
        assert (terminated, truncated) == (True, False)
        assert keyboard.down() == []
        between.change = None


@pytest.mark.parametrize("transport", ["http", "websocket"])
def test_a_server_that_stalls_for_10_s(waiting, make_env, relay, keyboard, transport):
    between = relay(waiting.port)
    env = make_env(between.port, transport=transport)
    env.reset()
    begun = time.monotonic()
    between.stalled.set()
    *_, truncated, info = until_it_ends(env, [1, 1, 1, 1])
    assert truncated
    assert "old" in info["stopped"] or "stands" in info["stopped"]
    assert keyboard.down() == []
    if transport == "http":
        between.stalled.clear()
        between.status = 500
        env.options.__dict__["patience"] = 1.0
        with pytest.raises(LiveError, match="HTTP 500"):
            env.reset()
        between.status = 200
        env.options.__dict__["patience"] = 30.0
    else:
        time.sleep(10.0 - (time.monotonic() - begun))
        between.stalled.clear()
    env.reset()
    env.step(UP)


def test_the_focus_goes_elsewhere(waiting, make_env, make_window, keyboard, shared_display):
    env = make_env(waiting.port)
    env.reset()
    env.step([1, 0, 1, 0])
    thief = make_window("thief")
    thief.focus()
    *_, truncated, info = env.step([1, 0, 1, 0])  # not even what is held goes on
    assert truncated
    assert "focus" in info["stopped"]
    assert keyboard.down() == []
    env.options.__dict__["patience"] = 0.3
    with pytest.raises(LiveError, match="focus"):
        env.reset()
    windows = X11Windows(shared_display)
    connection = display.Display(shared_display)
    game = connection.create_resource_object("window", windows.find(WINDOW_CLASS))
    game.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
    connection.sync()
    env.reset()
    env.step([1, 0, 1, 0])
    assert keyboard.down() == ["d", "j"]
    windows.close()
    connection.close()


def test_the_window_moves_and_is_resized(waiting, make_env, shared_display, keyboard, wait_for):
    env = make_env(waiting.port)
    env.reset()
    windows = X11Windows(shared_display)
    connection = display.Display(shared_display)
    window = windows.find(WINDOW_CLASS)
    game = connection.create_resource_object("window", window)

    def settled(**geometry):
        """Frames after a change of the window, once it's drawn anew."""
        game.configure(**geometry)
        connection.sync()
        for _ in range(30):
            observation, *_, info = env.step(UP)
            assert not info["stopped"]
        return observation

    before = settled()
    assert len(np.unique(before)) > 3
    assert np.array_equal(settled(x=17, y=33), before)
    assert windows.area(window)[:2] == (17, 33)
    resized = settled(width=560, height=420)
    assert windows.area(window)[2:] == (560, 420)
    assert np.abs(resized.astype(int) - before).mean() < 4
    game.configure(x=-100)
    connection.sync()
    *_, truncated, info = until_it_ends(env, [1, 0, 0, 0])
    assert truncated
    assert "on the screen" in info["stopped"]
    assert keyboard.down() == []
    game.configure(x=5)
    connection.sync()
    env.reset()
    windows.close()
    connection.close()


def test_the_client_is_killed_and_comes_back(
    waiting, make_env, keyboard, run_client, shared_display, make_beatmap
):
    env = make_env(waiting.port)
    env.reset()
    env.step([1, 1, 0, 0])
    waiting.kill()
    *_, truncated, info = until_it_ends(env, [1, 1, 0, 0])
    assert truncated
    assert info["stopped"]
    assert keyboard.down() == []
    env.options.__dict__["patience"] = 1.5
    with pytest.raises(LiveError, match=r"no play within 1\.5 s"):
        env.reset()
    env.options.__dict__["patience"] = 30.0
    options = ("--auto", "0", "--lead-in", "30000", "--silent", "--port", str(waiting.port))
    run_client(shared_display, [make_beatmap((0, 31_000))], *options)
    env.reset()
    env.step([1, 0, 0, 0])
    assert keyboard.down() == ["d"]


AGENT = """
    import gymnasium as gym
    env = gym.make("envs:OsuManiaLive-v0", offline=True, live=True, port={port}, patience=30.0)
    env.reset()
    for step in range(10_000):
        env.step([1, 0, 1, 1])
        if step == 5:
            print("playing", flush=True)
"""


def test_a_killed_agent_leaves_no_key_down(waiting, keyboard, wait_for):
    took = []
    while len(took) < 3 and not (took and min(took) < 0.3):
        code = textwrap.dedent(AGENT).format(port=waiting.port)
        agent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert agent.stdout.readline() == b"playing\n"
        assert keyboard.down() == ["d", "j", "k"]
        os.kill(agent.pid, signal.SIGKILL)
        took.append(wait_for(lambda: keyboard.down() == [], timeout=5.0))
        agent.wait()
        agent.stdout.close()
    assert min(took) < 0.3  # the best of three: a machine may be busy with something else


def test_keys_are_up_while_the_agent_learns(waiting, make_env, keyboard):
    env = make_env(waiting.port)
    env.reset()
    env.step([1, 1, 1, 1])
    env.before_update()
    assert keyboard.down() == []
    time.sleep(0.7)
    *_, truncated, _ = env.step([1, 0, 0, 0])
    assert not truncated  # nothing was due yet
    assert keyboard.down() == ["d"]
    env.reset()
    assert keyboard.down() == []


def test_a_play_that_went_on_while_the_agent_learned_is_over(
    shared_display, run_client, make_beatmap, make_env, keyboard
):
    beatmap = make_beatmap((0, 1000), (1, 2000))
    options = ("--auto", "0.1", "--lead-in", "900", "--silent", "--refresh", "20")
    client = run_client(shared_display, [beatmap], *options)
    env = make_env(client.port)
    env.reset()
    env.step([1, 1, 1, 1])
    env.before_update()
    time.sleep(1.0)
    _, reward, terminated, truncated, info = env.step([1, 0, 0, 0])
    assert (terminated, truncated, reward) == (False, True, 0.0)
    assert "away" in info["stopped"]
    assert keyboard.down() == []
    env.reset()  # which waits for the next
    *_, info = env.step(UP)
    assert sum(info["judgements"].values()) == 0


def test_the_panic_key(waiting, make_env, keyboard):
    env = make_env(waiting.port)
    env.reset()
    env.step([1, 1, 0, 0])
    keyboard.press("f10")
    with pytest.raises(LiveError, match="panic key"):
        for _ in range(60):
            env.step([1, 1, 0, 0])
    keyboard.release("f10")
    assert keyboard.down() == []
    with pytest.raises(LiveError, match="panic key"):
        env.reset()


def test_only_one_agent_has_the_keyboard(waiting, make_env):
    env = make_env(waiting.port)
    env.reset()
    with pytest.raises(LiveError, match="another agent"):
        make_env(waiting.port).reset()
    env.close()
    make_env(waiting.port).reset()


def test_nothing_begins_unless_it_is_offline(make_env, capfd):
    with pytest.raises(LiveError, match=r"offline play.*offline=True"):
        make_env(24050, offline=False).reset()
    with pytest.raises(ValueError, match="True or False"):
        make_env(24050, offline="yes")
    with pytest.raises(LiveError, match=r"no play within 0\.2 s"):
        make_env(1, live=False, patience=0.2).reset()
    assert "never use it online" in capfd.readouterr().err.lower()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"host": "10.1.2.3"}, "this machine alone"),
        ({"keys": 11}, "keys"),
        ({"column_keys": ("d", "f", "j")}, "as many keys"),
        ({"column_keys": ("d", "f", "j", "return")}, "no key for a column"),
        ({"panic_key": "k"}, "panic key"),
        ({"area": (0.5, 0.0, 0.7, 1.0)}, "area"),
        ({"hz": 5.0}, "hz"),
        ({"max_hold": 1000.0}, "max_hold"),
        ({"max_age": 60.0}, "max_age"),
        ({"frame_size": (8, 8)}, "frame_size"),
        ({"actions": "continuous"}, "actions"),
        ({"reward_weights": {"nonsense": 1.0}}, "nonsense"),
    ],
)
def test_wrong_options(wrong, words):
    with pytest.raises(ValueError, match=words):
        gym.make("OsuManiaLive-v0", **wrong)


def test_discrete_actions(waiting, make_env, keyboard):
    env = make_env(waiting.port, actions="discrete")
    assert env.action_space == gym.spaces.Discrete(16)
    env.reset()
    env.step(0b0101)
    assert keyboard.down() == ["d", "j"]
    with pytest.raises(ValueError, match="action"):
        env.step(16)
