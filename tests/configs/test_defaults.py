"""Every value of a config has one default, and a comment where it stands."""

import ast
import io
import tokenize
from dataclasses import MISSING, asdict, fields
from pathlib import Path

import pytest

from motiongpt3_jax.configs import language_model, load_config, motion_codes, motiongpt, motiongpt3, motionllm, sections
from motiongpt3_jax.data_pipelines.loader import LoaderOptions, StageData
from motiongpt3_jax.data_pipelines.sources import LEAST_FRAMES, SourceOptions
from motiongpt3_jax.experiment.config import DataConfig, MeshConfig, RunConfig, StageConfig
from motiongpt3_jax.models import DecoderConfig, HeadConfig, VaeConfig
from motiongpt3_jax.systems.motion_codes import config as motion_codes_config
from motiongpt3_jax.systems.motion_codes import drafts as motion_codes_drafts
from motiongpt3_jax.systems.motion_codes import sections as motion_codes_sections
from motiongpt3_jax.systems.motiongpt import sections as motiongpt_sections
from motiongpt3_jax.systems.motiongpt3 import LanguageObjective, LayoutOptions, MotionGPT3Config, VaeObjective
from motiongpt3_jax.systems.motiongpt3.sections import (
    BatchSection,
    DecoderSection,
    HeadSection,
    ModelSection,
    VaeSection,
)
from motiongpt3_jax.systems.motionllm import sections as motionllm_sections
from motiongpt3_jax.training import OptimizerConfig, Stage
from motiongpt3_jax.values import rules_of

SECTIONS = (
    *(RunConfig, DataConfig, MeshConfig, StageConfig, OptimizerConfig, LayoutOptions, VaeObjective, LanguageObjective),
    *(ModelSection, VaeSection, DecoderSection, HeadSection, BatchSection),
    *(motion_codes_config.TokenizerObjective, motion_codes_config.LanguageObjective, motion_codes_drafts.LayoutOptions),
    *(motion_codes_sections.VqVaeSection, motion_codes_sections.BatchSection),
    *(motiongpt_sections.ModelSection, motiongpt_sections.LanguageSection, motionllm_sections.ModelSection),
)
"""What the sections of a config become."""

FILLED = {
    Stage: ("stages.vae",),
    StageData: ("stages.vae",),
    LoaderOptions: ("", "data", "stages.vae.batch"),
    MotionGPT3Config: ("model",),
    VaeConfig: ("model", "model.vae"),
    DecoderConfig: ("model", "model.decoder"),
    HeadConfig: ("model", "model.head"),
}
"""What is built of them, and the sections that it has values of."""


def defaults_of(cls):
    return [item.name for item in fields(cls) if (item.default, item.default_factory) != (MISSING, MISSING)]


@pytest.mark.parametrize("cls", SECTIONS, ids=lambda cls: cls.__name__)
def test_the_dataclass_of_a_section_has_no_defaults(cls):
    assert defaults_of(cls) == []


@pytest.mark.parametrize("cls", FILLED, ids=lambda cls: cls.__name__)
def test_what_a_config_says_has_no_default_in_what_is_built_of_it(cls):
    for path in FILLED[cls]:
        section = load_config("motiongpt3:base").to_dict()
        for key in filter(None, path.split(".")):
            section = section[key]
        assert [name for name in defaults_of(cls) if name in section] == [], path


@pytest.mark.parametrize("cls", SECTIONS, ids=lambda cls: cls.__name__)
def test_every_value_of_a_section_has_a_rule(cls):
    # Which of these a config has depends on its system.
    others = ["tokenizer", "pretrained", "values"] if cls is RunConfig else []
    assert [item.name for item in fields(cls) if item.name not in rules_of(cls)] == others


def test_options_of_a_source_have_their_defaults_in_its_dataclass_alone():
    defaults = asdict(SourceOptions()) | {"min_frames": LEAST_FRAMES["procedural"]}
    del defaults["seed"]
    assert sections.data("procedural").items() >= defaults.items()
    assert not {key.value for key, value in entries(sections) if isinstance(value, ast.Constant)} & defaults.keys()


def entries(module):
    """(key, value) of every value of a section that a module writes out: no section, and no change of another one."""
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.Dict) and len(node.keys) > 2:
            for key, value in zip(node.keys, node.values):
                if isinstance(key, ast.Constant) and not isinstance(value, ast.Dict):
                    yield key, value


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (sections, ("data", "mesh", "optimizer", "stage")),
        (language_model, ("language_model",)),
        (motiongpt3, ("VAE_OBJECTIVE", "LANGUAGE_OBJECTIVE", "model", "layout", "batch")),
        (motion_codes, ("OBJECTIVES", "vqvae", "layout", "batch")),
        (motiongpt, ("model",)),
        (motionllm, ("model",)),
    ],
)
def test_every_value_is_commented_where_it_stands(module, names):
    source = Path(module.__file__).read_text()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    seen = set()
    for node in ast.parse(source).body:
        name = node.targets[0].id if isinstance(node, ast.Assign) else getattr(node, "name", None)
        if name in names:
            keys = [key for part in ast.walk(node) if isinstance(part, ast.Dict) for key in part.keys if key]
            values = [
                key for key in keys if key.value not in ("vae", "decoder", "head", "vqvae", "language", "tokenizer")
            ]
            assert values
            assert [key.value for key in values if key.lineno - 1 not in commented] == []
            seen.add(name)
    assert seen == {*names}


@pytest.mark.parametrize("module", [motiongpt, motiongpt3, motionllm])
def test_the_values_at_the_root_of_a_config_are_commented(module):
    lines = Path(module.__file__).read_text().splitlines()
    for key in ("system", "seed", "tokenizer", "pretrained", "start", "run"):
        number = next(i for i, line in enumerate(lines) if line.startswith(f'            "{key}": '))
        assert lines[number - 1].strip().startswith("#"), key
