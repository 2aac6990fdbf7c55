"""Checkpoints hold what trains, and refer to frozen parameters where they lie."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import SHARDING, make_mesh
from motiongpt3_jax.systems.interface import Variables
from motiongpt3_jax.training import Outside, checkpoints, restore_variables, starts
from motiongpt3_jax.training.folders import steps_of
from motiongpt3_jax.training.manifest import MANIFEST, damage
from motiongpt3_jax.training.partition import paths_of
from motiongpt3_jax.training.program import make_program
from motiongpt3_jax.training.references import references_of
from tests.training.test_damage import biggest, cut
from tests.training.test_loop import params, train
from tests.training.toy import ToyData, ToySystem, adamw, stage

ROOT = Path(__file__).parents[2]
STEADY = adamw(learning_rate=1e-2, ema=0.9)
BODY, HEAD = ("body/.*",), ("head/.*",)
FIRST = r"body/.*/(up|mlp_in)/kernel"
SECOND = r"body/.*/(down|mlp_out)/kernel"
STAGES = (
    stage("one", trainable=BODY, steps=4),
    stage("two", trainable=HEAD, steps=4),
    stage("three", trainable=(FIRST,), steps=4),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run whose last stage freezes what the two before it trained."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, *STAGES)
    return folder


@pytest.fixture
def run(whole, tmp_path):
    """A copy to change."""
    return shutil.copytree(whole, tmp_path / "run")


def folder(run, name, step=4):
    return run / "checkpoints" / name / str(step)


def held(checkpoint):
    return paths_of(dict(ocp.PyTreeCheckpointHandler().metadata(checkpoint / "params").tree))


def places(checkpoint):
    return {path: reference.place for reference in references_of(checkpoint) for path in reference.paths}


def same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_checkpoint_holds_what_its_stage_trains_and_refers_to_who_trained_the_rest_last(whole):
    body, head = (paths_of({name: ToySystem().init(jax.random.key(0)).params[name]}) for name in ("body", "head"))
    assert [held(folder(whole, name)) for name in ("one", "two")] == [body, head]
    assert held(folder(whole, "base", 0)) == head
    first, second = sorted(held(folder(whole, "three"))), sorted(body - held(folder(whole, "three")))
    assert len(first) == len(second) == 1
    assert places(folder(whole, "one")) == {"head/bias": "../../base/0"}
    assert places(folder(whole, "two")) == dict.fromkeys(body, "../../one/4")
    assert places(folder(whole, "three")) == {second[0]: "../../one/4", "head/bias": "../../two/4"}


def test_variables_are_read_from_all_that_a_checkpoint_refers_to(whole):
    one, two, three = (params(whole, name) for name in ("one", "two", "three"))
    same(two["body"], one["body"])
    same(three["head"], two["head"])
    layers = [jax.tree.leaves(x["body"], is_leaf=lambda x: not isinstance(x, dict)) for x in (two, three)]
    assert sorted(bool((a == b).all()) for a, b in zip(*layers)) == [False, True]


def test_nothing_is_read_as_a_whole_on_the_host_between_stages_and_on_resuming(run, monkeypatch):
    def refuse(*_):
        pytest.fail("an array was gathered")

    for module in (checkpoints, starts):
        monkeypatch.setattr(module, "read_item", refuse)
    train(run, *STAGES[:2], stage("three", trainable=(FIRST,), steps=6), stage("four", trainable=BODY, steps=2))
    assert places(folder(run, "four", 2)) == {"head/bias": "../../two/4"}


def test_a_run_can_be_moved_as_a_whole(run, whole, tmp_path):
    expected = restore_variables(whole)
    shutil.move(run, tmp_path / "elsewhere")
    same(restore_variables(tmp_path / "elsewhere"), expected)
    train(tmp_path / "elsewhere", *STAGES, stage("four", trainable=HEAD, steps=1))


def test_the_last_checkpoint_of_an_earlier_stage_stays_whatever_is_kept(tmp_path):
    def stages(steps):
        few = {"keep": 1, "checkpoint_every": 1, "evaluate_every": 1}
        return stage("one", trainable=BODY, steps=3, **few), stage("two", trainable=HEAD, steps=steps, **few)

    train(tmp_path, *stages(3))
    train(tmp_path, *stages(6))
    assert steps_of(tmp_path, "one")[-1] == 3
    assert steps_of(tmp_path, "base") == [0]
    for step in steps_of(tmp_path, "two"):
        assert set(places(folder(tmp_path, "two", step)).values()) == {"../../one/3"}
        assert restore_variables(tmp_path, "two", which="best")[1] in steps_of(tmp_path, "two")


CHANGES = {
    "is missing": shutil.rmtree,
    r"is damaged \(params/.* bytes instead of": lambda place: cut(biggest(place / "params")),
    r"is not what it was \(manifest.json has changed\)": lambda place: (place / MANIFEST).write_text(
        (place / MANIFEST).read_text() + " "
    ),
}


@pytest.mark.parametrize("wrong", CHANGES)
def test_a_missing_or_changed_base_is_one_sentence_and_nothing_is_set_aside(run, wrong):
    CHANGES[wrong](folder(run, "two"))
    sentence = (
        rf"checkpoint .*/three/4 takes the frozen head/bias from .*/two/4, which {wrong}.*; put it back as it was"
    )
    with pytest.raises(UserError, match=sentence):
        restore_variables(run)
    last = stage("three", trainable=(FIRST,), steps=6)
    with pytest.raises(UserError, match="two"):
        train(run, *STAGES[:2], last)
    assert not list(run.rglob("damaged-*"))


def test_a_manifest_has_the_checksums_of_what_is_referred_to_and_is_held_to_them(run):
    manifest = folder(run, "three") / MANIFEST
    listed = json.loads(manifest.read_text())
    assert {name for name in listed if name.startswith("..")} == {
        f"../../{name}/4/{MANIFEST}" for name in ("one", "two")
    }
    listed[f"../../two/4/{MANIFEST}"][1] = "0" * 64
    manifest.write_text(json.dumps(listed))
    assert damage(folder(run, "three")) == f"{MANIFEST} has changed"


def test_a_base_of_a_run_that_was_stopped_before_its_first_checkpoint_is_written_anew(tmp_path, whole):
    folder(tmp_path, "base", 0).mkdir(parents=True)
    train(tmp_path, STAGES[0])
    same(params(tmp_path, "one"), params(whole, "one"))


def test_no_stage_is_named_like_the_base(tmp_path):
    with pytest.raises(UserError, match="a stage is named 'base'"):
        train(tmp_path, stage("base"))


def pretrained(place):
    """Reads a body from a file, as a caller of `run` does."""

    def initial(key):
        fresh = ToySystem().init(jax.random.key(0)).params["body"]
        scale = np.load(place / "scale.npy")
        return Variables({"body": jax.tree.map(lambda x: np.asarray(x * scale, np.float32), fresh)})

    return initial


@pytest.fixture
def place(tmp_path):
    (tmp_path / "model").mkdir()
    np.save(tmp_path / "model" / "scale.npy", np.float32(3))
    return tmp_path / "model"


def test_what_lies_outside_of_a_run_is_referred_to_and_not_copied(tmp_path, place):
    run, initial = tmp_path / "run", pretrained(place)
    settings = {"initial": initial, "outside": [Outside(BODY, place, ("scale.npy",))]}

    def stages(steps):
        return stage("one", trainable=HEAD, steps=steps, optimizer=STEADY), stage("two", trainable=(SECOND,), steps=2)

    train(run, stages(2)[0], **settings)
    train(run, *stages(4), **settings)
    assert not folder(run, "base", 0).exists()
    assert set(places(folder(run, "one")).values()) == {str(place)}
    found = restore_variables(run, read_outside=lambda folder: initial(None).params)[2].params
    train(tmp_path / "copied", *stages(4), initial=initial)
    same(found, restore_variables(tmp_path / "copied")[2].params)
    with pytest.raises(UserError, match=r"takes parameters from .*model, outside of its run"):
        restore_variables(run)
    np.save(place / "scale.npy", np.float32(4))
    with pytest.raises(UserError, match=r"from .*model, which is not what it was \(scale.npy has changed\)"):
        train(run, *stages(4)[:1], stage("two", trainable=(SECOND,), steps=3), **settings)


def test_what_is_missing_outside_of_a_run_is_called_as_the_config_calls_it(tmp_path, place):
    run = tmp_path / "run"
    outside = [Outside(BODY, place, ("scale.npy",), "someone/scale")]
    train(run, stage("one", trainable=HEAD), initial=pretrained(place), outside=outside)
    shutil.rmtree(place)
    with pytest.raises(UserError, match=r"model, which is missing; .* \(from a copy, or 'someone/scale' on the hub\)"):
        restore_variables(run)


def test_given_parameters_lie_over_fresh_ones_and_must_be_the_models(tmp_path, place):
    train(tmp_path / "run", stage("one", trainable=HEAD, steps=1), initial=pretrained(place))
    fresh = ToySystem().init(jax.random.key(0)).params
    same(params(tmp_path / "run", "one")["body"], jax.tree.map(lambda x: 3 * x, fresh["body"]))
    with pytest.raises(UserError, match=r"head/bias would be referred to in .*model, but is not read from there"):
        train(tmp_path / "third", stage(), initial=pretrained(place), outside=[Outside((".*",), place, ())])
    with pytest.raises(UserError, match="begin with tail/bias, which is no parameter of the model"):
        train(tmp_path / "other", stage(), initial=lambda key: Variables({"tail": {"bias": np.zeros(1)}}))


@dataclass(frozen=True)
class Halved(ToySystem):
    dtypes: tuple[tuple[str, object], ...] = (("body/.*", jnp.bfloat16),)


def test_a_pattern_of_dtypes_that_matches_no_parameter_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"pattern 'boby/\.\*' matches the whole path of no parameter"):
        train(tmp_path / "run", stage(), system=Halved(dtypes=(("boby/.*", jnp.bfloat16),)))


@pytest.mark.slow
def test_frozen_parameters_are_held_in_the_dtype_of_their_pattern_and_stored_in_their_own(tmp_path):
    seen = []

    def sample(of, step, variables):
        seen.append({x.dtype.name for x in jax.tree.leaves(variables.params["body"])})

    one = stage("one", trainable=HEAD, steps=4, sample_every=2, checkpoint_every=2)
    train(tmp_path / "run", one, stage("two", trainable=BODY, steps=2, sample_every=2), system=Halved(), samples=sample)
    assert seen == [{"bfloat16"}, {"bfloat16"}, {"float32"}]
    train(tmp_path / "stopped", one, system=Halved())
    shutil.rmtree(folder(tmp_path / "stopped", "one"))
    train(tmp_path / "stopped", one, system=Halved())
    same(params(tmp_path / "stopped", "one"), params(tmp_path / "run", "one"))
    train(tmp_path / "single", one)
    same(params(tmp_path / "single", "one")["body"], params(tmp_path / "run", "one")["body"])
    assert params(tmp_path / "single", "one")["head"]["bias"] != params(tmp_path / "run", "one")["head"]["bias"]


def dtypes_of(tree):
    return {x.dtype.name for x in jax.tree.leaves(tree)}


def test_what_is_not_written_again_is_read_straight_in_the_dtype_of_its_pattern(tmp_path, place):
    system, mesh, initial = Halved(), make_mesh(), pretrained(place)

    def frozen(patterns):
        one = stage("one", trainable=patterns)
        return make_program(system, one, mesh, 0, system.shapes, ToyData().batch(0)).frozen

    outside = [Outside(BODY, place, ("scale.npy",))]
    for where, dtype in ((outside, "bfloat16"), ((), "float32")):
        begin = starts.RunStart(system, mesh, tmp_path, 0, initial, where, SHARDING)
        found = begin.variables(frozen(HEAD)).params
        assert (dtypes_of(found["body"]), dtypes_of(found["head"])) == ({dtype}, {"float32"})
    train(tmp_path / "run", stage("one", trainable=BODY, steps=1), system=system)
    end = starts.StageEnd(system, mesh, tmp_path / "run", "one", system.upgrade, None, SHARDING)
    straight, own = end.variables(frozen(HEAD)).params["body"], end.variables({}).params["body"]
    assert (dtypes_of(straight), dtypes_of(own)) == ({"bfloat16"}, {"float32"})
    same(straight, jax.tree.map(lambda x: np.asarray(x).astype(jnp.bfloat16), own))


def run_start_memory(folder, dtype, layers, width, devices=1):
    env = os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "tests.training.start_memory", str(folder), dtype, str(layers), str(width)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_a_base_in_bfloat16_takes_its_own_size_and_never_that_of_float32(tmp_path, devices):
    # Once as it is trained with, and once as it answers.
    for _ in range(2):
        measured = run_start_memory(tmp_path, "bfloat16", 48, 2048, devices)
        assert measured["base"] > 400e6
        # Beside the base: a device's part that is on its way, one tensor, and what the toy's programs take.
        assert measured["peak"] < (1 + 1 / devices) * measured["base"] + 100e6
