"""What docs/osu-mania-live.md says can be done as it stands."""

import re
from pathlib import Path

import gymnasium as gym
import pytest

from envs.osu_mania.client.__main__ import _parser
from envs.osu_mania.live.env import OsuManiaLiveEnv
from envs.osu_mania.live.options import LiveOptions
from sb3_ext.zoo.commands import enjoy, train

PAGE = (Path(__file__).parents[4] / "docs" / "osu-mania-live.md").read_text()
COMMANDS = re.findall(r"^python zoo\.py (\S+) (.*)$", PAGE, re.MULTILINE)


def test_the_example():
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    namespace = {}
    exec(example, namespace)
    assert isinstance(namespace["env"].unwrapped, OsuManiaLiveEnv)
    assert namespace["env"].observation_space.shape == (4, 42, 42)


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_the_zoos_commands(command, arguments):
    parser = {"enjoy": enjoy, "train": train}[command].build_parser()
    args = parser.parse_all(arguments.split())
    assert args.live
    assert args.offline
    assert gym.spec(args.env)


def test_what_is_named_is_there():
    assert len(COMMANDS) == 2
    flags = {flag for action in _parser()._actions for flag in action.option_strings}
    flags |= {
        flag for part in (enjoy, train) for flag in part.build_parser()._option_string_actions
    }
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= flags
    options = set(LiveOptions.__dataclass_fields__)
    named = {"window", "area", "hz", "maps", "patience", "panic_key", "max_hold"}
    assert named <= options
    assert all(f"`{name}`" in PAGE for name in named)
