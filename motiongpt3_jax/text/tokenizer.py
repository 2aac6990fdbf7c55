"""Byte-level BPE as GPT-2 has it, with six tokens more: two that mark motion in text, four that stand for motion.

Ids, with GPT-2's in brackets:

    0 .. base - 2    pieces of words
    base - 1         <|endoftext|> (50256): begins, ends and pads texts
    base             <start_of_motion> (50257)
    base + 1         <end_of_motion> (50258)
    base + 2         <masked_motion> (50259): the first id that is no text
    base + 3         <pad_motion>
    base + 4         <motion_latent_holder_output>: a place for a chunk of a motion to be generated
    base + 5         <motion_latent_holder> (50262): a place for a chunk of a given motion
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from jaxtyping import Int
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

from motiongpt3_jax import hub

END = "<|endoftext|>"
SPECIALS = (
    "<start_of_motion>",
    "<end_of_motion>",
    "<masked_motion>",
    "<pad_motion>",
    "<motion_latent_holder_output>",
    "<motion_latent_holder>",
)
"""The added tokens in the order of their ids, which follow the base vocabulary."""

SMALLEST = 257
"""Ids of a vocabulary without any merge: the bytes and the end."""

LARGEST = 2**18
"""Ids of the largest vocabulary in use; the trainer reserves memory for all that it is asked for."""

HUB_FILES = ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
"""What a tokenizer on the hub is made of."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to ids and back; can be pickled.

    Attributes:
      backend: the BPE with all tokens added.
      base_vocabulary: number of ids before the added ones; the last of them is `end`.
    """

    backend: tokenizers.Tokenizer
    base_vocabulary: int

    @property
    def end(self) -> int:
        """Begins, ends and pads texts."""
        return self.base_vocabulary - 1

    @property
    def start_of_motion(self) -> int:
        """Stands in the text before a motion."""
        return self.base_vocabulary

    @property
    def end_of_motion(self) -> int:
        """Stands in the text behind a motion."""
        return self.base_vocabulary + 1

    @property
    def text_vocabulary(self) -> int:
        """Number of ids that are text; motion ids count on from here."""
        return self.base_vocabulary + 2

    @property
    def masked_motion(self) -> int:
        """A chunk of motion that is missing."""
        return self.base_vocabulary + 2

    @property
    def pad_motion(self) -> int:
        """A place for motion that stays empty."""
        return self.base_vocabulary + 3

    @property
    def output_holder(self) -> int:
        """A chunk of motion to be generated."""
        return self.base_vocabulary + 4

    @property
    def input_holder(self) -> int:
        """A chunk of motion that is given."""
        return self.base_vocabulary + 5

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.base_vocabulary + len(SPECIALS)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; nothing is added or stripped.

        Raises:
          ValueError: it holds bytes that are no Unicode, such as those of a file that is not in UTF-8.
        """
        require_unicode(text)
        return self.backend.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, faster than one by one."""
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode_spans(self, texts: Sequence[str]) -> list[tuple[Int[np.ndarray, "ids"], Int[np.ndarray, "ids"]]]:
        """For each text its ids and where, in characters, the text of each id ends."""
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=False)
        return [
            (np.array(encoding.ids, np.int32), np.array([end for _, end in encoding.offsets], np.int32))
            for encoding in encodings
        ]

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of some ids.

        Args:
          ids: any of the ids.
          skip_special: leaves out `<|endoftext|>` and the added tokens.
        """
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def save(self, folder: str | Path) -> None:
        """Writes files that `load_tokenizer` reads, and transformers' AutoTokenizer too."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": END,
            "eos_token": END,
            "pad_token": END,
            "clean_up_tokenization_spaces": False,
        }
        _write(folder / "tokenizer_config.json", json.dumps(config, indent=1) + "\n")
        _write(folder / "tokenizer.json", self.backend.to_str())


def require_unicode(text: str) -> None:
    """Raises ValueError when a text holds bytes that are no Unicode, such as those of a file that is not in UTF-8."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError(f"{text!a} holds bytes that are no Unicode text; write it in UTF-8")


def load_tokenizer(name_or_folder: str | Path) -> Tokenizer:
    """A tokenizer from a folder (`tokenizer.json`, or GPT-2's `vocab.json` and `merges.txt`) or a hub name like "gpt2".

    Raises:
      FileNotFoundError: there is no such tokenizer.
      ValueError: it cannot be read, or is not of GPT-2's kind.
    """
    folder = Path(os.path.expanduser(name_or_folder))
    if (folder / "tokenizer.json").is_file():
        try:
            backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{folder / 'tokenizer.json'} is no tokenizer's file: {error}") from None
        return _complete(backend, str(folder))
    if folder.is_dir() and not (folder / "vocab.json").is_file():
        raise FileNotFoundError(
            f"no tokenizer in the folder {str(folder)!r}: it has neither tokenizer.json nor vocab.json"
        )
    path = isinstance(name_or_folder, Path) or name_or_folder.startswith(("/", ".", "~"))
    if path and not folder.is_dir():
        raise FileNotFoundError(f"no tokenizer at {str(folder)!r}: there is no such folder")
    if not folder.is_dir():
        return load_tokenizer(_download(str(name_or_folder)))
    return _complete(_by_transformers(folder), str(folder))


def train_tokenizer(captions: Iterable[str], size: int) -> Tokenizer:
    """A small tokenizer of the same kind for the words of some captions.

    Args:
      captions: what it shall encode briefly; it encodes everything else too.
      size: base vocabulary, `<|endoftext|>` included; fewer when the captions do not give as many pieces.

    Raises:
      ValueError: `size` has no room for all bytes and the end, or is larger than any that is in use.
    """
    check_size(size)
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(captions, trainer)
    backend.add_special_tokens([AddedToken(END, special=True, normalized=False)])
    return _complete(backend, "the trained tokenizer")


def check_size(size: int) -> None:
    """Raises ValueError when no tokenizer of so many ids can be trained."""
    if size < SMALLEST:
        raise ValueError(
            f"a tokenizer of {size} ids was asked for; at least {SMALLEST} are needed: all bytes and {END}"
        )
    if size > LARGEST:
        raise ValueError(f"a tokenizer of {size} ids was asked for; {LARGEST} are the most: ask for fewer")


def _complete(backend: tokenizers.Tokenizer, name: str) -> Tokenizer:
    """Adds the six tokens where they are missing; checks that all ids lie where they must."""
    found = backend.token_to_id(SPECIALS[0])
    base = backend.get_vocab_size() if found is None else found
    if backend.token_to_id(END) != base - 1:
        raise ValueError(
            f"the tokenizer {name!r} is not of GPT-2's kind: {END} must be the last of its {base} ids; use gpt2, or "
            "train one"
        )
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, lstrip=False, rstrip=False) for token in SPECIALS]
    )
    wanted = [base + i for i in range(len(SPECIALS))]
    if [backend.token_to_id(token) for token in SPECIALS] != wanted or backend.get_vocab_size() != wanted[-1] + 1:
        raise ValueError(f"the tokenizer {name!r} has other tokens where {', '.join(SPECIALS)} must be: {wanted}")
    # Without trimming, a piece's span includes its leading space: then spans leave no gaps.
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.no_padding()
    backend.no_truncation()
    return Tokenizer(backend, base)


def _download(name: str) -> Path:
    try:
        return Path(hub.snapshot(name, HUB_FILES))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no tokenizer {name!r}: no such folder here, and {error}. Give a folder with tokenizer.json, or with "
            "vocab.json and merges.txt"
        ) from error


def _by_transformers(folder: Path) -> tokenizers.Tokenizer:
    # Importing transformers takes seconds, and warns on stderr that there is no PyTorch.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer
    except Exception as error:  # the two libraries raise whatever they stumble over
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"the tokenizer in {str(folder)!r} cannot be read: {cause}") from None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
