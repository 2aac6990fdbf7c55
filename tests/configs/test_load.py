import sys

import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.configs.motiongpt3 import get_config


@pytest.mark.parametrize("variant", ["base", "tiny", "demo", "test"])
@pytest.mark.parametrize("deviations", ["", "official"])
def test_every_stage_that_a_config_runs_is_described(variant, deviations):
    config = get_config(variant, deviations)
    assert set(config.run) <= set(config.stages)


@pytest.mark.parametrize("variant", ["base", "tiny", "demo", "test"])
@pytest.mark.parametrize("deviations", ["", "official"])
def test_the_longest_clip_fits_into_a_bucket_and_every_bucket_into_the_vae(variant, deviations):
    config = get_config(variant, deviations)
    for stage in config.stages.values():
        buckets = [frames for frames, _ in stage.batch.clips]
        assert not buckets or config.data.max_frames <= max(buckets)
        assert max(buckets, default=0) <= config.model.vae.max_frames - 2 * config.model.vae.latents


def test_overrides_replace_values_of_nested_keys():
    config = load_config("motiongpt3:tiny", ["stages.vae.steps=7", "data.path=/some/where", "run=('vae',)"])
    assert config.stages.vae.steps == 7
    assert config.data.path == "/some/where"
    assert config.run == ("vae",)


@pytest.mark.parametrize("name", ["motiongpt:base", "motiongpt:demo", "motiongpt3:base"])
def test_a_stages_rows_are_its_own(name):
    before = load_config(name).to_dict()
    part = load_config(name).run[-1]
    after = load_config(name, [f"stages.{part}.batch.rows=3"]).to_dict()
    if "slots" in before["stages"][part]["batch"]:
        after = load_config(name, [f"stages.{part}.batch.slots.source=24"]).to_dict()
    for each, stage in before["stages"].items():
        assert (after["stages"][each]["batch"] == stage["batch"]) == (each != part)


def test_a_whole_number_does_for_a_real_one():
    assert load_config("motiongpt3:tiny", ["seed=3", "stages.vae.optimizer.weight_decay=1"]).seed == 3


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("nothing:base", [], "no config 'nothing'; there are: motiongpt, motiongpt3, motionllm;"),
        ("motiongpt3:huge", [], "motiongpt3:base"),
        ("missing.py", [], "config file 'missing.py' does not exist"),
        ("motiongpt3:tiny", ["stages.vae.step=7"], "the config has no 'stages.vae.step'"),
        ("motiongpt3:tiny", ["seed.x=7"], "the config has no 'seed.x'"),
        ("motiongpt3:tiny", ["seed=often"], "seed is int"),
        ("motiongpt3:tiny", ["seed"], "has no value"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(name, overrides, said):
    with pytest.raises(ValueError, match=said):
        load_config(name, overrides)


def test_a_file_is_a_config_too(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from motiongpt3_jax.configs.motiongpt3 import tiny\n\ndef get_config():\n    return tiny()\n")
    assert load_config(str(path), ["seed=5"]).seed == 5


def test_a_file_is_read_anew_each_time_and_nothing_is_left_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for seed in (1, 2):
        path.write_text(
            f"from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({{'seed': {seed}}})\n"
        )
        assert load_config(str(path)).seed == seed
    assert [*tmp_path.iterdir()] == [path]


def test_official_switches_every_deviation_off():
    config = get_config("base", "official")
    layout = config.layout
    assert layout.prompt_loss
    assert layout.pad_loss
    assert layout.unpredictable_targets
    assert layout.interleave
    assert layout.max_position_offset == 0
    assert not config.data.shuffle
    assert config.data.crop
    assert config.model.latent_scale == 0.8457
    vae = config.stages.vae
    assert vae.objective.padding
    assert (vae.batch.rows, vae.batch.samples) == (64, 1)
    for stage in config.stages.values():
        assert stage.objective.dropout
        assert (stage.optimizer.clip_norm, stage.optimizer.warmup_steps) == (None, 0)
        assert stage.optimizer.schedule == "constant"
    for name in ("generate", "align_bare", "align_instruct", "tune"):
        stage = config.stages[name]
        assert stage.batch.samples == 1
        assert stage.batch.text_slots == 192
        assert stage.objective.vae_dropout
        assert stage.objective.condition_dropout == (0.1 if name == "generate" else 0.0)


def test_official_asks_the_embedded_data_for_clips_that_it_can_make():
    assert get_config("tiny", "official").data.min_frames == get_config("tiny").data.min_frames
    assert get_config("base", "official").data.min_frames == 20


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("def get_config(:\n", "line 1: SyntaxError"),
        ("\nimport nothing_like_this\n", "line 2: ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("def get_config():\n    raise KeyError('start')\n", "line 2: KeyError: 'start'"),
        ("raise SystemExit(0)\n", "line 1: SystemExit: 0"),
        ("config = 1\n", "has no function get_config"),
        ("def get_config():\n    return {}\n", "get_config returns a dict; return an ml_collections.ConfigDict"),
        ("def get_config(variant):\n    return variant\n", "missing a required argument: 'variant'"),
    ],
)
def test_a_config_file_that_does_not_work_is_named_with_its_line(tmp_path, content, said):
    path = tmp_path / "mine.py"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"config file '.*mine\.py'") as error:
        load_config(str(path))
    assert said in str(error.value)


def test_more_words_than_a_config_takes_are_refused():
    with pytest.raises(ValueError, match="config motiongpt3 does not take 'test:official:extra' behind its name"):
        load_config("motiongpt3:test:official:extra")


@pytest.mark.parametrize("text", ["5", "None", "{}"])
def test_a_section_is_set_by_its_values_alone(text):
    with pytest.raises(ValueError, match=r"config\.model is a section; set one of its values: .*model\.flow"):
        load_config("motiongpt3:test", [f"model={text}"])


def test_a_section_without_values_is_set_by_a_dictionary():
    config = load_config("motiongpt3:test", ["model.lora={'a': {'rank': 4}}"])
    assert config.model.lora.to_dict() == {"a": {"rank": 4}}
    with pytest.raises(ValueError, match=r"config\.model\.lora is a section, not int \(4\): give a dictionary"):
        load_config("motiongpt3:test", ["model.lora=4"])


@pytest.mark.parametrize("text", ["(" * 300, "-" * 20_000 + "1", "{[]: 1}"])
def test_what_python_cannot_read_as_a_value_is_text(text):
    assert load_config("motiongpt3:test", [f"tokenizer={text}"]).tokenizer == text
    with pytest.raises(ValueError, match="learning_rate is float"):
        load_config("motiongpt3:test", [f"stages.vae.optimizer.learning_rate={text}"])


def test_a_number_of_more_digits_than_any_float_is_refused():
    with pytest.raises(ValueError, match="learning_rate is float, and has more digits here than any float"):
        load_config("motiongpt3:test", ["stages.vae.optimizer.learning_rate=0x" + "f" * 6000])
