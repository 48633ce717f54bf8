"""Schedules: values at known points, clamping, pickling, and clear refusals."""

import pickle

import pytest

from sb3_ext.schedules import as_schedule, clamp_progress, from_string


@pytest.mark.parametrize(
    ("text", "start", "middle", "end"),
    [
        ("const_3e-4", 3e-4, 3e-4, 3e-4),
        ("lin_3e-4", 3e-4, 1.5e-4, 0.0),
        ("cosine_2.0", 2.0, 1.0, 0.0),
        ("0.25", 0.25, 0.25, 0.25),
    ],
)
def test_values(text, start, middle, end):
    schedule = from_string(text)
    assert schedule(1.0) == pytest.approx(start)
    assert schedule(0.5) == pytest.approx(middle)
    assert schedule(0.0) == pytest.approx(end, abs=1e-12)


@pytest.mark.parametrize("text", ["lin_1.0", "cosine_1.0", "const_1.0"])
def test_an_overshooting_progress_gives_no_negative_rate(text):
    schedule = from_string(text)
    assert schedule(-0.3) == schedule(0.0) >= 0.0
    assert schedule(1.4) == schedule(1.0)


@pytest.mark.parametrize(
    "text", ["linear_3e-4", "lin_", "lin_x", "cos_1", "lin_-1", "lin_nan", "", "lin"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="schedule"):
        from_string(text)


def test_schedules_pickle_and_compare():
    schedule = from_string("lin_3e-4")
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_as_schedule_takes_numbers_strings_and_callables():
    assert as_schedule(0.5)(0.1) == 0.5
    assert as_schedule("lin_1")(0.25) == 0.25
    assert as_schedule(lambda p: p * 3)(0.5) == 1.5
    with pytest.raises(ValueError, match="clip_range"):
        as_schedule(None, "clip_range")  # type: ignore[arg-type]


def test_clamp():
    assert [clamp_progress(p) for p in (-1.0, 0.5, 2.0)] == [0.0, 0.5, 1.0]
