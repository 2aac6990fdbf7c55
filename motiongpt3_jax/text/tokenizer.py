"""Byte-level BPE as in GPT-2, and the six tokens that stand for motion.

0 ... base - 2    byte pairs
base - 1          <|endoftext|>: begins, ends and pads
base, base + 1    <start_of_motion>, <end_of_motion>: words of the text branch
base + 2 ...      <masked_motion>, <pad_motion>, <motion_latent_holder_output>, <motion_latent_holder>
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Encoder

END = "<|endoftext|>"
START_OF_MOTION = "<start_of_motion>"
END_OF_MOTION = "<end_of_motion>"
MASKED_MOTION = "<masked_motion>"
PAD_MOTION = "<pad_motion>"
OUTPUT_HOLDER = "<motion_latent_holder_output>"
INPUT_HOLDER = "<motion_latent_holder>"

MOTION_TOKENS = (START_OF_MOTION, END_OF_MOTION, MASKED_MOTION, PAD_MOTION, OUTPUT_HOLDER, INPUT_HOLDER)
"""In the order of their ids; the first two are words of the text branch."""

FILE = "tokenizer.json"


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back; small, and the same after pickling.

    Attributes:
      encoder: byte pairs with `<|endoftext|>` as the last id; the motion tokens are added where they are missing.

    Raises:
      ValueError: the encoder's ids are not laid out as above.
    """

    encoder: Encoder

    def __post_init__(self) -> None:
        end = self.encoder.token_to_id(END)
        if end is None:
            raise ValueError(f"the tokenizer has no {END} token; use a GPT-2 tokenizer or train one from captions")
        self.encoder.add_special_tokens([AddedToken(token, normalized=False) for token in MOTION_TOKENS])
        ids = [self.encoder.token_to_id(token) for token in MOTION_TOKENS]
        if ids != list(range(end + 1, end + 1 + len(ids))) or self.encoder.get_vocab_size() != ids[-1] + 1:
            raise ValueError(f"the tokenizer's last token is not {END}; remove the tokens that were added behind it")
        # With trimmed offsets a space would end where its word begins.
        self.encoder.post_processor = processors.ByteLevel(trim_offsets=False)

    @property
    def base_vocabulary(self) -> int:
        """Ids before the motion tokens: 50257 for GPT-2."""
        return self.end + 1

    @property
    def end(self) -> int:
        """`<|endoftext|>`, which also begins and pads."""
        return self.encoder.token_to_id(END)

    @property
    def start_of_motion(self) -> int:
        """The word after which a motion's slots stand."""
        return self.encoder.token_to_id(START_OF_MOTION)

    @property
    def end_of_motion(self) -> int:
        """The word that closes a motion's slots."""
        return self.encoder.token_to_id(END_OF_MOTION)

    @property
    def text_vocabulary(self) -> int:
        """Ids of the text branch; the motion branch's ids follow."""
        return self.base_vocabulary + 2

    @property
    def masked_motion(self) -> int:
        """A slot of motion that is left out."""
        return self.encoder.token_to_id(MASKED_MOTION)

    @property
    def pad_motion(self) -> int:
        """A slot of motion that is none."""
        return self.encoder.token_to_id(PAD_MOTION)

    @property
    def output_holder(self) -> int:
        """A slot whose hidden state conditions the diffusion head."""
        return self.encoder.token_to_id(OUTPUT_HOLDER)

    @property
    def input_holder(self) -> int:
        """A slot that a clip's latent fills."""
        return self.encoder.token_to_id(INPUT_HOLDER)

    @property
    def size(self) -> int:
        """All ids."""
        return self.text_vocabulary + len(MOTION_TOKENS) - 2

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens written in it are recognised."""
        return self.encoder.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        return [encoding.ids for encoding in self.encoder.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_spans(self, texts: Sequence[str]) -> list[tuple[Int[np.ndarray, "tokens"], Int[np.ndarray, "tokens"]]]:
        """For each text its ids, and the character at which each id ends."""
        return [
            (np.array(encoding.ids, np.int32), np.array([stop for _, stop in encoding.offsets], np.int32))
            for encoding in self.encoder.encode_batch(list(texts), add_special_tokens=False)
        ]

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of ids, without the special tokens unless they are asked for."""
        return self.encoder.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def save(self, folder: str | Path) -> None:
        """Writes what `load_tokenizer` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f"{FILE}.new"
        self.encoder.save(str(fresh))
        os.replace(fresh, folder / FILE)


def load_tokenizer(name_or_folder: str | Path) -> Tokenizer:
    """GPT-2's tokenizer by its name on the Hugging Face hub or from a folder, or one that was saved; a `Path` is no name.

    Raises:
      FileNotFoundError: there is no such folder and no such name.
      ValueError: its tokenizer is not laid out as GPT-2's.
    """
    path = Path(name_or_folder) / FILE
    if path.is_file():
        try:
            encoder = Encoder.from_file(str(path))
        except Exception as error:  # the reader raises nothing narrower
            raise ValueError(f"{path} holds no tokenizer: {error}") from error
        return _named(encoder, name_or_folder)
    if isinstance(name_or_folder, Path) and not name_or_folder.is_dir():
        raise FileNotFoundError(f"no tokenizer at {str(name_or_folder)!r}: there is no such folder")
    # Slow to import, and a saved tokenizer does without.
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(str(name_or_folder))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no tokenizer at {str(name_or_folder)!r}: give a folder with {FILE} (or vocab.json and merges.txt) "
            "or the name of a GPT-2 model that the Hugging Face hub has"
        ) from error
    return _named(loaded.backend_tokenizer, name_or_folder)


def train_tokenizer(captions: Iterable[str], size: int) -> Tokenizer:
    """A small byte-level BPE of captions, split into words as GPT-2 does.

    Args:
      captions: what it shall write shortly; every other text is covered too, byte by byte in the worst case.
      size: base vocabulary: bytes, merges and `<|endoftext|>`. Captions with too few pairs to merge give less.

    Raises:
      ValueError: `size` leaves no room for the bytes.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if size <= len(alphabet):
        raise ValueError(f"a byte-level tokenizer needs at least {len(alphabet) + 1} tokens; {size} were asked for")
    encoder = Encoder(models.BPE())
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size - 1, initial_alphabet=alphabet, show_progress=False)
    encoder.train_from_iterator(captions, trainer)
    encoder.add_special_tokens([AddedToken(END, normalized=False)])
    return Tokenizer(encoder)


def _named(encoder: Encoder, source: str | Path) -> Tokenizer:
    try:
        return Tokenizer(encoder)
    except ValueError as error:
        raise ValueError(f"{str(source)!r} cannot be used: {error}") from error
