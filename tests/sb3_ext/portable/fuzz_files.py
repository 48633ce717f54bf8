"""Damaged and hostile files by the thousand: each loads, or is refused in one line.

    python -m tests.sb3_ext.portable.fuzz_files --count 10000

A case is a valid file, changed at random: bits and bytes, truncation, slices moved, and beneath
that the JSON, the arrays' headers, the YAML's lines. It is loaded in a process of its own with a
limit on memory and on time, and with a watch on everything that Python reports of itself: code that
is run, modules that are executed, pickles, processes, connections, files opened for writing.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

KINDS = ("safetensors", "npz", "yaml", "onnx")
MEMORY = 2 * 2**30  # bytes beyond what the process has when it begins
SECONDS = 10
LONGEST = 1000  # characters of a message
CHUNK = 250  # cases of each kind in one process

NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.5, -0.0, 1e308, -1e308, "", "x",
    "os.system", "__import__('os').system('true')", "lin_3e-4", "lin_1e999", "inf", "\u0000",
    "dict(a=nn.ReLU)", "dict(os.system)", "nn.Module", "2 ** 10 ** 9", "a.b.C", "[" * 3000,
    [], {}, [[]], [None], {"a": 1}, [0] * 1000, "a" * 5000, "\ud800",
]  # fmt: skip
NASTY_YAML = [
    "!!python/object/apply:os.system ['true']", "!!python/name:os.system", "&a [*a]", "*nowhere",
    "__import__('os').system('true')", "dict(a=__import__('os'))", "{a: &b [*b, *b]}", "9" * 5000,
    "[" * 3000, "1e999", ".nan", "!!binary x", "!!timestamp 2020-99-99", "2020-02-30", "<<: 1",
    "? [a]: b", "'", '"', "|", "- ", "\t", "nn.ReLU", "nn.Module()", "dict(**{})", "(lambda: 0)()",
    "2 ** 2 ** 2 ** 100", "'x' * 10 ** 9", "1000000 * 1000000", "~", "!!set {a}", "%YAML 9.9",
    "&x [1,1]\nq: &y [*x,*x,*x]\nr: &z [*y,*y,*y]", "0o777", "0x", "1:30:00", "null: null",
]  # fmt: skip

Load = Callable[[Path], Any]


@dataclass
class Findings:
    """What came of the cases.

    Attributes:
        outcomes: How many loaded, how many were refused.
        faults: What must not be: a description, and the file that did it.
        reasons: Refusals by their kind.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[str, bytes]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Findings") -> None:
        """Counts another's too."""
        self.outcomes += other.outcomes
        self.faults += other.faults
        self.reasons += other.reasons


# What is changed


def seeds(kind: str) -> list[bytes]:
    """Valid files."""
    from tests.sb3_ext.portable import models

    if kind == "yaml":
        return [text.encode() for text in _yaml_files()]
    from sb3_ext.portable.model_file import ModelFile
    from sb3_ext.portable.npz import pack

    made = [
        (models.make(), True),
        (models.make(models.OBSERVATIONS["dict"], models.ACTIONS["multi-discrete"]), False),
        (models.make(models.IMAGE, models.ACTIONS["discrete from 5"], policy="CnnPolicy"), False),
        (models.normalized(models.OBSERVATIONS["box without limits"]), False),
        (models.normalized(models.OBSERVATIONS["dict"]), False),
        (models.make(**models.OPTIONS["state std"]), False),
    ]
    if kind == "onnx":
        from sb3_ext.portable.onnx_model import to_onnx

        return [to_onnx(model, None) for model, _ in made]
    files = [ModelFile.of(model, (), optimizer).pack(f".{kind}") for model, optimizer in made]
    return [*files, pack(made[0][0].actor_critic.parameters())] if kind == "npz" else files


def _yaml_files() -> list[str]:
    import hyperparams  # noqa: F401
    from sb3_ext.zoo.hyperparams import own_folder, rl_zoo_folder

    folder = rl_zoo_folder()
    assert folder is not None
    theirs = yaml.safe_load((folder / "ppo.yml").read_text())
    chosen = ("atari", "Pendulum-v1", "HalfCheetah-v4", "CarRacing-v3", "BipedalWalkerHardcore-v3")
    config = {
        "n_timesteps": 5000,
        "n_envs": 4,
        "normalize": "dict(norm_obs=True, clip_obs=3)",
        "policy_kwargs": "dict(net_arch=[8, 8], activation_fn=nn.ReLU)",
        "clip_range": "lin_0.2",
        "learning_rate": 3e-4,
        "policy": "MlpPolicy",
        "env_kwargs": {"g": 9.81},
    }
    foreign = "!!python/object/apply:collections.OrderedDict\n- - - n_timesteps\n    - 100.0\n" + (
        "  - - policy\n    - MlpPolicy\n  - - gamma\n    - 0.9\n"
    )
    return [
        (own_folder() / "ppo.yml").read_text(),
        yaml.safe_dump({key: theirs[key] for key in chosen if key in theirs}),
        yaml.safe_dump(config),
        foreign,
        yaml.safe_dump({"env_kwargs": {"g": 9.81, "deep": [1, {"a": None}]}, "seed": 3}),
    ]


def mutated(kind: str, files: list[bytes], rng: random.Random) -> bytes:
    """A file changed, once or a few times."""
    data = rng.choice(files)
    inner = _INSIDE[kind]
    share = rng.choice((0.0, 0.0, 0.0, 0.1, 1.0))  # of changes that hardly leave a file of its kind
    for _ in range(rng.choice((1, 1, 1, 1, 2, 5))):
        if rng.random() >= share:
            with contextlib.suppress(Exception):  # it may be too damaged for that already
                data = inner(data, rng)
                continue
        data = _in_bytes(data, files, rng)
    return data


def _in_bytes(data: bytes, files: list[bytes], rng: random.Random) -> bytes:
    buffer = bytearray(data)
    n = len(buffer)
    if not n:
        return bytes(rng.randbytes(rng.randrange(20)))
    # Heads and tails hold what the rest is read by.
    at = (
        rng.randrange(n) if rng.random() < 0.5 else rng.choice((1, -1)) * rng.randrange(min(n, 600))
    )
    at %= n
    to = min(n, at + rng.choice((1, 4, 16, 200, n)))
    match rng.randrange(8):
        case 0:
            buffer[at] ^= 1 << rng.randrange(8)
        case 1:
            buffer[at] = rng.choice((0, 255, 127, 128, ord("{"), ord('"'), ord("9"), ord("-")))
        case 2:
            buffer = buffer[:at]
        case 3:
            buffer[at:at] = rng.randbytes(rng.choice((1, 8, 100)))
        case 4:
            del buffer[at:to]
        case 5:
            buffer[at:at] = buffer[at:to]
        case 6:
            buffer[at:to] = bytes(to - at)
        case 7:
            other = rng.choice(files)
            cut = rng.randrange(len(other) + 1)
            buffer = buffer[:at] + other[cut:]
    return bytes(buffer)


def _in_json(content: Any, rng: random.Random) -> Any:
    """JSON with one place changed."""
    places: list[tuple[Any, Any]] = []

    def visit(node: Any) -> None:
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                visit(node[key])

    visit(content)
    node, key = rng.choice(places)
    other, other_key = rng.choice(places)
    match rng.randrange(6):
        case 0:
            del node[key]
        case 1:
            node[key] = rng.choice(NASTY)
        case 2:
            node[key] = json.loads(json.dumps(other[other_key]))
        case 3:
            node[key] = [node[key]]
        case 4 if isinstance(node, dict):
            node[rng.choice((str(other_key), "surprise", "__class__", ""))] = node[key]
        case _:
            if isinstance(node[key], int | float) and not isinstance(node[key], bool):
                node[key] = node[key] * rng.choice((-1, 0, 2, 1000, 1e300, 0.5)) + rng.choice(
                    (0, 1)
                )
            else:
                node[key] = rng.choice(NASTY)
    return content


def _json_text(content: Any, rng: random.Random) -> str:
    text = json.dumps(content)
    if rng.random() < 0.1:  # a key twice
        text = re.sub(r'("\w+": )', r"\g<1>0, \g<1>", text, count=1)
    if rng.random() < 0.05:
        text = text.replace("0.99", rng.choice(("NaN", "Infinity", "1e999", "0x1", "-")))
    return text


def _in_safetensors(data: bytes, rng: random.Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    text = ""
    match rng.randrange(7):
        case 0:
            text = _json_text(_in_json(header, rng), rng)
        case 1:
            name = rng.choice([key for key in header if key != "__metadata__"])
            header[name]["dtype"] = rng.choice(
                ("F64", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "Q")
            )
        case 2:
            array = np.frombuffer(body, "<u1").copy()
            at = rng.randrange(len(array))
            array[at : at + rng.choice((1, 4, 400))] = rng.choice((0, 255, 127))
            body = array.tobytes()
        case _:
            description = _in_json(json.loads(header["__metadata__"]["sb3_ext"]), rng)
            header["__metadata__"]["sb3_ext"] = _json_text(description, rng)
    head = (text or json.dumps(header)).encode()
    return len(head).to_bytes(8, "little") + head + body


def _in_onnx(data: bytes, rng: random.Random) -> bytes:
    import onnx

    model = onnx.load_model_from_string(data)
    description = model.metadata_props[0]
    if rng.random() < 0.5:
        description.value = _json_text(_in_json(json.loads(description.value), rng), rng)
        return model.SerializeToString()
    node = rng.choice(model.graph.node)
    match rng.randrange(4):
        case 0:
            node.op_type = rng.choice(model.graph.node).op_type
        case 1:
            node.input[0] = rng.choice(rng.choice(model.graph.node).output)
        case 2:
            model.graph.input[0].type.tensor_type.elem_type = rng.randrange(24)
        case _:
            array = rng.choice(model.graph.initializer)
            array.dims[:] = [rng.choice((0, -1, 1, 2, 2**40))] * rng.randrange(4)
    return model.SerializeToString()


def _in_npz(data: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    k = rng.randrange(len(members))
    name, content = members[k]
    match rng.randrange(10):
        case 0:
            members[k] = (rng.choice(("x.npy", "../x.npy", "", "x", members[0][0])), content)
        case 1:
            members.append(members[k])
        case 2:
            del members[k]
        case 3:
            members[k] = (name, _in_npy(content, rng))
        case 4:
            members[k] = (name, _in_bytes(content, [content], rng))
        case _:
            for j, (name, content) in enumerate(members):
                if name == "description.npy":
                    described = np.lib.format.read_array(io.BytesIO(content)).item()
                    text = _json_text(_in_json(json.loads(described), rng), rng)
                    members[j] = (name, _npy(np.array(text)))
    file = io.BytesIO()
    compression = rng.choice((0, 0, 0, 8, 12, 14))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as archive:
        warnings.simplefilter("ignore")  # a name twice
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def _in_npy(content: bytes, rng: random.Random) -> bytes:
    header, _, rest = content.partition(b"\n")
    old, new = rng.choice((
        (b"'<f4'", b"'|O'"), (b"'<f4'", b"'<f8'"), (b"'<f4'", b"'<i4'"), (b"'<f4'", b"'>f4'"),
        (b"'<f4'", b"[('a','<f4')]"), (b"False", b"True"), (b"(", b"(99999999999,"), (b"(", b"(-"),
        (b"(", b"(1,"), (b"'shape'", b"'shope'"), (b"{", b"__import__('os').system('true') or {"),
        (b"NUMPY\x01", b"NUMPY\x02"), (b"NUMPY\x01", b"NUMPY\x03"), (b"'<f4'", b"'<U9'"),
    ))  # fmt: skip
    changed = header.replace(old, new, 1)
    if rng.random() < 0.8:  # as long as the header says
        changed = (changed + b" " * len(header))[: max(len(header), len(changed.rstrip()))]
    return changed + b"\n" + rest


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _in_yaml(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.6:
        content = _in_json(yaml.safe_load(data), rng)
        return yaml.safe_dump(content, sort_keys=False).encode()
    lines = data.decode().split("\n")
    k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(8):
        case 0:
            lines[k], lines[j] = lines[j], lines[k]
        case 1:
            lines.insert(k, lines[j])
        case 2:
            del lines[k]
        case 3:
            lines[k] = rng.choice(("", " ", "  ", "    ", "- ")) + lines[k].lstrip()
        case 4:
            lines[k] = rng.choice(NASTY_YAML)
        case _:
            key, colon, _ = lines[k].partition(":")
            other = lines[j].partition(":")[2]
            value = rng.choice((rng.choice(NASTY_YAML), rng.choice(NASTY_YAML), other))
            lines[k] = f"{key}{colon or ':'} {value}"
    return "\n".join(lines).encode()


_INSIDE = {"safetensors": _in_safetensors, "npz": _in_npz, "yaml": _in_yaml, "onnx": _in_onnx}


# What is loaded


def loader(kind: str, folder: Path) -> tuple[str, Load, type[Exception]]:
    """A file's name, what loads it, and the error that it may raise."""
    if kind == "yaml":
        from sb3_ext.zoo.errors import ZooError

        return "config.yml", _load_yaml(folder), ZooError
    from sb3_ext import PPO
    from sb3_ext.portable.errors import ModelFileError
    from tests.sb3_ext.portable import models

    if kind == "onnx":
        return "model.onnx", _play_onnx, ModelFileError
    env = models.vec_env(models.BOX, models.ACTIONS["box"])

    def load(path: Path) -> None:
        model = PPO.load(path, backend="numpy")
        obs = models.observations(model.observation_space, 2)
        with np.errstate(all="ignore"):  # the weights may be anything
            model.predict(obs, deterministic=True)

    def load_npz(path: Path) -> None:
        from sb3_ext.portable.model_file import ModelFile

        if ModelFile.read(path).description is not None:
            load(path)
        else:
            PPO.load(path, env=env, policy_kwargs={}, backend="numpy")

    return f"model.{kind}", load_npz if kind == "npz" else load, ModelFileError


def _play_onnx(path: Path) -> None:
    from sb3_ext.portable.onnx_model import OnnxModel
    from tests.sb3_ext.portable import models

    model = OnnxModel.read(path)
    model.predict(models.observations(model.observation_space, 2))


def _load_yaml(folder: Path) -> Load:
    """As a file of entries, as a run's config and as a run's arguments."""
    from sb3_ext import NumpyPPO
    from sb3_ext.zoo.at_play import training_settings
    from sb3_ext.zoo.errors import ZooError
    from sb3_ext.zoo.hyperparams import find_entry, read_yaml, resolve

    def settle(act: Callable[[], Any], refusals: list[ZooError]) -> None:
        try:
            act()
        except ZooError as error:
            refusals.append(error)

    def load(path: Path) -> None:
        refusals: list[ZooError] = []

        def entries() -> None:
            for key in read_yaml(path):
                entry = find_entry("ppo_numpy", key, config=str(path))
                settle(partial(resolve, entry, NumpyPPO, "ppo_numpy"), refusals)

        def run() -> None:
            training_settings(
                folder / "model.zip", "World-v0", NumpyPPO, "ppo_numpy", in_a_run=True
            )

        settle(entries, refusals)
        (folder / "World-v0").mkdir(exist_ok=True)
        config, args = (folder / "World-v0" / name for name in ("config.yml", "args.yml"))
        shutil.copyfile(path, config)
        args.write_text("env_kwargs: {a: 1}\n")
        settle(run, refusals)
        config.write_text("n_timesteps: 100\n")
        shutil.copyfile(path, args)
        settle(run, refusals)
        for error in refusals:
            check_message(error)
        if len(refusals) > 1:  # a file of entries is no config, nor the other way around
            raise refusals[0]

    return load


# The watch


class Breach(BaseException):
    """Something ran that no file may run."""


class Hang(BaseException):
    """It took too long."""


FORBIDDEN = re.compile(
    r"pickle\.|os\.(system|exec|fork|posix_spawn|spawn|startfile|kill|putenv)|subprocess\.|socket\."
    r"|ctypes\.|code\.__new__|shutil\.rmtree|sys\.(settrace|setprofile)|urllib\.|ftplib\.|smtplib\."
)


class Watch:
    """An audit hook, armed while a case is loaded; a hook can't be taken away again."""

    def __init__(self, folder: Path) -> None:
        self.armed = False
        self.folder = str(folder)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if FORBIDDEN.match(event):
            self._breach(f"{event} {arguments!r}")
        if event == "exec":  # of exec(), eval() and modules that are imported
            self._breach(f"code of {arguments[0].co_filename}: {arguments[0].co_name}")
        if event == "compile" and not self._is_parsing():
            self._breach(f"compile {arguments[1]!r}")
        is_writing = event == "open" and not set(str(arguments[1])).isdisjoint("wax+")
        if is_writing and not str(arguments[0]).startswith(self.folder):
            self._breach(f"writes {arguments[0]!r}")

    @staticmethod
    def _is_parsing() -> bool:
        """A syntax tree is made, no code: ``ast.parse`` compiles, too."""
        frame: Any = sys._getframe(2)
        return frame.f_code.co_name == "parse" and frame.f_code.co_filename.endswith("ast.py")

    def _breach(self, what: str) -> None:
        self.armed = False  # or it would hear itself
        raise Breach(what)


def check_message(error: Exception) -> None:
    """One line, of a length that can be read."""
    text = str(error)
    assert text and "\n" not in text and len(text) < LONGEST, f"a bad message: {text[:2000]!r}"
    text.encode(errors="backslashreplace")


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def stop(number: int, frame: Any) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _try(load: Load, path: Path, refusal: type[Exception], watch: Watch) -> tuple[str, str]:
    """(outcome, what is to say of it); the outcome ``fault`` must not be."""
    try:
        with _limits():
            watch.armed = True
            try:
                load(path)
            finally:
                watch.armed = False
        return "loaded", ""
    except refusal as error:
        try:
            check_message(error)
        except AssertionError as bad:
            return "fault", str(bad)
        text = re.sub(r"'[^']*'|\[.*?\]|\(.*?\)|[\d.]+", "_", str(error).partition(": ")[2])
        return "refused", text[:60]
    except BaseException as error:
        return "fault", "".join(traceback.format_exception(error, limit=-4))[-3000:]


def work(kind: str, seed: int, numbers: range) -> Findings:
    """Cases of these numbers, in this process, whose memory is limited for good.

    Args:
        kind: Of the files.
        seed: Case i of a seed is always the same.
        numbers: Which.
    """
    import bz2  # noqa: F401  (zip files may ask for them)
    import lzma  # noqa: F401

    warnings.simplefilter("ignore")
    findings = Findings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, load, refusal = loader(kind, folder)
        files = seeds(kind)
        for data in files:  # what is imported late is imported now
            (folder / file).write_bytes(data)
            with contextlib.suppress(refusal):  # a file of entries is no config
                load(folder / file)
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, most))
        watch = Watch(folder)
        for number in numbers:
            rng = random.Random(f"{kind} {seed} {number}")
            data = mutated(kind, files, rng)
            (folder / file).write_bytes(data)
            outcome, text = _try(load, folder / file, refusal, watch)
            findings.outcomes[outcome] += 1
            if outcome == "refused":
                findings.reasons[text] += 1
            if outcome == "fault":
                findings.faults.append((f"{kind}, seed {seed}, case {number}: {text}", data))
    return findings


def _worker(kinds: Sequence[str], seed: int, numbers: range, answers: Any) -> None:
    answers.put({kind: work(kind, seed, numbers) for kind in kinds})


def fuzz(kinds: Sequence[str], count: int, seed: int = 0) -> dict[str, Findings]:
    """So many cases of each kind, a few in each process: a crash is told, too."""
    context = multiprocessing.get_context("spawn")
    total = {kind: Findings() for kind in kinds}
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        answers = context.SimpleQueue()
        process = context.Process(target=_worker, args=(kinds, seed, numbers, answers))
        process.start()
        while process.is_alive() and answers.empty():
            process.join(0.1)
        if answers.empty():
            death = f"{numbers} of {' or '.join(kinds)}: died with {process.exitcode}"
            total[kinds[0]].faults.append((death, b""))
            continue
        for kind, found in answers.get().items():
            total[kind].add(found)
        process.join()
    return total


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="cases of each kind")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that found a fault")
    args = parser.parse_args()
    total = fuzz(args.kinds, args.count, args.seed)
    for kind, found in total.items():
        outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(found.outcomes.items()))
        print(f"{kind}: {args.count:,} cases: {outcomes}; {len(found.faults)} faults")
        for text, n in found.reasons.most_common(12):
            print(f"  {n:6,} {text}")
        for k, (text, data) in enumerate(found.faults):
            if k < 20:
                print(text)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{kind}_{k}").write_bytes(data)
    return int(any(found.faults for found in total.values()))


if __name__ == "__main__":
    sys.exit(main())
