import json

import pytest

from motiongpt3_jax.training.goodput import PARTS
from motiongpt3_jax.training.log import Log, Meter, duration, forget_after, train_line
from tests.training.toy import stage


def spent(**seconds: float) -> dict[str, float]:
    """Where 10 seconds went."""
    parts = {**dict.fromkeys(PARTS, 0.0), "device": 10.0 - sum(seconds.values()), **seconds}
    return {"wall_seconds": 10.0} | {f"{name}_seconds": value for name, value in parts.items()}


def entry(of: str, step: int) -> str:
    return json.dumps({"stage": of, "step": step, "kind": "train"}) + "\n"


def test_a_resumed_run_takes_back_what_lies_beyond_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(entry("a", 9) + entry("b", 1) + entry("b", 3) + entry("c", 1) + '{"stage": "c", "st')
    forget_after(path, ["a", "b", "c"], "b", 2)
    assert path.read_text() == entry("a", 9) + entry("b", 1)


def test_the_log_appends_and_writes_for_tensorboard(tmp_path):
    shown: list[str] = []
    for step in (1, 2):
        log = Log(tmp_path, ["first"], stage(), step - 1, shown.append, 0.0)
        log.train(step, {"loss": 0.5}, {}, spent())
        log.close()
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    assert shown == ["first 1/20  loss 0.5  device 100%", "first 2/20  loss 0.5  device 100%"]
    assert len(list((tmp_path / "tensorboard" / "first").glob("events*"))) >= 1


def test_progress_lines_keep_their_distance(tmp_path):
    shown: list[str] = []
    log = Log(tmp_path, ["first"], stage(), 0, shown.append, 100.0)
    for step in (1, 2, 20):
        log.train(step, {"loss": 0.5}, {}, spent())
    log.close()
    assert [line.split("  ")[0] for line in shown] == ["first 1/20", "first 20/20"]  # the end is always shown


def test_a_progress_line_says_where_how_well_how_fast_and_how_long():
    numbers = {"loss": 1.5, "loss/text": 1.0, "loss/motion": 0.5, "gradient_norm": 2.0, "learning_rate": 1e-4}
    rates = {"samples_per_second": 12.0, "tokens_per_second": 3456.0, "text_slots_used": 0.87, "seconds_left": 125.0}
    time = spent(input=0.6, host=0.4, checkpoint=0.01) | {"mfu": 0.4123}
    assert train_line(stage(), 5, numbers, rates, time) == (
        "first 5/20  loss 1.5 (text 1, motion 0.5)  gradient norm 2  learning rate 0.0001  12 samples/s  "
        "3.46e+03 useful tokens/s  text slots used 87%  MFU 41.2%  device 90%, input 6%, host 4%  2 min left"
    )


def test_the_end_of_a_stage_says_where_its_time_went(tmp_path):
    shown: list[str] = []
    log = Log(tmp_path, ["first"], stage(), 5, shown.append, 0.0)
    log.end(20, spent(compile=3.0))
    log.close()
    assert shown == ["first: steps 6 to 20 took 10 s: device 70%, compile 30%"]
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line) == {"stage": "first", "step": 20, "kind": "time", **spent(compile=3.0)}


@pytest.mark.parametrize(("seconds", "text"), [(9.7, "10 s"), (100, "2 min"), (12000, "3 h 20 min")])
def test_durations_are_easy_to_read(seconds, text):
    assert duration(seconds) == text


def test_rates_leave_out_the_step_that_compiles(monkeypatch):
    clock = iter([0.0, 50.0, 50.0, 54.0, 54.0])
    monkeypatch.setattr("motiongpt3_jax.training.log.time.perf_counter", lambda: next(clock))
    meter = Meter(0)
    for step in (1, 2, 3):
        meter.add(step, {"samples": 8.0, "tokens": 100.0, "frames_used": 0.5})
    found = meter.take(9)
    expected = {"samples_per_second": 4.0, "tokens_per_second": 50.0, "frames_used": 0.5, "seconds_left": 12.0}
    assert found == expected
