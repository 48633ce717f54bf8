"""A planar biped that walks down a slope almost by itself, in MuJoCo.

`models`: the theory, three passive walkers as ordinary differential equations. `gait`: the body's
own passive walk, and the measures of any walk. `env` and `vector_env`: PassiveWalker-v0.
"""

import os

try:
    import mujoco as _mujoco  # noqa: F401
except ImportError:
    raise
except Exception as error:  # what MUJOCO_GL names is loaded with it, and OpenGL's raise anything
    raise ImportError(
        f"MuJoCo can't be imported with MUJOCO_GL={os.environ.get('MUJOCO_GL', '')} "
        f"({type(error).__name__}: {error}): unset it, or install what it names (Debian: libegl1, "
        "libosmesa6)"
    ) from error
