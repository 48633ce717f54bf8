"""``zoo.py list``."""

from sb3_ext.zoo.registry import algorithm_names
from tests.sb3_ext.zoo.conftest import Zoo


def test_everything_is_listed(zoo: Zoo) -> None:
    result = zoo("list")
    assert result.code == 0, result.err
    for name in (*algorithm_names(), "SimpleAim-v0", "TargetReach-v0"):
        assert name in result.out
    assert "--algo ppo --preset original" in result.out
    assert "Box(-1.0, 1.0, (4,), float32)" in result.out
    assert "Discrete(2)" in result.out
