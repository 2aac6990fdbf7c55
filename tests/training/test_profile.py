import jax
import numpy as np
import pytest

from motiongpt3_jax.training import Hooks, TrainingDiverged, restore_variables, run
from motiongpt3_jax.training.profile import traced_steps
from tests.training.toy import ToyData, ToySystem, stage


@pytest.mark.parametrize(
    ("done", "steps", "traced"),
    [(0, 1000, range(6, 11)), (40, 1000, range(46, 51)), (0, 7, range(3, 8)), (0, 2, range(2, 3)), (9, 10, range(0))],
)
def test_steps_are_traced_once_they_run_evenly_and_never_the_one_that_compiles(done, steps, traced):
    assert list(traced_steps(done, steps)) == list(traced)


@pytest.mark.slow
def test_each_stage_leaves_a_trace_of_its_steps_and_the_results_of_a_run_without(tmp_path):
    lines: list[str] = []

    def train(name: str, **hooks: object) -> dict:
        stages = [stage("one", steps=4), stage("two", steps=3)]
        run(ToySystem(), stages, lambda stage: ToyData(), tmp_path / name, hooks=Hooks(**hooks))
        return restore_variables(tmp_path / name)[2]

    plain = train("plain", show=lambda line: None)
    traced = train("traced", show=lines.append, profile=tmp_path / "traces")
    jax.tree.map(np.testing.assert_array_equal, plain, traced)
    for name, first, last in (("one", 2, 4), ("two", 2, 3)):
        (trace,) = (tmp_path / "traces" / name).rglob("*.xplane.pb")
        assert [line for line in lines if "trace" in line and f"{name}:" in line] == [
            f"{name}: trace of steps {first} to {last} in {tmp_path}/traces/{name}; see it with XProf"
        ]
        space = jax.profiler.ProfileData.from_file(str(trace))
        events = [event for plane in space.planes for line in plane.lines for event in line.events]
        steps = {dict(event.stats).get("step_num") for event in events if event.name == "train"}
        assert steps == set(range(first, last + 1))


@pytest.mark.slow
def test_a_run_that_diverges_while_it_is_traced_leaves_the_trace_and_lets_others_follow(tmp_path):
    hooks = Hooks(show=lambda line: None, profile=tmp_path / "traces")
    with pytest.raises(TrainingDiverged):
        run(ToySystem(poison=4 * 6), [stage()], lambda stage: ToyData(), tmp_path / "run", hooks=hooks)
    assert len(list((tmp_path / "traces/first").rglob("*.xplane.pb"))) == 1
    jax.profiler.start_trace(tmp_path / "other")
    jax.profiler.stop_trace()
