"""Writing a trained agent into another file, which is checked before it is put in place."""

from __future__ import annotations

import argparse
import io
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import stable_baselines3
from stable_baselines3.common.save_util import save_to_pkl

from callbacks.checkpoint import Content, model_bytes, save_together
from sb3_ext import PPO
from sb3_ext.portable.agreement import agreement
from sb3_ext.portable.description import undescribable
from sb3_ext.portable.errors import ModelFileError, from_extra
from sb3_ext.portable.model_file import ModelFile, is_model_file
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.onnx_graph import parts_of
from sb3_ext.portable.onnx_model import OnnxModel, to_onnx
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.agents import load_for_playing
from sb3_ext.zoo.at_play import hints, training_settings
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.make_env import EnvBuilder
from sb3_ext.zoo.model_choice import find_model
from sb3_ext.zoo.model_files import ONNX, leaves_open, read_model_file, told

SUFFIXES = {"onnx": ONNX, "sb3": ".zip", "npz": ".npz", "safetensors": ".safetensors"}
LIBRARIES = {"onnx": ("onnx", "onnxruntime"), "safetensors": ("safetensors",)}
TOLERANCE = 1e-5
PPO_NAMES = ("ppo", *registry.OWN_ALGORITHMS)


def export(args: argparse.Namespace) -> int:
    """Exports a trained agent (``zoo.py export``).

    Returns:
        The process's exit code.
    """
    registry.import_packages(args.gym_packages)
    with told(f"--to {args.to}"):
        for library in LIBRARIES.get(args.to, ()):
            from_extra(library, "the file")
    source = _source(args)
    target = _target(args, source)
    if args.to not in ("npz", "safetensors") and args.optimizer:
        raise ZooError(f"--optimizer: --to {args.to} does not take it (npz and safetensors do)")
    model = _load(args, source)
    normalizer = _normalizer(source)
    with told(str(source)):
        files, again = _FORMATS[args.to](args, model, normalizer, target)
        found = agreement(
            model, again, normalizer, normalizes=args.to == "onnx", seed=max(0, args.seed)
        )
    if not found.difference <= TOLERANCE:
        raise ZooError(
            f"{target.name} would act otherwise than {source}: actions differ by "
            f"{found.difference:.2g}, more than {TOLERANCE:g}"
        )
    try:
        save_together(files)
    except OSError as error:
        raise ZooError(f"-o {target}: {error.strerror or error}") from error
    if args.verbose > 0:
        print(
            f"{target}: acts as {source} on {found.n_observations} observations, largest "
            f"difference {found.difference:.2g}"
        )
    return 0


# What is read


def _source(args: argparse.Namespace) -> Path:
    if args.env is None and args.model is None:
        raise ZooError("which model? --env ID exports the newest run's, --model FILE another")
    source = find_model(args, None if args.env is None else registry.find_env(args.env)).path
    if source.suffix == ONNX:
        raise ZooError(f"{source} holds a graph, and nothing that could be made into another file")
    return source


def _target(args: argparse.Namespace, source: Path) -> Path:
    suffix = SUFFIXES[args.to]
    name = f"{source.stem}_sb3.zip" if args.to == "sb3" else f"{source.stem}{suffix}"
    target = source.with_name(name) if args.output is None else Path(args.output)
    if target.suffix != suffix:
        raise ZooError(f"-o {target}: --to {args.to} writes a {suffix}, which its name must say")
    if not target.parent.is_dir():
        raise ZooError(f"-o {target}: there is no folder {str(target.parent)!r}")
    if target.is_dir():
        raise ZooError(f"-o {target} is a folder")
    if args.pretrained is not None and args.output is None:
        raise ZooError("--pretrained: -o says where to write")
    if target.exists() and target.samefile(source):
        raise ZooError(f"-o {target} is the model itself: give another name")
    return target


def _load(args: argparse.Namespace, source: Path) -> Any:
    is_bare = leaves_open(source, args.policy_kwargs)
    if args.env_kwargs and not is_bare:
        raise ZooError(f"--env-kwargs: no world is made, {source} tells its spaces itself")
    if args.algo not in PPO_NAMES:
        algorithm = registry.load_algorithm(args.algo)
        if args.to != "onnx":
            raise ZooError(
                f"--to {args.to}: only our PPO and stable-baselines3's can be exported so, not "
                f"{args.algo} (--to onnx can)"
            )
        return load_for_playing(algorithm, source, "cpu")
    if is_bare:
        return _load_bare(args, source)
    if is_model_file(source):
        return load_for_playing(PPO, source, "cpu")
    try:  # on any backend: the numbers are the same
        return PPO.load(source, device="cpu", backend="auto", verbose=0)
    except Exception as error:  # a foreign file may fail anywhere inside a pickle
        raise ZooError(f"{source}: not a model of {args.algo} ({reason(error)})") from error


def _load_bare(args: argparse.Namespace, source: Path) -> Any:
    """Parameters alone: the world tells the spaces."""
    if args.env is None:
        raise ZooError(f"{source} holds parameters alone: --env says what they are for")
    spec = registry.find_env(args.env)
    settings, env_kwargs = training_settings(source, spec.id, PPO, "ppo_numpy", in_a_run=False)
    builder = EnvBuilder(spec, settings, "dummy", env_kwargs | (args.env_kwargs or {}))
    env = builder.evaluation(1, 0, normalizer=runs.normalizer_of(source))
    try:
        return load_for_playing(PPO, source, "cpu", env, hints(args, settings, source))
    finally:
        env.close()


def _normalizer(source: Path) -> Normalizer | None:
    path = runs.normalizer_of(source)
    if path is None:
        runs.check_no_normalizer(source)
        return None
    if is_model_file(path):
        return read_model_file(path).normalizer
    try:
        with path.open("rb") as file:
            return Normalizer.of(pickle.load(file))
    except Exception as error:  # a damaged pickle may fail in any way
        raise ZooError(f"{path}: not a normalizer ({reason(error)})") from error


# What is written: the files, and the model that is read from them

Written = tuple[dict[Path, Content], Any]


def _as_onnx(
    args: argparse.Namespace, model: Any, normalizer: Normalizer | None, target: Path
) -> Written:
    data = to_onnx(model, normalizer)
    return {target: data}, OnnxModel(data)


def _as_model_file(
    args: argparse.Namespace, model: Any, normalizer: Normalizer | None, target: Path
) -> Written:
    left_out = undescribable(model) if model.actor_critic.spec.is_canonical else []
    content = ModelFile.of(model, exclude=left_out, with_optimizer=args.optimizer)
    assert content.description is not None
    content = replace(content, description=replace(content.description, normalizer=normalizer))
    for name in left_out if args.verbose > 0 else ():
        print(f"{name} is code, which {target.name} cannot hold: there it is the default")
    data = content.pack(target.suffix)
    return {target: data}, ModelFile.unpack(data, target.suffix).build(PPO, device="cpu")


def _as_zip(
    args: argparse.Namespace, model: Any, normalizer: Normalizer | None, target: Path
) -> Written:
    _check_sb3_knows(model)
    ours = model.extensions.changed()
    if ours and args.verbose > 0:
        print(f"stable-baselines3 would train on without: {', '.join(ours)}")
    files: dict[Path, Content] = {}
    beside = target.with_name(f"{target.stem}_vecnormalize.pkl")
    if normalizer is not None:
        file = io.BytesIO()
        save_to_pkl(file, normalizer.alone(model.action_space))
        files[beside] = file.getvalue()
    elif beside.exists():
        raise ModelFileError(f"{beside}, another's normalizer, would be taken for its own")
    data = model_bytes(model)
    return {**files, target: data}, stable_baselines3.PPO.load(io.BytesIO(data), device="cpu")


def _check_sb3_knows(model: Any) -> None:
    spec = model.actor_critic.spec
    for name, default in (("std", "free"), ("mean", "linear")):
        value = getattr(spec, name)
        if value != default:
            raise ModelFileError(f"stable-baselines3 has no extension {name}={value!r}")
    if spec.network is not None:
        raise ModelFileError("stable-baselines3 has no policy around a network of one's own")
    for space in (*parts_of(spec.observation_space).values(), spec.action_space):
        if np.any(getattr(space, "start", 0)):
            kind = "actions" if space is spec.action_space else "observations"
            raise ModelFileError(f"stable-baselines3 counts {kind} from 0, not as {space}")


_FORMATS: dict[str, Callable[..., Written]] = {
    "onnx": _as_onnx,
    "sb3": _as_zip,
    "npz": _as_model_file,
    "safetensors": _as_model_file,
}
