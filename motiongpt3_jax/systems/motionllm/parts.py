"""The parts that come trained from elsewhere: the tokenizer of motion, the language model, and what joins them."""

PARTS = {
    "tokenizer": "vqvae/.*",
    "language": r"decoder/(?!.*/lora/).*|vocabulary/(table|head)",
    "pair": r"vocabulary/later(_head)?",
    "motion": ".*",
}
"""The parameters of each part, by their paths: the first pattern that fits says it.

`motion` is what MotionLLM adds to a language model: its adapters, and the rows of motions. `pair` are the rows of two
people.
"""

LANGUAGE_SIZES = (
    *("width", "layers", "heads", "max_positions"),
    *("family", "kv_heads", "head_width", "mlp_width", "norm_eps", "tied"),
    *("rope_theta", "rope_scaling", "rope_local_theta", "sliding_window", "sliding_window_pattern"),
    *("query_pre_attn_scalar", "attention_cap", "logit_cap"),
)
CODES = ("code_width", "codes")
PART_SIZES = {
    "tokenizer": {"vqvae": ("width", "depth", "dilation_growth", *CODES)},
    "language": {"language": LANGUAGE_SIZES},
    "pair": {"language": LANGUAGE_SIZES},
    "motion": {"vqvae": CODES[1:], "language": LANGUAGE_SIZES},
}
"""The values of a config's section `model` that each part was trained with and cannot do without."""
