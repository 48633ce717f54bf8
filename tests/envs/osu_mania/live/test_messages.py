"""States from the JSON of three servers, and everything that is none."""

import copy
import dataclasses
import json

import pytest

from envs.osu_mania.live.messages import (
    MessageError,
    NotReadyError,
    read_precise,
    read_v1,
    read_v2,
)


def put(message, path, value):
    message = copy.deepcopy(message)
    place = message
    *parents, name = path.split(".")
    for part in parents:
        place = place[part]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return json.dumps(message)


def test_both_versions_say_the_same(messages):
    v2, v1 = read_v2(json.dumps(messages["/json/v2"])), read_v1(json.dumps(messages["/json"]))
    assert (v2.paused, v2.failed, v1.paused, v1.failed) == (False, False, None, None)
    assert dataclasses.replace(v2, paused=None, failed=None) == v1
    assert (v2.number, v2.mode, v2.keys, v2.login) == (2, 3, 4, 256)
    assert (v2.time, v2.first_object, v2.rate, v2.overall_difficulty) == (1300.0, 1000.0, 1.0, 8.0)
    assert v2.counts == (0, 1, 0, 0, 0, 1)
    assert v2.errors == (30,)
    assert (v2.combo, v2.max_combo, v2.accuracy) == (0, 1, 0.5)
    assert 0 < v2.health < 1
    assert v2.label == "unknown - Song (unknown) [normal]"
    assert read_precise(json.dumps(messages["/json/v2/precise"])) == (30,)


def test_what_the_game_itself_differs_in(messages):
    """Lazer's errors are fractions; gosumemory has null for none; mods tell the rate."""
    v2, v1 = messages["/json/v2"], messages["/json"]
    assert read_v2(put(v2, "play.hitErrorArray", [1.5, -2])).errors == (1.5, -2)
    assert read_v2(put(v2, "play.mods.rate", 1.5)).rate == 1.5
    assert read_v2(put(v2, "play.mods.rate", 0)).rate == 1.0
    assert read_v2(put(v2, "game.paused", True)).paused
    for mods, rate in ((64, 1.5), (576, 1.5), (256, 0.75), (8, 1.0)):
        assert read_v1(put(v1, "menu.mods.num", mods)).rate == rate
    no_errors = copy.deepcopy(v1)
    no_errors["gameplay"]["hits"]["hitErrorArray"] = None
    assert read_v1(json.dumps(no_errors)).errors == ()
    # In the menu the mode of the last play stays.
    chosen = put(json.loads(put(v1, "menu.state", 5)), "gameplay.gameMode", 0)
    assert read_v1(chosen).mode == 3


@pytest.mark.parametrize("words", ["not_ready", "osu! is not fully loaded!"])
@pytest.mark.parametrize("read", [read_v1, read_v2, read_precise])
def test_not_ready(read, words):
    with pytest.raises(NotReadyError):
        read(json.dumps({"error": words}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no JSON"),
        ("<html>", "no JSON"),
        ('{"play": {"score": 1', "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no object but list"),
        ("null", "no object but NoneType"),
        ('{"error": "something else"}', "something else"),
        ("{}", "is missing"),
    ],
)
@pytest.mark.parametrize("read", [read_v1, read_v2])
def test_what_is_no_state(read, text, words):
    with pytest.raises(MessageError, match=words):
        read(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("state.number", None),
        ("state", 3),
        ("play.score", "many"),
        ("play.score", True),
        ("play.score", float("nan")),
        ("play.accuracy", float("inf")),
        ("play.hits.geki", None),
        ("play.hits", []),
        ("play.hitErrorArray", "none"),
        ("play.hitErrorArray", [1, "two"]),
        ("beatmap.checksum", 5),
        ("beatmap.time.live", None),
        ("beatmap.stats.cs", None),
    ],
)
def test_a_wrong_field_is_named(messages, path, value):
    with pytest.raises(MessageError, match=path.replace(".", r"\.")):
        read_v2(put(messages["/json/v2"], path, value))


def test_a_state_is_a_copy(messages):
    state = read_v2(json.dumps(messages["/json/v2"]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.score = 5
    assert isinstance(state.counts, tuple)
    assert isinstance(state.errors, tuple)
    hash(state)  # all the way down
