"""SentencePiece's unigram model of a T5 (`spiece.model`) as a tokenizer, without the library of that name."""

import os
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from motiongpt3_jax.errors import UserError

SENTINELS = 100
"""Ids that T5 puts behind its pieces, for spans that are left out: the last one is <extra_id_0>."""

UNIGRAM_TYPE = 1
"""How the file names the kind of its model."""


def read_sentencepiece(path: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a T5's `spiece.model`, with its sentinels.

    A text is normalised by the file's own map, runs of spaces become one, and every text between added tokens begins
    with a space, as T5's fast tokenizer has it.

    Raises:
      UserError: the file is damaged, or holds another kind of model.
    """
    # Transformers brings the description of the file's format; it takes seconds, and warns that there is no PyTorch.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # of a library that is here by way of others
        raise UserError(f"'{path}' is no SentencePiece model ({error}); copy or download it anew") from None
    if model.trainer_spec.model_type != UNIGRAM_TYPE or not model.pieces:
        raise UserError(f"'{path}' holds no unigram model; give the spiece.model of a T5")
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    backend = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=model.trainer_spec.unk_id))
    one_space = normalizers.Replace(Regex(" {2,}"), " ")
    charmap = model.normalizer_spec.precompiled_charsmap
    backend.normalizer = normalizers.Sequence([normalizers.Precompiled(charmap), one_space]) if charmap else one_space
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    specials = ["<pad>", "</s>", "<unk>", *(f"<extra_id_{number}>" for number in reversed(range(SENTINELS)))]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in specials])
    backend.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return backend
