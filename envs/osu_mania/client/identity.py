"""By what the client's window is known, and where in it the highway is."""

from __future__ import annotations

TITLE = "osu!mania reference client"
WINDOW_CLASS = "osu-mania-reference-client"
"""X's WM_CLASS of the window."""

NOTE_AREA = (0.0, 0.0, 0.7, 1.0)
"""The highway's left, top, width and height, as parts of the window's."""

PORT = 24050
"""Where the state is served, as tosu and gosumemory do."""
