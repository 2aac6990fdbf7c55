"""GPT-2's own tokenizer, where its files are: the folder MOTION_GPT2_DIR, by default beside the golden fixtures."""

import os
from pathlib import Path

import pytest

from motiongpt3_jax.systems.motiongpt3.prompts import TOKEN_SPEC
from motiongpt3_jax.text import Tokenizer, load_tokenizer
from tests.golden import FOLDER


@pytest.fixture(scope="session")
def gpt2_folder() -> Path:
    folder = Path(os.environ.get("MOTION_GPT2_DIR") or FOLDER.parent / "tokenizer" / "gpt2")
    if not (folder / "tokenizer.json").is_file():
        pytest.skip(f"GPT-2's tokenizer is not at {folder}; set MOTION_GPT2_DIR")
    return folder


@pytest.fixture(scope="session")
def gpt2(gpt2_folder: Path) -> Tokenizer:
    return load_tokenizer(gpt2_folder, TOKEN_SPEC)
