"""Windows, the focus and keys on a real display."""

import pytest

from envs.osu_mania.live.desktop import Area, check_keys
from envs.osu_mania.live.errors import LiveError, StoppedError
from envs.osu_mania.live.x11 import X11Windows, XTestKeyboard


@pytest.fixture
def windows(shared_display):
    windows = X11Windows(shared_display)
    yield windows
    windows.close()


def test_a_window_is_found_by_its_class(windows, make_window):
    with pytest.raises(StoppedError, match="no window of the class 'one'"):
        windows.find("one")
    one = make_window("one")
    make_window("other")
    assert windows.find("ONE") == one.id
    make_window("One")
    with pytest.raises(StoppedError, match="2 windows"):
        windows.find("one")


def test_the_area_follows_the_window(windows, make_window):
    window = make_window("moving")
    assert windows.area(window.id) == Area(10, 20, 300, 200)
    window.move(x=50, y=60, width=120, height=80)
    assert windows.area(window.id) == Area(50, 60, 120, 80)
    window.hide()
    assert windows.area(window.id) is None
    window.close()
    assert windows.area(window.id) is None


def test_the_focus_is_the_windows_or_its_childs(windows, make_window):
    window, other = make_window("focus"), make_window("other")
    window.focus()
    assert windows.has_focus(window.id)
    assert not windows.has_focus(other.id)
    other.focus()
    assert not windows.has_focus(window.id)
    window.focus_a_child()
    assert windows.has_focus(window.id)
    window.close()
    assert not windows.has_focus(window.id)


def test_parts_of_an_area():
    window = Area(100, 50, 840, 588)
    assert window.part((0.0, 0.0, 0.7, 1.0)) == Area(100, 50, 588, 588)
    assert window.part((0.5, 0.5, 0.5, 0.25)) == Area(520, 344, 420, 147)
    assert window.within(Area(0, 0, 1280, 900))
    assert not window.within(Area(0, 0, 900, 900))


def test_a_keyboard_injects_its_own_keys_alone(keyboard, shared_display):
    two = XTestKeyboard(shared_display, ["d", "f"])
    two.press("d")
    assert keyboard.down() == two.down() == ["d"]
    assert two.is_down("d")
    assert not two.is_down("f10")
    with pytest.raises(KeyError):
        two.press("j")
    two.release("d")
    assert keyboard.down() == []
    two.close()


def test_a_key_that_is_not_there(shared_display):
    with pytest.raises(LiveError, match="no key 'nosuchkey'"):
        XTestKeyboard(shared_display, ["nosuchkey"])


def test_a_display_that_is_not_there():
    with pytest.raises(LiveError, match="cannot open the display :987"):
        X11Windows(":987")


@pytest.mark.parametrize(
    ("keys", "panic_key", "words"),
    [
        (("d", "control"), "f10", "no key for a column"),
        (("d", "return"), "f10", "no key for a column"),
        (("d", "f10"), "f11", "no key for a column"),
        (("d", "super"), "f10", "no key for a column"),
        (("d", "D"), "f10", "no key for a column"),
        (("d", "d"), "f10", "one key"),
        (("d", "f"), "d", "panic key"),
        (("d", "f"), "k", "panic key"),
    ],
)
def test_keys_that_are_never_injected(keys, panic_key, words):
    with pytest.raises(ValueError, match=words):
        check_keys(keys, panic_key)
