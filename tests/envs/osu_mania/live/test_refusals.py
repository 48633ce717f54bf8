"""When not to play: each reason by itself."""

import dataclasses
import json

import pytest

from envs.osu_mania.live.messages import read_v2
from envs.osu_mania.live.readers import Reading
from envs.osu_mania.live.refusals import refusal


@pytest.fixture
def state(messages):
    return read_v2(json.dumps(messages["/json/v2"]))


def why_not(state, received=100.0, now=100.1, stands_for=0.0, keys=4, md5s=None, problem=""):
    reading = Reading(state, received, number=5, problem=problem)
    return refusal(reading, now, stands_for, 1.0, keys, md5s)


def test_a_play_is_played(state):
    assert why_not(state) == ""
    assert why_not(state, md5s={state.md5, "another"}) == ""
    assert why_not(state, now=100.9, stands_for=0.9) == ""
    # v1 doesn't tell
    assert why_not(dataclasses.replace(state, paused=None, failed=None, login=None)) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"number": 5}, "song select"),
        ({"number": 0}, "menu"),
        ({"number": 7}, "results"),
        ({"number": 11}, "lobby"),
        ({"number": 23}, "state 23"),
        ({"mode": 0}, "mode 0"),
        ({"keys": 7}, "7 keys"),
        ({"paused": True}, "paused"),
        ({"failed": True}, "failed"),
        ({"login": 65793}, "logged in"),
    ],
)
def test_a_state_that_is_not_to_be_played(state, change, words):
    assert words in why_not(dataclasses.replace(state, **change))


def test_logged_in_comes_first(state):
    assert "logged in" in why_not(dataclasses.replace(state, login=65793, number=0))


def test_another_map(state):
    assert state.label in why_not(state, md5s={"another"})


def test_old_data_and_a_song_that_stands(state):
    assert "1.5 s old (HTTP 500)" in why_not(state, now=101.5, problem="HTTP 500")
    assert "stands still for 1.2 s" in why_not(state, stands_for=1.2)


def test_no_data():
    assert why_not(None, problem="nobody is there") == "nobody is there"
