"""Models as plain data: files that hold numbers and a description, and nothing that could be run.

``.safetensors`` and ``.npz`` hold our PPO: canonical parameters, and how to build the model around
them. ``.onnx`` holds what any of the algorithms does, as a graph that other programs run too.

Nothing is imported here: reading an ``.npz`` needs NumPy alone, see :mod:`sb3_ext.portable.npz`.
"""
