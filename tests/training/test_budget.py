"""Durations, early stops, the share of the budget used and the learning rate that follows it."""

import json
from math import inf

import pytest

from translate.errors import ConfigError, nearest
from translate.options import parse_duration
from translate.trainers.config import TrainConfig, config_from_json, option_name
from translate.training import budget
from translate.training.budget import Progress, StopAfter


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("20m", 1200),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        ("0.5h", 1800),
        ("1.5m", 90),
        ("45", 45),
        ("0", 0),
        ("0s", 0),
        ("2.5", 2.5),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "m", "-5m", "20 m", "20min", "5m3", "1h-3m", "1e3", "inf", "nan", ".5h", "5M"]
)
def test_no_duration(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a duration; write for example 90s, 20m or 1h30m$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9m", StopAfter(seconds=540)),
        ("500images", StopAfter(images=500)),
        ("1 image", StopAfter(images=1)),
        ("30", StopAfter(seconds=30)),
    ],
)
def test_stop_after(text: str, expected: StopAfter) -> None:
    assert StopAfter.parse(text) == expected


@pytest.mark.parametrize("text", ["", "images", "-5images", "5.5images", "5pictures"])
def test_no_stop_after(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        StopAfter.parse(text)


@pytest.mark.parametrize(
    "stop", [StopAfter(seconds=90.5), StopAfter(images=500), StopAfter(images=2_500_001), StopAfter(seconds=3_000_000)]
)
def test_stop_after_reads_what_it_shows(stop: StopAfter) -> None:
    assert StopAfter.parse(str(stop)) == stop


def test_stop_after_nothing() -> None:
    assert str(StopAfter()) == "never"
    assert StopAfter() == StopAfter(inf, inf)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "monotonic", clock)
    # The dataclass keeps the clock it was defined with; restart_clock() takes the new one.
    return clock


def started(config: TrainConfig, **facts: float) -> Progress:
    progress = Progress(config, **facts)
    progress.restart_clock()
    return progress


def test_share_of_images() -> None:
    progress = started(TrainConfig.of(max_images=40))
    assert progress.share == 0.0
    progress.images_seen = 10
    assert progress.share == 0.25
    progress.images_seen = 44
    assert progress.share == 1.0


def test_share_of_seconds_over_resumes(clock: Clock) -> None:
    progress = started(TrainConfig.of(max_seconds=100))
    clock.now += 30
    assert progress.share == 0.0  # within a step the time stands still
    assert progress.tick() == 30
    assert (progress.seconds_here, progress.seconds_used, progress.share) == (30, 30, 0.3)

    resumed = started(TrainConfig.of(max_seconds=100), seconds_before=30, images_seen=8, images_before=8)
    assert (resumed.share, resumed.images_here) == (0.3, 0)
    clock.now += 50
    resumed.tick()
    resumed.images_seen += 4
    assert (resumed.seconds_here, resumed.seconds_used, resumed.share) == (50, 80, 0.8)
    assert resumed.images_here == 4
    clock.now += 500
    resumed.tick()
    assert resumed.share == 1.0


def test_waiting_before_the_start_is_not_counted(clock: Clock) -> None:
    progress = started(TrainConfig.of(max_seconds=100))
    clock.now += 60
    progress.tick()
    assert progress.share == 0.6
    progress.restart_clock()
    assert progress.share == 0.0
    clock.now += 10
    progress.tick()
    assert progress.share == 0.1


def test_no_budget_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        _ = started(TrainConfig()).share


def test_learning_rate_rises_stays_and_falls_to_zero() -> None:
    config = TrainConfig.of(max_images=1000, batch_size=10, lr_rampup_images=100, lr_decay_start=0.6)
    progress = started(config)

    def factor(images: int) -> float:
        progress.images_seen = images
        return progress.lr_factor(progress.share)

    assert [factor(images) for images in (0, 40, 90)] == pytest.approx([0.1, 0.5, 1.0])
    assert [factor(images) for images in (100, 350, 600)] == pytest.approx([1.0, 1.0, 1.0])
    assert [factor(images) for images in (700, 800, 1000, 1010)] == pytest.approx([0.75, 0.5, 0.0, 0.0])
    whole = [factor(images) for images in range(0, 1001, 10)]
    assert whole[:60] == sorted(whole[:60])
    assert whole[60:] == sorted(whole[60:], reverse=True)


@pytest.mark.parametrize(
    ("settings", "images", "expected"),
    [
        ({"lr_rampup_images": 0}, 0, 1.0),
        ({"lr_rampup_images": 0, "lr_decay_start": 0.0}, 25, 0.75),
        ({"lr_rampup_images": 0, "lr_decay_start": 1.0}, 99, 1.0),
        ({"lr_rampup_images": 0, "lr_decay_start": 1.0}, 100, 0.0),
    ],
)
def test_learning_rate_at_the_ends_of_the_settings(settings: dict[str, float], images: int, expected: float) -> None:
    progress = started(TrainConfig.of(max_images=100, **settings))
    progress.images_seen = images
    assert progress.lr_factor(progress.share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_seconds": 60, "max_images": 5}, "--max-time and --max-images are both given"),
        ({"max_seconds": 0}, "^--max-time is 0; it must be at least 0.001$"),
        ({"max_images": 0}, "^--max-images is 0; it must be at least 1$"),
        ({"batch_size": 0}, "^--batch-size is 0; it must be between 1 and 65536$"),
        ({"generator_lr": -1.0}, "^--generator-lr is -1; "),
        ({"generator_lr": float("nan")}, "^--generator-lr is nan; "),
        ({"lr_decay_start": 1.5}, "^--lr-decay-start is 1.5; it must be between 0 and 1$"),
        ({"snapshot_seconds": -1.0}, "^--snapshot-time is -1; it must be at least 0$"),
        ({"seed": 2**31}, "^--seed is "),
        ({"workers": -2}, "^--workers is -2; "),
        ({"held_out": -2}, "^--held-out is -2; it must be at least -1$"),
        ({"validations": -1}, "^--validations is -1; it must be between 0 and 10000$"),
        ({"accumulate": 0}, "^--accumulate is 0; it must be between 1 and 65536$"),
        ({"accumulate": 3}, "^--accumulate is 3; it must divide --batch-size, which is 4$"),
        ({"best_by": "fid"}, "^--best-by is fid, which is not one of --metrics; add it there$"),
        ({"patience": 2, "validations": 0}, "^--patience needs validation, but --validations is 0; omit one"),
        ({"channels": "x"}, "^--channels is 'x'; write for example 3, 1:3"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig.of(**settings)


def test_settings_survive_json() -> None:
    config = TrainConfig.of(max_seconds=90.5, folders=("a", "b"), metrics=("swd",), label_names=("x", "y"), labels=True)
    found = json.loads(json.dumps(config.settings()))
    assert config_from_json(TrainConfig, found, "the snapshot") == config


def test_settings_of_another_version() -> None:
    with pytest.raises(
        ConfigError, match=r"^the snapshot has the setting 'surprise', which is unknown to this version"
    ):
        config_from_json(TrainConfig, {"surprise": 1}, "the snapshot")


def test_option_names() -> None:
    assert [option_name(name) for name in ("max_seconds", "snapshot_seconds", "max_images")] == [
        "--max-time", "--snapshot-time", "--max-images"
    ]  # fmt: skip


def test_nearest() -> None:
    assert nearest("sketch-to-foto", ["sketch-to-photo", "day-to-night"]) == "did you mean sketch-to-photo?"
    assert nearest("x", ["a-thing", "b-thing"]) == "choose one of: a-thing, b-thing"
