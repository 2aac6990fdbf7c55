"""What samples take of a row, told by look-ups, is what they take when they are laid out."""

from dataclasses import replace

import numpy as np
import pytest

from motiongpt3_jax.configs import load_config
from motiongpt3_jax.data_pipelines.packing import needs_of, sizes_of
from motiongpt3_jax.data_pipelines.sample_draws import Visits
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.systems.interface import ModelSpec
from motiongpt3_jax.systems.motion_codes.drafts import encoded_ranges
from motiongpt3_jax.systems.motion_codes.tokens import codes_of
from motiongpt3_jax.systems.registry import find_system
from motiongpt3_jax.text import TASKS, load_templates, train_tokenizer

CAPTIONS = (
    ("a person walks forward, then turns around.", "someone's arms  swing; he stops!"),
    ('a man says "hello" and waves.', "jumps"),
    ("raises the left hand: slowly", "3 steps back...", "a person kicks (hard)"),
    ("naïve: the person dances", " leads with a space", "two\nlines", "<start_of_motion>"),
    (),
)
CASES = {
    "motiongpt3:base": ("vae", "text", "generate", "tune"),
    "motiongpt3:base model.holders=7": ("tune",),
    "motiongpt:base": ("tokenizer", "pretrain", "instruct"),
    "motiongpt:gpt2": ("pretrain", "instruct"),
    "motiongpt:base:official": ("instruct",),
}


LENGTHS = (4, 41, 120, 196, 77)


@pytest.fixture(scope="module")
def tokenizers():
    return {}


@pytest.mark.parametrize(("config", "stage"), [(config, stage) for config, stages in CASES.items() for stage in stages])
def test_sizes_are_those_of_the_layout(config, stage, tokenizers):
    name, *overrides = config.split()
    values = plain(load_config(name, overrides).to_dict())
    kind = find_system(values["system"])
    section, tokens = values["stages"][stage], kind.tokens(values)
    texts = [text for some in CAPTIONS for text in some] * 2
    if tokens not in tokenizers:
        tokenizers[tokens] = train_tokenizer(texts, 300, tokens)
    tokenizer = tokenizers[tokens]
    layout = kind.layout(section, ModelSpec(values, 263, tokenizer))
    names = load_templates(section["templates"], kind.tasks) if section["templates"] else ["clip"]
    visits = Visits(
        seed=1,
        subtasks=[(name, 1.0) for name in names],
        shuffle=True,
        crop=True,
        lengths=LENGTHS,
        captions=CAPTIONS,
    )
    table = visits.tabulate(visits.order(0), visits.draws(0, 0, len(visits.order(0))))
    shape = kind.row_shape(section)
    sizes = layout.sizes(table)
    told = needs_of(sizes, shape)
    found = needs_of(sizes_of(layout(table.samples()), shape, layout.schema), shape)
    np.testing.assert_array_equal(told[sizes.known], found[sizes.known])
    # Officially nothing is told: each sample has a row of its own there.
    assert values["layout"].get("official") or sizes.known.mean() > 0.4


def test_codes_that_are_there_take_no_clip():
    values = plain(load_config("motiongpt:gpt2", []).to_dict())
    kind, section = find_system("motiongpt"), values["stages"]["instruct"]
    tokenizer = train_tokenizer([text for some in CAPTIONS for text in some], 300, kind.tokens(values))
    layout = kind.layout(section, ModelSpec(values, 263, tokenizer))
    names = load_templates(section["templates"], kind.tasks)
    codes = [
        {part: np.zeros(codes_of(part.frames), np.int32) for part in encoded_ranges(TASKS.values(), frames, False)}
        for frames in LENGTHS
    ]
    visits = Visits(0, [(name, 1.0) for name in names], True, False, LENGTHS, CAPTIONS, codes=codes)
    table = visits.tabulate(visits.order(0), visits.draws(0, 0, len(visits.order(0))))
    shape = replace(kind.row_shape(section), clips=())
    sizes = layout.sizes(table)
    found = needs_of(sizes_of(layout(table.samples()), shape, layout.schema), shape)
    np.testing.assert_array_equal(needs_of(sizes, shape)[sizes.known], found[sizes.known])
    assert sizes.known.mean() > 0.4
