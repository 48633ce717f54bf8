"""The examples of docs/workers.md and docs/matches.md run as they stand."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"


def examples(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["workers.md", "matches.md"])
def test_examples(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium as gym

    namespace: dict[str, object] = {"MyMatch": object}
    try:
        for example in examples(page):
            exec(compile(example, page, "exec"), namespace)
            model = namespace["model"]
            assert model.num_timesteps in (0, *range(2048, 4000))  # type: ignore[attr-defined]
            if hasattr(namespace.get("env"), "close"):
                namespace["env"].close()  # type: ignore[attr-defined]
    finally:
        gym.registry.pop("MyMatch-v0", None)
