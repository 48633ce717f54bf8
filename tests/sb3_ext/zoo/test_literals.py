"""Configuration is read, never run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO, HerReplayBuffer
from torch import nn, optim

from sb3_ext.zoo.literals import read_literal, write_literal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("-1", -1),
        ("2 * 64 - 1", 127),
        ("1 / 4", 0.25),
        ("None", None),
        ("'text'", "text"),
        ("[64, (1, 2)]", [64, (1, 2)]),
        ("{'norm_obs': True, 'norm_reward': False}", {"norm_obs": True, "norm_reward": False}),
        ("dict(net_arch=dict(pi=[64], vf=[64]))", {"net_arch": {"pi": [64], "vf": [64]}}),
        (" dict( a=1,\n b=2, ) ", {"a": 1, "b": 2}),
        ("nn.ReLU", nn.ReLU),
        ("th.optim.SGD", optim.SGD),
    ],
)
def test_values(text: str, value: object) -> None:
    assert read_literal(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "open('x')",
        "nn.__class__",
        "nn.Module.__subclasses__",
        "os.path",
        "[x for x in (1, 2)]",
        "lambda: 0",
        "9 ** 9",
        "'a' * 9",
        "dict(**{})",
        "{**{}}",
        "print",
        "1 / 0",
        "b'bytes'",
        "f'{1}'",
        "1 +",
        "",
        "(" * 500,
        "[]" + "[0]" * 5,
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_literal(text)


KEYS = st.sampled_from(["net_arch", "pi", "class", "two words", "1", ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("ab'\"\\\n", max_size=4),
    st.sampled_from([nn.ReLU, nn.Tanh, optim.Adam, HerReplayBuffer]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
    ),
    max_leaves=6,
)


@given(VALUES)
def test_what_is_written_is_read_back(value: object) -> None:
    assert read_literal(write_literal(value)) == value


def test_it_is_written_as_rl_zoos_files_write_it() -> None:
    value = {"net_arch": [64, 64], "activation_fn": nn.ReLU, "log_std_init": -2}
    text = "dict(net_arch=[64, 64], activation_fn=nn.ReLU, log_std_init=-2)"
    assert write_literal(value) == text


@pytest.mark.parametrize("value", [PPO, object(), float("inf"), float("nan"), b"x", {"a": len}])
def test_what_has_no_name_cannot_be_written(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        write_literal(value)
