"""A small tokenizer of the kind of Llama 3's."""

import json

import tokenizers

CAPTIONS = ["a person walks forward.", "a person walks back and waves", "the person runs forward"] * 3


def llama_folder(folder, **named):
    """A tokenizer with several special tokens behind its words, as Llama 3's: what begins texts, ends them, others."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r" ?[^\s]+|\s+"), "isolated")
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [split, tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=280, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(CAPTIONS, trainer)
    backend.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"])
    begin = ("<|begin_of_text|>", backend.token_to_id("<|begin_of_text|>"))
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[begin]
    )
    folder.mkdir(exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    ends = {"bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"}, **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(ends))
    return folder
