"""Keys go down only where they may, and come up whatever happens."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from envs.osu_mania.live.errors import LiveError, StoppedError
from envs.osu_mania.live.hands import Hands

KEYS = ("d", "f", "j", "k")


@pytest.fixture
def hands(keyboard):
    hands = Hands(KEYS, "f10", max_hold=30.0)
    yield hands
    hands.close()


def always():
    return True


def keep(hands, keys, seconds):
    """Holds keys as a loop does."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hands.set(keys, always)
        time.sleep(0.01)


def test_what_is_wanted_is_held(hands, keyboard):
    for wanted in ([1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]):
        hands.set([bool(w) for w in wanted], always)
        expected = [key for key, down in zip(KEYS, wanted, strict=True) if down]
        assert keyboard.down() == expected
        assert hands.held == [bool(w) for w in wanted]
    hands.release()
    assert keyboard.down() == []
    hands.set([True, False, False, False], always)
    hands.close()
    assert keyboard.down() == []
    hands.close()


def test_the_focus_is_asked_for_before_each_key(hands, keyboard):
    asked = []

    def has_focus():
        asked.append(keyboard.down())
        return len(asked) <= allowed

    allowed = 6
    hands.set([False] * 4, has_focus)
    assert asked == []  # nothing is to be done, and nothing is held
    hands.set([True, True, False, False], has_focus)
    assert asked == [[], ["d"]]
    hands.set([True, True, True, False], has_focus)
    assert asked[2:] == [["d", "f"], ["d", "f"]]
    hands.set([True, True, False, False], has_focus)
    assert asked[4:] == [["d", "f", "j"]]
    hands.set([True, True, False, False], has_focus)  # keys that are held would repeat elsewhere
    assert asked[5:] == [["d", "f"]]
    for wanted in ([1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 0, 1]):
        with pytest.raises(StoppedError, match="focus"):
            hands.set([bool(w) for w in wanted], has_focus)
        assert keyboard.down() == []
        assert hands.held == [False] * 4
        hands.set([True, True, False, False], always)


def test_a_key_is_not_held_for_ever(keyboard):
    hands = Hands(KEYS, "f10", max_hold=0.6)
    keep(hands, [True, False, False, False], 0.1)
    assert keyboard.down() == ["d"]
    keep(hands, [True, False, False, False], 0.6)
    assert keyboard.down() == []
    assert hands.n_overheld == 1
    hands.set([False, True, False, False], always)
    hands.set([True, True, False, False], always)  # asked for anew
    assert keyboard.down() == ["d", "f"]
    hands.close()


def test_the_panic_key_ends_it_at_once(hands, keyboard, wait_for):
    hands.set([True, False, True, False], always)
    keyboard.press("f10")
    # The agent does nothing: the watchdog sees to it.
    wait_for(lambda: keyboard.down() == ["f10"], timeout=5.0)
    wait_for(lambda: not hands.watchdog.is_well(), timeout=5.0)
    keyboard.release("f10")
    for _ in range(2):
        with pytest.raises(LiveError, match=r"panic key \(f10\)"):
            hands.set([True, False, False, False], always)
        assert keyboard.down() == []


def test_without_the_watchdog_no_key_is_pressed(hands, keyboard):
    hands.set([True, False, False, False], always)
    os.kill(hands.watchdog.pid, signal.SIGKILL)
    os.waitid(os.P_PID, hands.watchdog.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(LiveError, match="watchdog is gone"):
        hands.set([True, True, False, False], always)
    assert keyboard.down() == []


def test_silence_lifts_the_keys_and_they_can_be_pressed_again(hands, keyboard, wait_for):
    hands.set([True, True, False, False], always)
    wait_for(lambda: keyboard.down() == [], timeout=5.0)
    time.sleep(0.1)
    hands.set([True, False, False, False], always)
    assert keyboard.down() == ["d"]


def test_rest_is_no_silence(hands, keyboard):
    """While the agent rests, the watchdog leaves the keyboard to whoever uses it."""
    hands.set([True, False, False, False], always)
    hands.release()
    time.sleep(0.05)
    keyboard.press("f")
    time.sleep(0.5)
    assert keyboard.down() == ["f"]
    keyboard.release("f")


# An agent of its own: it presses keys, says so, and then does something.
AGENT = """
import os, signal, sys, time
from envs.osu_mania.live.desktop import open_keyboard
from envs.osu_mania.live.hands import Hands
hands = Hands(("d", "f", "j", "k"), "f10", 30.0)
keyboard = open_keyboard("dfjk")
def hold(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hands.set([True, False, True, False], lambda: True)
        time.sleep(0.01)
hold(0.05)
print(*keyboard.down(), flush=True)
"""


@pytest.fixture
def agent(keyboard):
    agents = []

    def start(then):
        code = AGENT + textwrap.dedent(then)
        command = [sys.executable, "-c", code]
        agents.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        assert agents[-1].stdout.readline() == b"d j\n"
        return agents[-1]

    yield start
    for process in agents:
        process.kill()
        process.wait()
        process.stdout.close()
    time.sleep(0.3)  # for so long watchdogs lift keys when their agents are gone


def test_all_keys_are_up_300_ms_after_sigkill(agent, keyboard, wait_for):
    took = []
    while len(took) < 3 and not (took and min(took) < 0.3):
        process = agent("hold(60)")
        process.kill()
        took.append(wait_for(lambda: keyboard.down() == [], timeout=5.0))
    assert min(took) < 0.3  # the best of three: a machine may be busy with something else


def test_a_child_that_survives_changes_nothing(agent, keyboard, wait_for):
    """It has a copy of the pipe, whose end the watchdog then doesn't see."""
    process = agent("if os.fork() == 0: os.setsid(); time.sleep(2); os._exit(0)\nhold(60)")
    process.kill()
    wait_for(lambda: keyboard.down() == [], timeout=1.9)


def test_an_agent_that_hangs(agent, keyboard, wait_for):
    process = agent("hold(60)")
    os.kill(process.pid, signal.SIGSTOP)
    wait_for(lambda: keyboard.down() == [], timeout=5.0)
    os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("hold(60)", -signal.SIGTERM),
        ("signal.signal(signal.SIGTERM, signal.SIG_DFL)\nhold(60)", -signal.SIGTERM),
        ("time.sleep(0.01)", 0),
        ("raise ValueError('a mistake')", 1),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
    ],
)
def test_however_it_ends(agent, keyboard, wait_for, then, code):
    process = agent(then)
    if code < 0:
        process.terminate()
    assert process.wait(20) == code
    wait_for(lambda: keyboard.down() == [], timeout=5.0)


def test_ctrl_c(agent, keyboard, wait_for):
    process = agent("""
        try:
            print("holding", flush=True)
            hold(60)
        except KeyboardInterrupt:
            time.sleep(2)
            sys.exit(5)
    """)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    wait_for(lambda: keyboard.down() == [], timeout=1.9)  # long before it ends
    assert process.wait(20) == 5


def test_handlers_are_put_back(keyboard):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    hands = Hands(KEYS, "f10", 30.0)
    assert signal.getsignal(signal.SIGTERM) != before[0]
    hands.close()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
