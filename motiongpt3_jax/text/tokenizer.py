"""Tokenizers: BPE of bytes as GPT-2 has it or of characters as Gemma, or SentencePiece's unigram model; added tokens.

Ids of the kinds:

    BPE       0 .. base - 2 pieces of words, base - 1 <|endoftext|>, which begins, ends and pads texts; those of others
              than GPT-2, as Llama 3's, say which of their ids ends texts, and which begins them
    UNIGRAM   0 <pad>, 1 </s>, which ends texts, 2 <unk>, then pieces of words, up to base - 1; T5's own end with its
              sentinels, <extra_id_99> .. <extra_id_0>
    BPE of characters with tokens of bytes for those that it does not know: as those of others than GPT-2
    all       from base on the added tokens, in their order
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Int
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors, trainers

from motiongpt3_jax import hub
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.text.sentencepiece_model import read_sentencepiece

END = "<|endoftext|>"
"""The token with which a BPE begins, ends and pads texts."""

BPE = "byte-level BPE"
"""The kind of tokenizer that GPT-2 has."""

CHARACTER_BPE = "SentencePiece BPE"
"""The kind of tokenizer that Gemma has: spaces are characters, and unknown characters are bytes."""

SPACE = "▁"
"""How SentencePiece's tokens write a space."""

UNIGRAM = "SentencePiece unigram"
"""The kind of tokenizer that T5 has."""

ENDS: Mapping[str, str] = {BPE: END, UNIGRAM: "</s>"}
"""The token that ends a text, by the kind of tokenizer."""

DIGITS = 6
"""Of the scores of a unigram model's pieces."""

STEP = 1e-4
"""Between the scores of characters that the trainer of a unigram model puts in."""

SIGNS = tuple(map(chr, range(ord("!"), ord("~") + 1)))
"""Characters that a unigram model knows at least: those of ASCII that are seen."""

UNIGRAM_SPECIALS = ("<pad>", "</s>", "<unk>")
"""The first ids of a unigram tokenizer: padding, end of text, unknown."""

SMALLEST = 257
"""Ids of a vocabulary without any merge: the bytes and the end."""

LARGEST = 2**18
"""Ids of the largest vocabulary in use; the trainer reserves memory for all that it is asked for."""

SPIECE = "spiece.model"
"""T5's tokenizer where there is no `tokenizer.json`."""

HUB_FILES = ("tokenizer.json", "vocab.json", "merges.txt", SPIECE, "tokenizer_config.json", "special_tokens_map.json")
"""What a tokenizer on the hub is made of."""


@dataclass(frozen=True)
class TokenSpec:
    """What a system asks of its tokenizer.

    Attributes:
      added: the tokens that it adds, in the order of their ids.
      kinds: the kinds of tokenizer that fit; the first is trained where none is named.
      sentinels: last tokens of the base vocabulary that published tokenizers of the kind have; trained ones get them.
    """

    added: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (BPE,)
    sentinels: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to ids and back; can be pickled.

    Attributes:
      backend: the model with all tokens added.
      base_vocabulary: number of ids before the added ones.
      added: the added tokens; their ids follow the base vocabulary.
      kind: BPE, CHARACTER_BPE or UNIGRAM.
      end_token: ends texts.
      end_id: its id, where it is not that of the kind.
      begin: the token that begins texts; empty for none.
    """

    backend: tokenizers.Tokenizer
    base_vocabulary: int
    added: tuple[str, ...] = ()
    kind: str = BPE
    end_token: str = END
    end_id: int | None = None
    begin: str = ""

    @property
    def end(self) -> int:
        """Ends texts; of a BPE it pads them too."""
        if self.end_id is not None:
            return self.end_id
        return self.base_vocabulary - 1 if self.kind == BPE else UNIGRAM_SPECIALS.index("</s>")

    def id_of(self, token: str) -> int:
        """The id of an added token."""
        return self.base_vocabulary + self.added.index(token)

    @property
    def size(self) -> int:
        """Number of all ids."""
        return self.base_vocabulary + len(self.added)

    def encode(self, text: str) -> list[int]:
        """The ids of a text; nothing is added or stripped.

        Raises:
          UserError: it holds bytes that are no Unicode, such as those of a file that is not in UTF-8.
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
          skip_special: leaves out the end and the added tokens.
        """
        return self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special)

    def save(self, folder: str | Path) -> None:
        """Writes files that `load_tokenizer` reads, and transformers' AutoTokenizer too."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        named: dict[str, Any] = dict.fromkeys(("bos_token", "eos_token", "pad_token"), self.end_token)
        if self.begin:
            named |= {"bos_token": self.begin, "add_bos_token": True}
        if self.kind == UNIGRAM:
            named = dict(zip(("pad_token", "eos_token", "unk_token"), UNIGRAM_SPECIALS))
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **named, "clean_up_tokenization_spaces": False}
        _write(folder / "tokenizer_config.json", json.dumps(config, indent=1) + "\n")
        _write(folder / "tokenizer.json", self.backend.to_str())


def require_unicode(text: str) -> None:
    """Raises UserError when a text holds bytes that are no Unicode, such as those of a file that is not in UTF-8."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"{text!a} holds bytes that are no Unicode text; write it in UTF-8")


def load_tokenizer(name_or_folder: str | Path, spec: TokenSpec = TokenSpec()) -> Tokenizer:
    """A tokenizer from a folder or a hub name like "gpt2" or "google/flan-t5-base".

    Args:
      name_or_folder: where it lies: `tokenizer.json`, T5's `spiece.model`, or GPT-2's `vocab.json` and `merges.txt`.
      spec: what the system asks of it; the added tokens are added where they are missing.

    Raises:
      FileNotFoundError: there is no such tokenizer.
      UserError: it cannot be read, or is not of a kind that fits.
    """
    folder = Path(os.path.expanduser(name_or_folder))
    if (folder / "tokenizer.json").is_file():
        try:
            backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{folder / 'tokenizer.json'} is no tokenizer's file: {error}") from None
        return _complete(backend, str(folder), spec, _named_tokens(folder))
    if (folder / SPIECE).is_file():
        return _complete(read_sentencepiece(folder / SPIECE), str(folder), spec)
    if folder.is_dir() and not (folder / "vocab.json").is_file():
        raise FileNotFoundError(
            f"no tokenizer in the folder {str(folder)!r}: it has neither tokenizer.json nor vocab.json nor {SPIECE}"
        )
    path = isinstance(name_or_folder, Path) or name_or_folder.startswith(("/", ".", "~"))
    if path and not folder.is_dir():
        raise FileNotFoundError(f"no tokenizer at {str(folder)!r}: there is no such folder")
    if not folder.is_dir():
        return load_tokenizer(_download(str(name_or_folder)), spec)
    return _complete(_by_transformers(folder), str(folder), spec, _named_tokens(folder))


def train_tokenizer(captions: Iterable[str], size: int, spec: TokenSpec = TokenSpec()) -> Tokenizer:
    """A small tokenizer of the spec's first kind for the words of some captions.

    Args:
      captions: what it shall encode briefly; a BPE encodes everything else too.
      size: base vocabulary without the spec's sentinels, special ids included; fewer when the captions do not give as
        many pieces.
      spec: what the system asks of it.

    Raises:
      UserError: `size` has no room for all bytes and the end, or is larger than any that is in use.
    """
    check_size(size)
    train = {BPE: _train_bpe, UNIGRAM: _train_unigram}[spec.kinds[0]]
    backend = train(captions, size)
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in spec.sentinels])
    return _complete(backend, "the trained tokenizer", spec)


def blank_tokenizer(spec: TokenSpec, size: int = 1) -> Tokenizer:
    """A tokenizer that knows no word, for what depends on nothing but the size of its base vocabulary."""
    return Tokenizer(tokenizers.Tokenizer(models.BPE()), size, spec.added, spec.kinds[0])


def _train_bpe(captions: Iterable[str], size: int) -> tokenizers.Tokenizer:
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
    return backend


def _train_unigram(captions: Iterable[str], size: int) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        special_tokens=list(UNIGRAM_SPECIALS),
        unk_token="<unk>",
        # Questions have numbers, capitals and signs that captions may lack.
        initial_alphabet=list(SIGNS),
        show_progress=False,
    )
    backend.train_from_iterator(captions, trainer)
    found = json.loads(backend.to_str())["model"]["vocab"]
    costs = {piece: round(-score, DIGITS) for piece, score in found if piece not in UNIGRAM_SPECIALS}
    # The trainer adds scores up in another order each time, which their last digits show. Single characters that it
    # would leave out go in from the lowest score on, each STEP above the one before, in an order of chance.
    lowest, single = max(costs.values()), [piece for piece in costs if len(piece) == 1]
    steps = {piece: (lowest - costs[piece]) / STEP for piece in single}
    inserted = sorted(piece for piece in single if steps[piece] < len(single) and abs(steps[piece] % 1 - 0.5) > 0.48)
    costs |= dict(zip(inserted, sorted(costs[piece] for piece in inserted)))
    pieces = [(piece, -costs[piece]) for piece in sorted(costs, key=lambda piece: (costs[piece], piece))]
    specials = [(piece, 0.0) for piece in UNIGRAM_SPECIALS]
    backend.model = models.Unigram([*specials, *pieces], UNIGRAM_SPECIALS.index("<unk>"), False)
    return backend


def check_size(size: int) -> None:
    """Raises UserError when no tokenizer of so many ids can be trained."""
    if size < SMALLEST:
        raise UserError(f"a tokenizer of {size} ids was asked for; at least {SMALLEST} are needed: all bytes and {END}")
    if size > LARGEST:
        raise UserError(f"a tokenizer of {size} ids was asked for; {LARGEST} are the most: ask for fewer")


def _named_tokens(folder: Path) -> dict[str, Any]:
    """What a folder says of the tokens that begin and end texts."""
    try:
        values = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    values = values if isinstance(values, dict) else {}
    return {key: value.get("content") if isinstance(value, dict) else value for key, value in values.items()}


def _ends(backend: tokenizers.Tokenizer, name: str, base: int, named: Mapping[str, Any]) -> dict[str, Any]:
    """The tokens that end and begin the texts of a BPE, as values of a `Tokenizer`.

    Raises:
      UserError: it puts a space before texts, or has no token that ends them.
    """
    if "".join(backend.encode("a", add_special_tokens=False).tokens).startswith(SPACE):
        raise UserError(
            f"the tokenizer {name!r} puts a space before every text, as Llama 2's, which is not read; those of GPT-2, "
            "Llama 3, Qwen and Gemma are"
        )
    if backend.token_to_id(END) == base - 1:
        return {}
    end, begin = named.get("eos_token"), named.get("bos_token")
    end_id = backend.token_to_id(end) if isinstance(end, str) else None
    if end_id is None or end_id >= base:
        raise UserError(
            f"the tokenizer {name!r} is not of GPT-2's kind: {END} must be the last of its {base} ids, or its "
            "tokenizer_config.json must name an eos_token; use gpt2, or train one"
        )
    begins = isinstance(begin, str) and (named.get("add_bos_token") or backend.encode("").tokens[:1] == [begin])
    return {"end_token": end, "end_id": end_id, "begin": begin if begins else ""}


def _complete(
    backend: tokenizers.Tokenizer, name: str, spec: TokenSpec, named: Mapping[str, Any] = MappingProxyType({})
) -> Tokenizer:
    """Adds the system's tokens where they are missing; checks that all ids lie where they must."""
    kind = UNIGRAM
    if not isinstance(backend.model, models.Unigram):
        kind = CHARACTER_BPE if getattr(backend.model, "byte_fallback", False) else BPE
    if kind not in spec.kinds:
        raise UserError(f"the tokenizer {name!r} is a {kind}; this system takes a {' or a '.join(spec.kinds)}")
    first_added = backend.token_to_id(spec.added[0]) if spec.added else None
    base = backend.get_vocab_size() if first_added is None else first_added
    ends = {} if kind == UNIGRAM else _ends(backend, name, base, named)
    if kind == UNIGRAM and backend.token_to_id(ENDS[kind]) != UNIGRAM_SPECIALS.index(ENDS[kind]):
        raise UserError(f"the tokenizer {name!r} is not of T5's kind: its ids must begin with {UNIGRAM_SPECIALS}")
    backend.add_special_tokens(
        [AddedToken(token, special=True, normalized=False, lstrip=False, rstrip=False) for token in spec.added]
    )
    wanted = [base + i for i in range(len(spec.added))]
    if [backend.token_to_id(token) for token in spec.added] != wanted or backend.get_vocab_size() != base + len(wanted):
        raise UserError(f"the tokenizer {name!r} has other tokens where {', '.join(spec.added)} must be: {wanted}")
    if kind != UNIGRAM:
        # Without trimming, a piece's span includes its leading space: then spans leave no gaps.
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
    backend.no_padding()
    backend.no_truncation()
    return Tokenizer(backend, base, spec.added, kind, **ends)


def _download(name: str) -> Path:
    try:
        return Path(hub.snapshot(name, HUB_FILES))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no tokenizer {name!r}: no such folder here, and {error}. Give a folder with tokenizer.json, with "
            f"{SPIECE}, or with vocab.json and merges.txt"
        ) from error


def _by_transformers(folder: Path) -> tokenizers.Tokenizer:
    # Importing transformers takes seconds, and warns on stderr that there is no PyTorch.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder)).backend_tokenizer
    except Exception as error:  # the two libraries raise whatever they stumble over
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"the tokenizer in {str(folder)!r} cannot be read: {cause}") from None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)
