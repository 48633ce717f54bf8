"""The project as its users install it: a wheel in an empty environment, used from elsewhere."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(*command: object, cwd: Path) -> str:
    answer = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=900
    )
    assert answer.returncode == 0, f"{command}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_wheel_trains_from_another_directory(tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("sb3_ext-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "sb3_ext",
        "envs",
        "callbacks",
        "hyperparams",
    }
    assert "hyperparams/ppo.yml" in names

    run(sys.executable, "-m", "venv", "venv", cwd=tmp_path)
    binaries = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    python = binaries / "python"
    run(python, "-m", "pip", "install", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    installed = run(python, "-m", "pip", "list", cwd=tmp_path).lower()
    for optional in ("jax", "mlx", "ray", "wandb", "numba"):
        assert not any(line.split()[0] == optional for line in installed.splitlines())

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [binaries / "sb3-ext", "--env", "SimpleAim-v0", "--seed", "1", "-n", "4096"]
    out = run(*command, cwd=elsewhere)
    assert "site-packages" in out, "hyperparameters come from the installed files"
    summary = json.loads((elsewhere / "logs/ppo/SimpleAim-v0_1/summary.json").read_text())
    assert summary["steps"] == 4096
    assert summary["versions"]["sb3-ext"]
