"""Menu, play and results, by a clock of the test's own."""

import pytest

from envs.osu_mania.client.game import AFTER, Choices, Game
from envs.osu_mania.client.report import Stage
from envs.osu_mania.session import Session


@pytest.fixture
def beatmap(make_beatmap):
    return make_beatmap((0, 1000), (1, 1200), (2, 1400, 1900), (3, 2000), od=8.0)


def play(game, touches, until=None):
    """Begins a play at real time 0 and touches keys at song times, ms."""
    game.confirm(0.0)
    game.confirm(0.0)
    start = float(game.beatmap.starts.min()) - game.choices.lead_in
    real = [((time - start) / 1000.0 / game.choices.rate, *rest) for time, *rest in touches]
    for now, column, down in real:
        game.touch(column, down, now)
    if until is not None:
        game.tick((until - start) / 1000.0 / game.choices.rate)


TOUCHES = [
    (1004, 0, True),
    (1050, 0, False),
    (1245, 1, True),
    (1260, 1, False),
    (1390, 2, True),
    (1905, 2, False),
]


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_a_play_is_judged_by_the_rules(beatmap, ruleset, rate):
    game = Game([beatmap], Choices(ruleset, rate), now=0.0)
    play(game, TOUCHES, until=3500.0)
    session = Session(beatmap, ruleset, rate)
    for time, column, down in TOUCHES:
        session.set_keys([column == c and down for c in range(4)], time)
    session.finish()
    assert game.stage == Stage.RESULTS
    (finished,) = game.finished
    results = finished.results()
    assert results["judgements"] == session.counts
    assert results["judgements"]["miss"] == 1
    assert results["accuracy"] == session.accuracy
    assert results["score"] == session.score
    assert results["passed"]
    assert [(column, down) for _, column, down in results["touches"]] == [t[1:] for t in TOUCHES]
    assert [time for time, _, _ in results["touches"]] == pytest.approx([t[0] for t in TOUCHES])
    assert results["errors"][0] == 4
    assert len(results["errors"]) == sum(session.counts.values()) - session.counts["miss"]


def test_screens_follow_each_other(beatmap, make_beatmap):
    game = Game([beatmap, make_beatmap((0, 500))], Choices(), now=0.0)
    assert game.stage == Stage.MENU
    game.confirm(0.0)
    assert game.stage == Stage.SELECT
    game.choose(-1)
    assert game.beatmap is game.maps[1]
    game.confirm(1.0)
    assert game.stage == Stage.PLAY
    assert game.report(1.0, True).time == 500.0 - 2000.0
    game.choose(1)  # not while it plays
    assert game.beatmap is game.maps[1]
    game.tick(1.0 + (2000.0 + AFTER + 200.0) / 1000.0)
    assert game.stage == Stage.RESULTS
    assert game.report(9.0, True).counts["miss"] == 1
    game.confirm(9.0)
    assert game.stage == Stage.SELECT
    assert game.report(9.0, True).counts == {}
    game.back(9.0)
    assert game.stage == Stage.MENU
    assert not game.closed
    game.back(9.0)
    assert game.closed


def test_pause_holds_the_song(beatmap):
    game = Game([beatmap], Choices(), now=0.0)
    play(game, [])
    game.back(1.0)
    assert game.report(1.0, True).paused
    game.tick(100.0)
    assert game.report(100.0, True).time == 0.0
    assert game.report(100.0, True).counts["miss"] == 0
    game.confirm(100.0)
    game.tick(101.0)
    assert game.report(101.0, True).time == 1000.0
    game.back(101.0)
    game.back(101.0)
    assert game.stage == Stage.SELECT
    assert not game.finished


def test_failing_ends_a_play_where_it_may(make_beatmap):
    beatmap = make_beatmap(*((n % 4, 1000.0 + 100 * n) for n in range(60)), hp=10.0)
    for can_fail in (False, True):
        game = Game([beatmap], Choices(can_fail=can_fail), now=0.0)
        play(game, [], until=6000.0)
        report = game.report(7.0, True)
        assert report.failed == can_fail
        assert report.health == 0.0
        judged = sum(report.counts.values())
        game.tick(7.0 + AFTER / 1000.0 + 0.01)
        assert (game.stage == Stage.RESULTS) == can_fail
        if can_fail:
            assert not game.finished[0].results()["passed"]
            assert sum(game.finished[0].results()["judgements"].values()) == judged < 60


def test_keys_that_are_down_before_the_play_are_not_pressed_again(beatmap):
    game = Game([beatmap], Choices(), now=0.0)
    game.touch(0, True, 0.0)
    play(game, [(1000.0, 0, True), (1010.0, 0, False)], until=1500.0)
    assert game.report(2.0, True).counts["max"] == 0
    assert game.finished == []


def test_it_goes_on_by_itself_where_it_shall(beatmap, make_beatmap):
    other = make_beatmap((0, 1000))
    game = Game([beatmap, other], Choices(auto=2.0, plays=2), now=0.0)
    stages, maps = [], []
    for tenth in range(400):
        game.tick(tenth / 10.0)
        if not stages or stages[-1] != game.stage:
            stages.append(game.stage)
            maps.append(game.beatmap)
    round_trip = [Stage.PLAY, Stage.RESULTS, Stage.SELECT]
    assert stages[:8] == [Stage.MENU, Stage.SELECT, *round_trip, *round_trip]
    assert maps[2] is beatmap
    assert maps[5] is other
    assert game.closed
    assert len(game.finished) >= 2


@pytest.mark.parametrize("wrong", [{"lead_in": -1.0}, {"auto": -1.0}, {"plays": 0}])
def test_wrong_choices(wrong):
    with pytest.raises(ValueError, match="must"):
        Choices(**wrong)
