"""The parts of a model that come trained from elsewhere: the tokenizer of motion, and the language model."""

PARTS = {"tokenizer": "vqvae/.*", "language": ".*"}
"""The parameters of each part, by their paths: the first pattern that fits says it; the stage of its name trains it."""

CODES = ("code_width", "codes")
PART_SIZES = {
    "tokenizer": {"vqvae": ("width", "depth", "dilation_growth", *CODES)},
    "language": {
        "vqvae": CODES[1:],
        "language": ("width", "layers", "heads", "head_width", "mlp_width", "max_positions"),
    },
}
"""The values of a config's section `model` that each part was trained with and cannot do without."""
