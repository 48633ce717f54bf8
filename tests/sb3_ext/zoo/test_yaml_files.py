"""YAML that nobody writes by accident: one line says what is wrong with it, and soon."""

from pathlib import Path

import pytest

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.yaml_files import ForeignLoader, SafeLoader, read_mapping

BILLIONS = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]\n" for k in range(1, 12)
)


@pytest.mark.parametrize("loader", [SafeLoader, ForeignLoader])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BILLIONS, "its aliases repeat too much"),
        ("a: &a [1, *a]", "an alias stands for what it stands in"),
        ("a: &a {b: *a}", "an alias stands for what it stands in"),
        ("a: " + "[" * 5000, "brackets in brackets"),
        ("a: " + "[" * 90 + "]" * 90, ""),
        ("a: &a [1]\nb: [*a, *a]", ""),
    ],
)
def test_what_grows_beyond_reason(
    tmp_path: Path, loader: type[SafeLoader], text: str, message: str
) -> None:
    path = tmp_path / "x.yml"
    path.write_text(text)
    if not message:
        assert "a" in read_mapping(path, loader)
        return
    with pytest.raises(ZooError, match=message) as caught:
        read_mapping(path, loader)
    assert len(str(caught.value)) < 500
