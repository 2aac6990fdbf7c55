"""The parts of a model that come trained from elsewhere: the VAE, the text branch, and all that joins them."""

from motiongpt3_jax.systems.motiongpt3.gpt2 import TEXT

PARTS = {"vae": "vae/.*", "text": TEXT.pattern, "motion": ".*"}
"""The parameters of each part, by their paths: the first pattern that fits says it."""

TEXT_SIZES = (
    *("width", "layers", "heads", "max_positions"),
    *("family", "kv_heads", "head_width", "mlp_width", "norm_eps", "tied"),
    *("rope_theta", "rope_scaling", "rope_local_theta", "sliding_window", "sliding_window_pattern"),
    *("query_pre_attn_scalar", "attention_cap", "logit_cap"),
)
PART_SIZES = {
    "vae": {"vae": ("width", "layers", "heads", "mlp_width", "latents", "max_frames")},
    "text": {"decoder": TEXT_SIZES},
    "motion": {
        "decoder": (*TEXT_SIZES, "motion_factor", "attention_mode"),
        "head": ("width", "depth", "heads", "time"),
    },
}
"""The values of a config's section `model` that each part was trained with and cannot do without."""

KINDS = {"whole": ("vae", "text", "motion"), "vae": ("vae",), "text": ("text",)}
"""The parts that each kind of checkpoint brings."""
