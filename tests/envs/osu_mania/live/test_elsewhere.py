"""pynput's keyboard on X11, where it sends its keys to the window that has the focus."""

import importlib.util
import subprocess
import sys

import pytest

# A process of its own: pynput's threads outlive what they are used for.
CODE = """
import os, time
from Xlib import X, XK, display
from envs.osu_mania.live.elsewhere import PynputKeyboard
from envs.osu_mania.live.x11 import XTestKeyboard

def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)

connection = display.Display()
screen = connection.screen()
events = X.KeyPressMask | X.KeyReleaseMask
window = screen.root.create_window(0, 0, 50, 50, 0, screen.root_depth, event_mask=events)
window.map()
wait_for(lambda: window.get_attributes().map_state == X.IsViewable)
window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
connection.sync()

def arrived():
    event = connection.next_event()
    name = XK.keysym_to_string(connection.keycode_to_keysym(event.detail, 0))
    return name, event.type == X.KeyPress

keys = PynputKeyboard(("d", "f", "space"))
keys.press("d")
keys.press("f")
keys.release("d")
keys.release("f")
assert [arrived() for _ in range(4)] == [("d", 1), ("f", 1), ("d", 0), ("f", 0)]
assert keys.down() == ["d", "f", "space"]
try:
    keys.press("k")
except KeyError:
    pass
else:
    raise AssertionError("k isn't one of the keys")
assert not keys.is_down("f10")
x11 = XTestKeyboard(os.environ["DISPLAY"], ["f10"])
x11.press("f10")
wait_for(lambda: keys.is_down("f10"))
x11.release("f10")
wait_for(lambda: not keys.is_down("f10"))
keys.close()
"""


@pytest.mark.skipif(not importlib.util.find_spec("pynput"), reason="pynput is for other platforms")
def test_keys_through_pynput(shared_display):
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=100)
