"""A small tokenizer of the kind of Gemma's."""

import json

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

PIECES = ("▁a", "▁person", "▁walks", "person", "walks")
SPECIALS = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")


def gemma_folder(folder, prefix=False):
    """Spaces are characters of pieces, unknown characters are bytes; `prefix` puts a space before texts, as Llama 2."""
    characters = sorted({character for piece in PIECES for character in piece} | set("bcdfgh.\n"))
    vocabulary = {token: number for number, token in enumerate(SPECIALS)}
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    merges = []
    for token in characters:
        vocabulary.setdefault(token, len(vocabulary))
    for piece in PIECES:
        for end in range(2, len(piece) + 1):
            if piece[:end] not in vocabulary:
                vocabulary[piece[:end]] = len(vocabulary)
                merges.append((piece[: end - 1], piece[end - 1]))
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    backend.normalizer = normalizers.Sequence(steps) if prefix else steps[1]
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(list(SPECIALS))
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    named = {"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder
