import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.parallel.mesh import make_abstract_mesh
from motiongpt3_jax.planning import filling, search
from motiongpt3_jax.planning.chips import Slice
from motiongpt3_jax.planning.describe import describe_search
from motiongpt3_jax.planning.estimate import estimate_step, trace_step
from motiongpt3_jax.planning.stage_program import model_spec


@pytest.fixture(scope="module")
def found():
    """A search with fewer clips, policies and rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "CLIPS", 8)
        patch.setattr(search, "POLICIES", {"none": None, "full": None})
        patch.setattr(search, "ROWS", (1, 16, 2**18))
        config = load_config("motiongpt3:test", ("model.dtype=bfloat16", "mesh.whole_below=0"))
        options = {"stage": "text", "platform": "estimate", "prices": {"v5e": 1.0, "v6e": 100.0}}
        return search.search_settings(config, ["v5e:2x2", "v6e:2x2"], keep=5, name="motiongpt3:test", **options)


@pytest.mark.slow
def test_the_best_settings_are_ranked_by_samples_a_dollar(found):
    worth = [one.samples_per_dollar for one in found.candidates]
    assert worth == sorted(worth, reverse=True)
    best = found.candidates[0]
    assert best.setting.topology == "v5e:2x2", "a v6e is a hundred times as dear here"
    assert best.price == 4.0
    assert best.samples_per_dollar == pytest.approx(3600 * best.rate / 4)
    assert len(found.candidates) == 5
    assert found.tried == 2 * 3 * 2 * 3
    assert 5 <= found.fitting < found.tried, "so many rows of a chip fit nowhere"
    assert all(one.setting.rows == 16 for one in found.candidates)


@pytest.mark.slow
def test_the_arguments_of_the_best_make_its_config(found):
    best, json = found.candidates[0], found.to_json()
    assert json["arguments"] == list(best.arguments)
    overrides = [argument.removeprefix("--config.") for argument in best.arguments]
    checked = check_config(plain(load_config("motiongpt3:test", overrides).to_dict()))
    assert (checked.mesh.data, checked.mesh.fsdp, checked.mesh.tensor) == tuple(best.setting.mesh.values())
    assert checked.mesh.rows == "per_shard"
    assert checked.stages["text"].rows == best.setting.rows
    assert checked.values["model"]["decoder"]["remat"] == best.setting.remat


@pytest.mark.slow
def test_the_printed_command_says_each_value_once(found):
    setting = found.candidates[0].arguments[0]
    said = describe_search(found, [f"{setting.partition('=')[0]}=old", "--config.seed=3"])
    assert said.count(setting.partition("=")[0] + "=") == 1
    assert setting in said
    assert "--config.seed=3" in said


@pytest.fixture(scope="module")
def ends():
    """The stage `text` traced for the two numbers of rows."""
    config = check_config(plain(load_config("motiongpt3:test", ("model.dtype=bfloat16",)).to_dict()))
    return [trace_step(config, "text", model_spec(config), rows) for rows in search.TRACED]


@pytest.mark.slow
def test_other_rows_lie_on_the_line_through_those_that_were_traced(ends):
    chips, grid = Slice.of("v5e:2x2"), make_abstract_mesh(4)
    config = check_config(plain(load_config("motiongpt3:test", ("model.dtype=bfloat16",)).to_dict()))
    line = search.between([estimate_step(end, grid, chips) for end in ends], 32, chips)
    traced = estimate_step(trace_step(config, "text", model_spec(config), 32), grid, chips)
    assert line.memory.peak == pytest.approx(traced.memory.peak, rel=0.05)
    assert line.cost.flops == pytest.approx(traced.cost.flops, rel=0.01)
    assert line.cost.bytes == pytest.approx(traced.cost.bytes, rel=0.05)


def test_every_mesh_and_all_rows_are_estimated_and_the_best_rows_of_each_are_kept(ends):
    every = list(search.estimates([Slice.of("v5e:2x2")], 4, {"none": ends}))
    assert len(every) == 3 * len(search.ROWS), "no tensor parallelism where there is room without it"
    peaks = [estimate.memory.peak for setting, estimate in every if setting.mesh["fsdp"] == 1]
    assert peaks == sorted(peaks)
    candidates = [
        search.Candidate(setting, (), estimate.memory.peak, setting.rows / estimate.time.total, None, None)
        for setting, estimate in every
    ]
    best = search.best_of_each(candidates)
    assert len(best) == 3
    assert [one.rate for one in best] == sorted((one.rate for one in best), reverse=True)
    assert best[0].rate == max(one.rate for one in candidates)


def test_meshes_divide_the_chips_and_the_heads():
    sizes = [tuple(axes.values()) for axes in search.meshes(Slice.of("v5e:2x2"), heads=6)]
    assert sizes == [(4, 1, 1), (2, 2, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2)]


def test_of_several_stages_one_must_be_named():
    with pytest.raises(UserError, match="--search looks for the settings of one stage: add --stage with one of vae"):
        search.search_settings("motiongpt3:test", ["v5e:2x2"])
