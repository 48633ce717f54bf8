"""Pictures of the walker: MuJoCo's viewer for people, an offscreen renderer for files."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

SIZE = (960, 540)
"""Width and height of a picture, px."""

_PATIENCE = 5.0  # s that the viewer's thread is given to end


class Camera(Protocol):
    """Shows a walker's state."""

    def show(self, data: mujoco.MjData) -> NDArray[np.uint8] | None:
        """A picture `[height, width, 3]`, or None where it goes to a window."""
        ...

    def close(self) -> None:
        """Frees the window or the context."""
        ...


def open_camera(mode: str, model: mujoco.MjModel, data: mujoco.MjData, hz: float) -> Camera:
    """A camera for "human" or "rgb_array".

    Raises:
        RuntimeError: There's no way to draw here; it says what to do.
    """
    if mode == "human":
        return _Window(model, data, hz)
    return _Pictures(model)


def has_display() -> bool:
    """Whether a window server answers; macOS and Windows have one.

    MuJoCo's viewer would wait forever for one that is named and doesn't.
    """
    if not sys.platform.startswith("linux"):
        return True
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    import glfw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its errors: the answer is enough
        return bool(glfw.init())


class _Pictures:
    """Offscreen; without a display through EGL, which needs none."""

    def __init__(self, model: mujoco.MjModel) -> None:
        # The floor is drawn level: it's gravity that is tilted.
        if not os.environ.get("MUJOCO_GL") and not has_display():
            _use_egl()
        try:
            _wake_egl()
            self._renderer = mujoco.Renderer(model, SIZE[1], SIZE[0])
        except Exception as error:  # OpenGL's loaders raise anything
            raise RuntimeError(
                f"MuJoCo can't draw here ({type(error).__name__}: {error}): install EGL (Debian: "
                "libegl1) and set MUJOCO_GL=egl, or give it a display"
            ) from error

    def show(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        self._renderer.update_scene(data, camera="track")
        return self._renderer.render()

    def close(self) -> None:
        self._renderer.close()


def _wake_egl() -> None:
    """Starts EGL again where somebody has ended it for the whole process, as SDL does."""
    egl: Any = sys.modules.get("mujoco.egl")
    if egl is not None and egl.EGL_DISPLAY is not None:
        egl.EGL.eglInitialize(egl.EGL_DISPLAY, None, None)


def _use_egl() -> None:
    """Draws through EGL, though MuJoCo may have been imported without being told so."""
    os.environ["MUJOCO_GL"] = "egl"
    try:
        from mujoco.egl import GLContext
    except Exception as error:  # OpenGL's loaders raise anything
        del os.environ["MUJOCO_GL"]
        raise RuntimeError(
            f"there is no display, and no EGL either ({type(error).__name__}: {error}): install "
            "it (Debian: libegl1)"
        ) from error
    context: Any = sys.modules[mujoco.Renderer.__module__].gl_context
    context.GLContext = GLContext
    message = "no display: MuJoCo draws off screen, through EGL (MUJOCO_GL chooses another way)"
    print(message, file=sys.stderr)


class _Window:
    """MuJoCo's interactive viewer, in real time."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, hz: float) -> None:
        if not has_display():
            raise RuntimeError(
                "there is no display to open MuJoCo's viewer on: use render_mode='rgb_array'"
            )
        import mujoco.viewer

        others = set(threading.enumerate())
        self._viewer = mujoco.viewer.launch_passive(model, data)
        self._threads = set(threading.enumerate()) - others
        self._viewer.cam.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._viewer.cam.fixedcamid = model.camera("track").id
        self._next, self._seconds = time.perf_counter(), 1.0 / hz

    def show(self, data: mujoco.MjData) -> None:
        if not self._viewer.is_running():
            return
        self._viewer.sync()
        now = time.perf_counter()
        self._next = max(self._next + self._seconds, now - self._seconds)
        time.sleep(max(0.0, self._next - now))

    def close(self) -> None:
        self._viewer.close()
        # A process that ends while they still draw dies of a segmentation fault.
        for thread in self._threads:
            thread.join(_PATIENCE)
