"""Configuration is read, never run."""

import pytest
from torch import nn, optim

from sb3_ext.zoo.literals import read_literal


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
