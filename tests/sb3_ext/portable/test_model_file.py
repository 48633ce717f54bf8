"""``.safetensors`` and ``.npz``: round trips of every model, training on, and what is refused."""

import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext import PPO, JaxPPO, NumpyPPO, PPOExtensions, TorchPPO
from sb3_ext.portable.errors import ModelFileError
from sb3_ext.portable.model_file import SUFFIXES, ModelFile
from sb3_ext.portable.npz import load_npz, save_npz
from sb3_ext.portable.schema import EXTENSIONS
from tests.sb3_ext.portable import models
from tests.sb3_ext.portable.models import ACTIONS, BOX, IMAGE, assert_same_actions, make

safetensors = pytest.importorskip("safetensors.numpy")
EVERY = models.every_model()
each_suffix = pytest.mark.parametrize("suffix", SUFFIXES)


@pytest.mark.parametrize("name", EVERY)
def test_every_model_comes_back(name: str, tmp_path: Path) -> None:
    model = EVERY[name]()
    obs = models.observations(model.observation_space)
    wanted = model.predict(obs, deterministic=True)[0]
    for suffix in SUFFIXES:
        path = tmp_path / f"model{suffix}"
        model.save(path)
        again = PPO.load(path, backend="numpy")
        assert_same_actions(again.predict(obs, deterministic=True)[0], wanted)
        assert again.actor_critic.spec == model.actor_critic.spec
        assert again.extensions == model.extensions
        np.testing.assert_array_equal(
            again.policy.predict_values(obs), model.policy.predict_values(obs)
        )
        first = path.read_bytes()
        again.save(path)
        assert path.read_bytes() == first, "one model, one file"


@pytest.mark.parametrize("cls", [NumpyPPO, TorchPPO, JaxPPO])
def test_any_backend_goes_on(cls: Any, tmp_path: Path) -> None:
    for number, case in enumerate([make(), make(IMAGE, ACTIONS["discrete"], policy="CnnPolicy")]):
        path = tmp_path / f"{number}.safetensors"
        case.save(path)
        model = cls.load(path, env=case.env)
        obs = models.observations(case.observation_space)
        wanted = case.predict(obs, deterministic=True)[0]
        assert_same_actions(model.predict(obs, deterministic=True)[0], wanted)
        assert model.actor_critic.name == cls.own_backend
        if number == 0:  # the other has convolutions to compile
            model.learn(64)


@each_suffix
@pytest.mark.parametrize("name", ["gsde", "sgd", "sgd with momentum", "own value function", "adam"])
def test_training_goes_on_as_from_a_zip(name: str, suffix: str, tmp_path: Path) -> None:
    model = make(**models.OPTIONS[name]).learn(128)
    wanted = []
    for path in (tmp_path / "model.zip", tmp_path / f"model{suffix}"):
        model.save(path, include=["policy.optimizer"])
        again = PPO.load(path, env=models.vec_env(BOX, ACTIONS["box"]))
        assert again.num_timesteps == 128
        assert again._n_updates == model._n_updates
        again.learn(128, reset_num_timesteps=False)
        wanted.append(again.policy.parameters_to_vector())
    np.testing.assert_array_equal(*wanted)
    without = tmp_path / f"without{suffix}"
    model.save(without)
    assert not PPO.load(without).actor_critic.optimizer_state()["step"]


@each_suffix
def test_every_argument_comes_back(suffix: str, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "learning_rate": "lin_2e-3", "n_steps": 20, "batch_size": 10, "n_epochs": 3,
        "gamma": 0.9, "gae_lambda": 0.8, "clip_range": "cosine_0.3", "clip_range_vf": 0.5,
        "normalize_advantage": False, "ent_coef": 0.01, "vf_coef": 0.6, "max_grad_norm": 0.7,
        "sde_sample_freq": 3, "use_sde": True, "target_kl": 0.03, "stats_window_size": 7,
    }  # fmt: skip
    model = make(**arguments)
    model.save(tmp_path / f"m{suffix}")
    again = PPO.load(tmp_path / f"m{suffix}")
    for name, value in arguments.items():
        found = getattr(again, "_stats_window_size" if name == "stats_window_size" else name)
        if name in ("learning_rate", "clip_range", "clip_range_vf"):
            schedule = found if callable(found) else PPO("MlpPolicy", None, found, 2).learning_rate
            before = getattr(model, name)
            assert [schedule(p) for p in (1.0, 0.3)] == [before(p) for p in (1.0, 0.3)]
        else:
            assert found == value, name
    assert again.seed == 0
    changed = PPO.load(tmp_path / f"m{suffix}", gamma=0.5, learning_rate=1e-3, verbose=1)
    assert (changed.gamma, changed.learning_rate, changed.verbose) == (0.5, 1e-3, 1)


@each_suffix
@pytest.mark.parametrize("name", models.NORMALIZED)
def test_the_normalizer_comes_along(name: str, suffix: str, tmp_path: Path) -> None:
    space = models.OBSERVATIONS[name]
    model = models.normalized(space)
    before = model.get_vec_normalize_env()
    assert before is not None
    path = tmp_path / f"m{suffix}"
    model.save(path)
    normalizer = ModelFile.read(path).normalizer
    assert normalizer is not None
    env = models.vec_env(space, ACTIONS["box"])
    after = normalizer.around(env)
    obs = models.observations(space)
    for found, wanted in zip(
        _flat(after.normalize_obs(obs)), _flat(before.normalize_obs(obs)), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    rewards = np.array([1.0, -3.0])
    np.testing.assert_array_equal(after.normalize_reward(rewards), before.normalize_reward(rewards))
    assert (after.clip_reward, after.gamma, after.training) == (10.0, 0.99, False)
    if name != "dict":
        with pytest.raises(ModelFileError, match="its normalizer is one of"):
            normalizer.around(models.vec_env(spaces.Box(-1, 1, (7,)), ACTIONS["box"]))


def _flat(obs: Any) -> list[Any]:
    return list(obs.values()) if isinstance(obs, dict) else [obs]


def test_rewards_alone_may_be_normalized(tmp_path: Path) -> None:
    env = VecNormalize(models.vec_env(BOX, ACTIONS["box"]), norm_obs=False)
    make(env=env).learn(64).save(tmp_path / "m.safetensors")
    normalizer = ModelFile.read(tmp_path / "m.safetensors").normalizer
    assert normalizer is not None and not normalizer.obs
    again = normalizer.around(models.vec_env(BOX, ACTIONS["box"]))
    assert again.ret_rms.var == env.ret_rms.var
    assert not again.norm_obs


def test_every_extension_can_be_told() -> None:
    assert list(EXTENSIONS) == [field.name for field in dataclasses.fields(PPOExtensions)]


# What a file can't hold


def test_what_only_pickle_holds_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for name in ("learning_rate", "clip_range"):
        model = make(**{name: lambda progress: 1e-3})
        with pytest.raises(ModelFileError, match=f"{name} is a function"):
            model.save(path)
        assert not path.exists()
        model.save(path, exclude=[name])
        assert getattr(PPO.load(path), name)
        path.unlink()
    with pytest.raises(ModelFileError, match="one of your own"):
        make(backend="torch", policy_kwargs={"activation_fn": torch.nn.GELU}).save(path)
    with pytest.raises(ModelFileError, match="'gama' is none of"):
        make().save(path, exclude=["gama"])
    with pytest.raises(ModelFileError, match="'env' can't go"):
        make().save(path, include=["env"])
    model = make()
    model.actor_critic.load_parameters(
        {k: v * np.nan for k, v in model.actor_critic.parameters().items()}
    )
    with pytest.raises(ModelFileError, match="not finite"):
        model.save(path)
    assert not list(tmp_path.glob("*.tmp"))


def test_loading_asks_for_what_goes_together(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    with pytest.raises(ValueError, match="spaces do not match"):
        PPO.load(path, env=models.vec_env(BOX, ACTIONS["discrete"]))
    with pytest.raises(ModelFileError, match="no policy_kwargs beside it"):
        PPO.load(path, policy_kwargs={})
    with pytest.raises(ValueError, match="force_reset"):
        PPO.load(path, force_reset=False)
    with pytest.raises(TypeError, match="gama"):
        PPO.load(path, gama=1)
    with pytest.raises(FileNotFoundError):
        PPO.load(tmp_path / "no.safetensors")
    with pytest.raises(KeyError, match="log_std"):
        make(BOX, ACTIONS["discrete"]).set_parameters(path)


# A bare .npz


@pytest.mark.parametrize("name", [n for n in EVERY if "momentum" not in n and "sgd" not in n])
def test_a_bare_archive_tells_its_network(name: str, tmp_path: Path) -> None:
    model = EVERY[name]()
    spec = model.actor_critic.spec
    path = tmp_path / "bare.npz"
    save_npz(path, model.actor_critic.parameters())
    leaves_no_trace = {
        "activation_fn": spec.activation,
        "squash_output": spec.squash_output,
        "use_expln": spec.use_expln,
        "normalize_images": spec.normalize_images,
    }
    extensions = {"mean": spec.mean}
    if spec.std == "state":
        extensions |= {"std": "state", "std_range": spec.std_range}
    again = PPO.load(
        path,
        env=model.env,
        policy_kwargs=leaves_no_trace,
        extensions=extensions,
        backend="numpy",
        n_steps=32,
    )
    obs = models.observations(model.observation_space)
    wanted = model.predict(obs, deterministic=True)[0]
    assert_same_actions(again.predict(obs, deterministic=True)[0], wanted)


def test_a_bare_archive_needs_an_env(tmp_path: Path) -> None:
    save_npz(tmp_path / "bare.npz", make().actor_critic.parameters())
    with pytest.raises(ModelFileError, match="give an env"):
        PPO.load(tmp_path / "bare.npz")
    with pytest.raises(ModelFileError, match="doesn't tell its activation"):
        PPO.load(tmp_path / "bare.npz", env=models.vec_env(BOX, ACTIONS["box"]))
    env = models.vec_env(IMAGE, ACTIONS["discrete"])
    with pytest.raises(ModelFileError, match="no network for Box"):
        PPO.load(tmp_path / "bare.npz", env=env, policy_kwargs={})
    save_npz(tmp_path / "own.npz", {"network.0": np.zeros(3, np.float32)})
    with pytest.raises(ModelFileError, match="somebody's own"):
        PPO.load(tmp_path / "own.npz", env=models.vec_env(BOX, ACTIONS["box"]), policy_kwargs={})


def test_npz_needs_no_framework(tmp_path: Path) -> None:
    """An archive of parameters is NumPy's business alone."""
    save_npz(tmp_path / "bare.npz", {"a": np.arange(3.0)})
    code = (
        "import sys; from sb3_ext.portable.npz import load_npz; "
        f"print(load_npz({str(tmp_path / 'bare.npz')!r})['a'].sum()); "
        "assert not {'torch', 'jax', 'stable_baselines3', 'safetensors'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.stdout == "3.0\n", done.stderr


# Tampered files


def described(path: Path) -> dict[str, Any]:
    """The description of a ``.safetensors``."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["sb3_ext"])


def rewritten(path: Path, description: Any, arrays: Any = None) -> None:
    """The file with another description, and other arrays if some are given."""
    text = description if isinstance(description, str) else json.dumps(description)
    arrays = safetensors.load(path.read_bytes()) | (arrays or {})
    path.write_bytes(safetensors.save(arrays, {"sb3_ext": text}))


def changed(content: Any, place: str, value: Any) -> Any:
    """A value put where a dotted path points; ``...`` removes the key."""
    *way, last = place.split(".")
    inner = content
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return content


TAMPERED: list[tuple[str, Any, str]] = [
    ("version", 2, "version 2; this sb3_ext reads 1"),
    ("format", "other", "not one of a model of ours"),
    ("surprise", 1, "unknown key 'surprise'"),
    ("arguments.gamma", ..., "lacks the key 'gamma'"),
    ("arguments.gamma", 2.0, "gamma must be a finite number from 0.0 to 1.0, not 2.0"),
    ("arguments.gamma", "0.9", "gamma must be a finite number"),
    ("arguments.gamma", True, "gamma must be a finite number"),
    ("arguments.ent_coef", 10**400, "ent_coef must be a finite number"),
    ("arguments.clip_range_vf", 0, "clip_range_vf must be a finite number of at least"),
    ("arguments.seed", 2**40, "seed must be a whole number"),
    ("arguments.n_steps", 10**12, "n_steps must be a whole number from 1 to"),
    ("arguments.n_steps", 2.0, "n_steps must be a whole number"),
    ("arguments.n_steps", [], "n_steps must be a whole number from 1 to 16777216, not a list"),
    ("arguments.batch_size", 1, "needs a batch_size of at least 2"),
    ("arguments.learning_rate", "__import__('os')", "unknown schedule"),
    ("arguments.learning_rate", -1.0, "learning_rate must be a finite number of at least 0"),
    ("arguments.use_sde", True, "log_std is"),
    ("policy", "os.system", "policy must be one of MlpPolicy"),
    ("policy", "CnnPolicy", "features_extractor_kwargs"),
    ("policy_kwargs.activation_fn", "torch.nn.Tanh", "activation_fn must be one of"),
    ("policy_kwargs.net_arch.pi", [8, 10**9], r"is \(6, 8\); in the model it describes"),
    ("policy_kwargs.net_arch.pi", [8], "which the model it describes has not"),
    ("policy_kwargs.net_arch.pi", [0], "net_arch.pi"),
    ("policy_kwargs.optimizer_kwargs", {"lr": 1.0}, "unknown key 'lr'"),
    ("policy_kwargs.squash_output", True, "squash_output=True is only available"),
    ("extensions.std", "state", "which the model it describes"),
    ("extensions.std_range", [0.1, 1.0], "std_range needs std='state'"),
    ("extensions.surprise", 1, "extensions has an unknown key 'surprise'"),
    ("extensions.n_rollouts_kept", 10**30, "n_rollouts_kept must be a whole number"),
    ("observation_space.shape", [10**9], r"shape\[0\] must be a whole number"),
    ("observation_space.shape", [7], "in the model it describes"),
    ("observation_space.dtype", "object", "dtype must be one of"),
    ("observation_space.low", "nan", "low must be a finite number"),
    ("observation_space.low", 2.0, "low must not be above high"),
    ("observation_space.low", [0.0], "low must be a list of 3"),
    ("observation_space", {"type": "Text"}, "type must be one of"),
    ("observation_space", {"type": "MultiBinary", "n": 10**15}, "n must be a whole number"),
    (
        "observation_space",
        {"type": "Discrete", "n": 10**9, "start": 0, "dtype": "int64"},
        "in the model it describes",
    ),
    (
        "action_space",
        {"type": "Discrete", "n": 300, "start": 0, "dtype": "int8"},
        "300 is no int8",
    ),
    (
        "action_space",
        {"type": "MultiDiscrete", "nvec": [2, 3], "start": [0], "dtype": "int64"},
        "the same length",
    ),
    ("action_space", {"type": "Dict", "spaces": []}, "a Dict without spaces"),
    ("normalizer", {}, "normalizer lacks the key"),
    ("optimizer_step", 5, "lacks 'optimizer.exp_avg"),
    ("progress.noise", [1, 2], "noise must be a list of 3"),
]


@pytest.mark.parametrize(("place", "value", "message"), TAMPERED)
def test_tampered_descriptions(place: str, value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    rewritten(path, changed(described(path), place, value))
    with pytest.raises(ModelFileError, match=message) as caught:
        PPO.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON is damaged"),
        ("[1]", "not one of a model of ours"),
        ("[" * 100_000, "JSON is damaged"),
        ('{"format": NaN}', "NaN is no number"),
        ('{"format": 1, "format": 2}', "the key 'format' stands there twice"),
        ('{"version": 1' + "0" * 5000 + "}", "JSON is damaged|not one of a model"),
    ],
)
def test_descriptions_that_are_none(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    rewritten(path, text)
    with pytest.raises(ModelFileError, match=message):
        PPO.load(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("log_std", np.full(2, np.nan, np.float32), "log_std has numbers that are not finite"),
        ("log_std", np.zeros(2, np.float16), "'log_std' is F16"),
        ("log_std", np.zeros(2, np.int64), "'log_std' is I64"),
        ("log_std", np.zeros(3, np.float32), r"log_std is \(3,\)"),
        ("more", np.zeros(3, np.float32), "it holds 'more'"),
    ],
)
def test_tampered_tensors(name: str, array: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    rewritten(path, described(path), {name: array})
    with pytest.raises(ModelFileError, match=message):
        PPO.load(path)


def test_negative_variances(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    models.normalized(models.OBSERVATIONS["box without limits"]).save(path)
    rewritten(path, described(path), {"normalizer.obs_var": np.full(3, -1.0)})
    with pytest.raises(ModelFileError, match="negative variance"):
        PPO.load(path)


def with_header(data: bytes, change: Any) -> bytes:
    """A ``.safetensors`` with its header's text changed."""
    size = int.from_bytes(data[:8], "little")
    header = change(data[8 : 8 + size].decode()).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.replace('"log_std":', '"log_std":{"dtype":"F32","shape":[2]},"log_std":', 1),
        lambda h: h.replace('"log_std":{', '"log_std":{"run":"me",', 1),
        lambda h: h.replace('"sb3_ext":', '"sb3_ext":"{}","sb3_ext":', 1),
        lambda h: h.replace('"sb3_ext":', '"other":"","sb3_ext":', 1),
        lambda h: h.replace('"sb3_ext":', '"other":', 1),
        lambda h: h.replace("__metadata__", "metadata"),
    ],
)
def test_what_the_library_lets_pass(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    path.write_bytes(with_header(path.read_bytes(), change))
    with pytest.raises(ModelFileError):
        PPO.load(path)


@each_suffix
def test_every_truncation(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    make().save(path)
    data = path.read_bytes()
    for length in [*range(0, len(data), 97), len(data) - 1]:
        with pytest.raises(ModelFileError):
            ModelFile.unpack(data[:length], suffix)
    with pytest.raises(ModelFileError):
        ModelFile.unpack(data[: len(data) // 2] + data[len(data) // 2 + 1 :], suffix)


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    _members(path, {"x.npy": _npy(np.zeros(3)), "y": b""})
    _refused(path, "'y' is no array")
    _members(path, {"x.npy": _npy(np.array([{}], object))})
    _refused(path, "only floats belong here")
    _members(path, {"x.npy": _npy(np.arange(3))})
    _refused(path, "only floats belong here")
    _members(path, {"x.npy": _npy(np.array("text"))})
    _refused(path, "only floats belong here")
    _members(path, {"description.npy": _npy(np.zeros(1))})
    _refused(path, "no text")
    _members(path, {"x.npy": _npy(np.zeros(3)).replace(b"(3,)", b"(9,)")})
    _refused(path, "not of that size")
    _members(path, {"x.npy": _npy(np.zeros(2**24)), "y.npy": _npy(np.zeros(2**24))}, 8)
    assert path.stat().st_size < 2**20
    _refused(path, "out of proportion")
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            archive.writestr("x.npy", _npy(np.zeros(3)))
    _refused(path, "stands there twice")


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _members(path: Path, members: dict[str, bytes], compression: int = 0) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def _refused(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        load_npz(path)


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    make().save(path)
    for name in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, name, None)
    for act in (lambda: PPO.load(path), lambda: make().save(path)):
        with pytest.raises(ImportError, match=r"pip install 'sb3_ext\[export\]'"):
            act()
