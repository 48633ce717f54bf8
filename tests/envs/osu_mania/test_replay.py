import numpy as np
import pytest

from envs.osu_mania.replay import Recorder, Replay, ReplayError, judge, read_replay, write_replay
from envs.osu_mania.session import Session

osrparse = pytest.importorskip("osrparse")


@pytest.fixture
def beatmap(make_beatmap):
    rng = np.random.default_rng(0)
    objects = []
    for column in range(4):
        time = 500.0
        for _ in range(60):
            time += float(rng.integers(80, 300))
            length = float(rng.integers(50, 500)) if rng.random() < 0.3 else 0.0
            objects.append((column, time, time + length) if length else (column, time))
            time += length
    return make_beatmap(*objects, od=7.0)


def clumsy_play(beatmap, ruleset, rate=1.0, start=0):
    """Keys at random around the notes, recorded; and what came of it."""
    rng = np.random.default_rng(1)
    session, recorder = Session(beatmap, ruleset, rate), Recorder()
    keys = np.zeros(beatmap.keys, bool)
    for time in range(start, int(beatmap.end) + 300, 25):
        keys ^= rng.random(beatmap.keys) < 0.3
        recorder.add(time, keys)
        session.set_keys(keys, time)
    session.finish()
    return session, recorder


RESULTS = ("counts", "score", "max_combo", "accuracy", "health", "combo")


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("rate", [1.0, 1.5, 0.75])
def test_written_read_and_judged_to_the_same_score(ruleset, rate, beatmap, tmp_path):
    session, recorder = clumsy_play(beatmap, ruleset, rate)
    assert all(session.counts.values())
    replay = recorder.replay(beatmap, rate).with_results(session, player="somebody")
    write_replay(replay, tmp_path / "play.osr")
    again = read_replay(tmp_path / "play.osr")
    assert again.player == "somebody (bot)"
    assert (again.rate, again.beatmap_md5) == (rate, beatmap.md5)
    assert (again.counts, again.score) == (session.counts, session.score)
    judged = judge(again, beatmap, ruleset)
    for name in RESULTS:
        assert getattr(judged, name) == getattr(session, name), name
    assert [file.name for file in tmp_path.iterdir()] == ["play.osr"]


def test_another_reader_sees_the_same(beatmap, tmp_path):
    session, recorder = clumsy_play(beatmap, "stable")
    write_replay(recorder.replay(beatmap).with_results(session), tmp_path / "play.osr")
    read = osrparse.Replay.from_path(tmp_path / "play.osr")
    assert read.mode is osrparse.GameMode.MANIA
    assert read.username == "sb3_ext (bot)"
    assert read.beatmap_hash == beatmap.md5
    assert read.score == session.score
    counts = (read.count_geki, read.count_300, read.count_katu, read.count_100, read.count_50)
    assert (*counts, read.count_miss) == tuple(session.counts.values())
    times = np.cumsum([event.time_delta for event in read.replay_data])
    replay = read_replay(tmp_path / "play.osr")
    np.testing.assert_array_equal(replay.times, times)
    assert replay.keys.tolist() == [event.keys.value for event in read.replay_data]


def test_keys_before_time_0_go_down_at_0(beatmap, tmp_path):
    session, recorder = clumsy_play(beatmap, "stable", start=-100)
    replay = recorder.replay(beatmap).with_results(session)
    write_replay(replay, tmp_path / "play.osr")
    again = read_replay(tmp_path / "play.osr")
    assert again.times[0] == 0
    assert again.keys[0] == replay.keys[replay.times <= 0][-1]
    np.testing.assert_array_equal(again.times[1:], replay.times[replay.times > 0])
    assert judge(again, beatmap).score == session.score  # nothing can be hit before 0 here


def packed(text, mode=3):
    """An .osr file with these frames."""
    replay = osrparse.Replay(
        osrparse.GameMode(mode), 20240101, "0" * 32, "me", "", *[0] * 8, False,
        osrparse.Mod(0), None, osrparse.replay.datetime(2024, 1, 1), [], 0, None,
    )  # fmt: skip
    packer = osrparse.replay._Packer(replay)
    replay.replay_data = [Raw(text)]
    packer.pack_replay_data = lambda: pack_frames(packer, text)
    return packer.pack()


class Raw:
    def __init__(self, text):
        self.text = text


def pack_frames(packer, text):
    filters = [{"id": osrparse.replay.lzma.FILTER_LZMA1, "dict_size": 1 << 16}]
    data = osrparse.replay.lzma.compress(
        text.encode(), format=osrparse.replay.lzma.FORMAT_ALONE, filters=filters
    )
    return packer.pack_int(len(data)) + data


def test_frames_of_the_game(tmp_path):
    """Two frames that only set the time, one that goes back, and the seed, which has none."""
    path = tmp_path / "play.osr"
    path.write_bytes(
        packed("0|256|-500|0,2000|256|-500|0,-10|0|0|0,30|5|0|0,-5|3|0|0,7|2|0|0,-12345|0|0|99,")
    )
    replay = read_replay(path)
    assert replay.times.tolist() == [2020, 2022]
    assert replay.keys.tolist() == [5, 2]


def test_what_cannot_be_read(beatmap, tmp_path):
    path = tmp_path / "play.osr"
    for content in (b"", b"nonsense", packed("0|1|0|0,x|1|0|0"), packed("0|1"), packed("")[:-30]):
        path.write_bytes(content)
        with pytest.raises(ReplayError, match=r"play.osr: not a replay that can be read"):
            read_replay(path)
    path.write_bytes(packed("0|1|2|3", mode=0))
    with pytest.raises(ReplayError, match="a replay of STD, not of osu!mania"):
        read_replay(path)
    path.write_bytes(packed("0|1|2|3"))
    with pytest.raises(ReplayError, match=r"play.osr was not played on"):
        judge(read_replay(path), beatmap)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 1.25}, "rate must be 1, 1.5 or 0.75, got 1.25"),
        ({"player": "a person"}, "in a bot's name"),
        ({"player": "Jürgen (bot)"}, "a name in ASCII"),
        ({"counts": {"max": 70_000}}, "too large for a replay"),
    ],
)
def test_what_is_not_written(changes, message, tmp_path):
    fields = {"times": np.array([0]), "keys": np.array([0]), "beatmap_md5": "0" * 32, **changes}
    with pytest.raises(ReplayError, match=message):
        write_replay(Replay(**fields), tmp_path / "play.osr")
    assert list(tmp_path.iterdir()) == []


def test_mutated_replays_are_read_or_refused(tmp_path):
    content = packed(",".join(f"{17}|{i % 16}|0|0" for i in range(200)))
    rng = np.random.default_rng(0)
    path = tmp_path / "play.osr"
    outcomes = set()
    for _ in range(300):
        data = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(bytes(data)[: rng.integers(1, 2 * len(data))])
        try:
            read_replay(path)
        except ReplayError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
    assert outcomes == {"read", "refused"}
