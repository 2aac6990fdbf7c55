import importlib.util
import json
import os

import pytest

from motiongpt3_jax.commands.plan import parser, run
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.dense import kernels_transposed
from motiongpt3_jax.planning import answer_plan, filling
from motiongpt3_jax.planning.answer_plan import Requests, plan_answers
from tests.planning.test_plan import TOP, planned


@pytest.fixture(autouse=True)
def few_clips(monkeypatch):
    monkeypatch.setattr(filling, "CLIPS", 8)


def asked(task, config="motiongpt3:test", count=4, **options):
    requests = Requests(task, count, frames=32, tokens=8, **options)
    return plan_answers(config, "v5e:4x4", requests, platform="estimate", prices={"v5e": 1.2})


@pytest.fixture(scope="module")
def few_steps():
    return asked("generate", sampling={"steps": 5})


def test_a_batch_of_motions_takes_what_its_phases_take(few_steps):
    found = few_steps.to_json()
    assert [phase["name"] for phase in found["phases"]] == ["condition", "sample", "decode"]
    assert all(name in found for name in TOP)
    assert found["fits"] is True
    assert found["peak_bytes_per_chip"] == max(phase["memory"]["peak"] for phase in found["phases"])
    seconds = sum(max(phase["time"]["products"], phase["time"]["memory"]) for phase in found["phases"])
    assert found["batch_seconds"] == pytest.approx(seconds)
    assert found["samples_per_second"] == pytest.approx(4 / seconds)
    assert found["dollars_per_million"] == pytest.approx(1.2 * seconds / 3600 / 4 * 1e6)
    assert found["bound"] == "memory"
    assert "one chip" in found["notes"][0]


@pytest.mark.parametrize(("platform", "transposed"), [("estimate", False), ("cpu", True)])
def test_programs_are_those_of_the_chips_and_not_of_this_machine(monkeypatch, platform, transposed):
    class Recorded(Exception):
        """Ends a plan before it compiles."""

    def take(program, **_):
        raise Recorded(kernels_transposed(program.arguments[0].params["decoder"]))

    monkeypatch.setattr(answer_plan, "estimate_phase", take)
    monkeypatch.setattr(answer_plan, "compile_phase", take)
    with pytest.raises(Recorded, match=str(transposed)):
        plan_answers("motiongpt3:test", "v5e:1x1", Requests("generate", 4, frames=32), platform=platform)


@pytest.mark.slow
def test_the_loop_of_the_sampler_counts_its_steps(few_steps):
    many = asked("generate", sampling={"steps": 10}).phases[1].model_flops
    assert many > 1.5 * few_steps.phases[1].model_flops


@pytest.mark.slow
def test_captions_are_read_and_written_and_more_words_take_longer():
    short = asked("caption")
    assert [phase.name for phase in short.phases] == ["understand", "write"]
    requests = Requests("caption", 4, frames=32, tokens=32)
    long = plan_answers("motiongpt3:test", "v5e:4x4", requests, platform="estimate")
    assert long.seconds > 1.5 * short.seconds
    assert long.to_json()["dollars_per_million"] is None


def test_a_second_system_has_phases_of_its_own():
    assert [phase.name for phase in asked("generate", "motiongpt:test").phases] == ["prefill", "decode", "render"]


def test_more_frames_than_the_model_makes_are_refused_before_anything_is_traced():
    with pytest.raises(UserError, match=r"--frames 5000: this model makes \d+ to \d+ at once"):
        plan_answers("motiongpt3:test", "v5e:4x4", Requests("generate", 1, frames=5000), platform="estimate")


@pytest.mark.parametrize("more", [["--stage", "text"], ["--mesh", "data=4"], ["--search", "3"]])
def test_what_is_about_training_does_not_go_with_a_task(more):
    arguments = ["--config", "motiongpt3:test", "--topology", "v5e:2x2", "--task", "generate", *more]
    with pytest.raises(UserError, match=f"{more[0]} is about training; leave it out with --task generate"):
        run(parser().parse_args(arguments))


@pytest.mark.slow
def test_the_command_prints_and_writes_it(tmp_path, capsys):
    file = tmp_path / "plan.json"
    options = ("--requests", "2", "--frames", "32", "--steps", "3", "--platform", "estimate", "--json", str(file))
    run(parser().parse_args(["--config", "motiongpt3:test", "--topology", "v5e:2x2", "--task", "generate", *options]))
    said, found = capsys.readouterr().out, json.loads(file.read_text(encoding="utf-8"))
    assert "motiongpt3:test on one v5e chip: generate, 2 requests at once, 32 frames each" in said
    assert found["requests"]["sampling"] == {"steps": 3}


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None and "MOTION_TPU_REQUIRED" not in os.environ,
    reason="needs libtpu: pip install 'motiongpt3_jax[tpu]'",
)
def test_compiled_phases_have_the_products_of_the_traced_ones(tmp_path):
    options = ("--config", "motiongpt3:test", "--topology", "v5e:2x2", "--task", "caption", "--requests", "4")
    _, found = planned(tmp_path, *options, "--frames", "32", "--tokens", "8")
    for phase in found["phases"]:
        assert phase["flops_per_chip"] == pytest.approx(phase["model_flops"], rel=0.1)
        assert 0 < phase["memory"]["peak"] < 2**30
