"""Which keys of a keyboard play which columns: the game's own defaults, without its scratch key."""

from __future__ import annotations

LAYOUTS: dict[int, tuple[str, ...]] = {
    1: ("space",),
    2: ("f", "j"),
    3: ("f", "space", "j"),
    4: ("d", "f", "j", "k"),
    5: ("d", "f", "space", "j", "k"),
    6: ("s", "d", "f", "j", "k", "l"),
    7: ("s", "d", "f", "space", "j", "k", "l"),
    8: ("a", "s", "d", "f", "j", "k", "l", ";"),
    9: ("a", "s", "d", "f", "space", "j", "k", "l", ";"),
    10: ("a", "s", "d", "f", "v", "n", "j", "k", "l", ";"),
}
"""Key names by number of columns, from the left: a character as it is typed, or "space"."""
