"""``.onnx``: an agent's most likely action as a graph, and a model that plays it.

The graph is onnxruntime's to run, or any other runtime's; our description among its metadata says
what the agent observes and does.
"""

import json
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.portable import strict
from sb3_ext.portable.description import check_canonical
from sb3_ext.portable.errors import ModelFileError, from_extra, reason
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.onnx_graph import graph_of, input_dtype, input_names, parts_of
from sb3_ext.portable.plain_spaces import describe_space, read_space

__all__ = ["OnnxModel", "to_onnx"]

_KEY = "sb3_ext"  # of the description among the metadata
FORMAT, VERSION = "sb3_ext.onnx", 1
_MOST_ELEMENTS = 2**26  # of an observation


def to_onnx(model: Any, normalizer: Normalizer | None = None) -> bytes:
    """A model's most likely action as a graph.

    Args:
        model: A PPO of ours, or any algorithm of stable-baselines3's kind.
        normalizer: VecNormalize's statistics; they become part of the graph.

    Raises:
        ModelFileError: it has no such graph; the message says why.
        ImportError: ``onnx`` isn't installed.
    """
    onnx = from_extra("onnx", "an .onnx file")
    if normalizer is not None:
        _check_fits(normalizer, model.observation_space)
    network = getattr(model, "actor_critic", None)
    if network is not None and network.spec.is_canonical:
        graph = graph_of(network.spec, network.parameters(), normalizer)
    elif network is not None and network.name != "torch":
        check_canonical(network.spec)
    else:
        from sb3_ext.portable.torch_graph import traced

        graph = traced(model.policy, normalizer)
    description = {
        "format": FORMAT,
        "version": VERSION,
        "algorithm": type(model).__name__,
        "observation_space": describe_space(model.observation_space),
        "action_space": describe_space(model.action_space),
        "has_normalizer": normalizer is not None,
    }
    onnx.helper.set_model_props(graph, {_KEY: json.dumps(description)})
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString(deterministic=True)


def _check_fits(normalizer: Normalizer, space: spaces.Space) -> None:
    parts = parts_of(space)
    limit = normalizer.options["clip_obs"]
    for key, moments in normalizer.obs.items():
        part = parts.get(key, space)
        if part.shape != moments.mean.shape:
            raise ModelFileError(
                f"its normalizer is one of {normalizer.observation_space}, and its network reads "
                f"{space}: with frame_stack the normalizer can't be part of the graph"
            )
        if len(part.shape) == 3 and np.all(part.high == np.float32(limit)):  # type: ignore[attr-defined]
            raise ModelFileError("its normalizer hides what images the world gives")


class OnnxModel:
    """Plays an ``.onnx`` that :func:`to_onnx` made; has what ``enjoy`` asks of a model.

    Args:
        data: The file.

    Attributes:
        observation_space: Of one row.
        action_space: Of one row.
        algorithm: Name of the class that it was made from.

    Raises:
        ModelFileError: it is damaged, or another program's.
        ImportError: ``onnxruntime`` isn't installed.
    """

    def __init__(self, data: bytes) -> None:
        runtime = from_extra("onnxruntime", "playing an .onnx file")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1  # a few rows a step: threads only cost
        options.log_severity_level = 4  # what is wrong is raised, too
        try:
            self._session = runtime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # of the library's own kinds
            raise ModelFileError(f"no ONNX file, or a damaged one ({reason(error)})") from error
        if _KEY not in metadata:
            raise ModelFileError("an ONNX file without our description: another program's")
        self._read(strict.parse(metadata[_KEY]))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Open a file.

        Raises:
            ModelFileError: see the class; the message names the file.
            OSError: it can't be read.
        """
        try:
            return cls(Path(path).read_bytes())
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error

    def _read(self, content: Any) -> None:
        def space(value: Any, where: str) -> Any:
            return read_space(value, where, _MOST_ELEMENTS)

        found = strict.record(
            content,
            "description",
            {
                "format": strict.choice((FORMAT,)),
                "version": strict.integer(VERSION, VERSION),
                "algorithm": strict.text,
                "observation_space": space,
                "action_space": space,
                "has_normalizer": strict.boolean,
            },
        )
        self.observation_space: spaces.Space = found["observation_space"]
        self.action_space: spaces.Space = found["action_space"]
        self.algorithm: str = found["algorithm"]
        self._names = input_names(self.observation_space)
        if sorted(entry.name for entry in self._session.get_inputs()) != sorted(
            self._names.values()
        ):
            raise ModelFileError("its inputs are not those that its description tells")

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray, Any]:
        """SB3's ``predict``, for one observation or a batch of them.

        Raises:
            ValueError: ``deterministic=False``: the graph holds the most likely action alone.
        """
        if not deterministic:
            raise ValueError("an .onnx file holds the most likely action alone: deterministic=True")
        feed, is_batch = {}, True
        for key, part in parts_of(self.observation_space).items():
            x = np.asarray(observation[key] if key else observation, input_dtype(part))
            is_batch = x.ndim > len(part.shape or ())
            feed[self._names[key]] = x if is_batch else x[None]
        try:
            (actions,) = self._session.run(None, feed)
        except Exception as error:  # of the library's own kinds
            raise ModelFileError(f"the graph fails ({reason(error)})") from error
        space: Any = self.action_space
        is_continuous = isinstance(space, spaces.Box)
        if actions.shape[1:] != space.shape or (actions.dtype.kind == "f") != is_continuous:
            raise ModelFileError(f"the graph gives {actions.dtype} {actions.shape} for {space}")
        if is_continuous:  # float32 may round beyond float64's limits
            actions = np.clip(actions, space.low, space.high)
        return (actions if is_batch else actions[0]), state
