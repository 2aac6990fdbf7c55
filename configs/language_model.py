"""Values of a decoder language model's section, commented where they stand, and the blocks of GPT-2."""

from typing import Any


def language_model(width: int, layers: int, heads: int) -> dict[str, Any]:
    """The section that `systems.language_models.LanguageModelSection` describes."""
    return {
        # Of the hidden states.
        "width": width,
        # Blocks.
        "layers": layers,
        # Attention heads of each layer.
        "heads": heads,
        # Rows of the position tables: the longest sequence.
        "max_positions": 1024,
        # Whether the layers run in one compiled loop; changes compile time alone.
        "scan": True,
        # What layers keep for the backward pass, from most memory to least: "none" all that it reads, "dots" the
        # results of all products, "dots_no_batch" of those with kernels alone, "full" their inputs; the rest is
        # computed again.
        "remat": "none",
        # Kind of the blocks: "gpt2" has layer norms, learned positions, a GELU MLP and biases; "llama" RMS norms,
        # rotary positions, a gated SiLU MLP and no biases; "qwen2" the same with biases of queries, keys and
        # values; "qwen3" with norms of queries and keys instead; "gemma2" has a norm behind each branch too, a
        # gated GELU MLP and scaled embeddings; "gemma3" norms of queries and keys besides.
        "family": "gpt2",
        # Heads of keys and values, each shared by a group of query heads; None for as many as there are queries.
        "kv_heads": None,
        # Width of a head; None for heads that are as wide as the hidden states together.
        "head_width": None,
        # Hidden width of the MLP; None for four times the width.
        "mlp_width": None,
        # Smallest divisor of the norms.
        "norm_eps": 1e-5,
        # Base of rotary positions: the larger, the slower the slowest rotations.
        "rope_theta": 10_000.0,
        # (factor, low, high, positions): rotary frequencies that turn fewer than `low` times over so many positions
        # are divided by the factor, those from `high` on stay, as in Llama 3.1; a number divides all, as in Gemma
        # 3; None scales none.
        "rope_scaling": None,
        # Base of rotary positions in layers with a window, which nothing scales; None for that of all.
        "rope_local_theta": None,
        # Positions that a query sees in layers with a sliding window, its own counted; None for no windows.
        "sliding_window": None,
        # The last of each so many layers has no window: 2 in Gemma 2, 6 in Gemma 3; None for windows in all.
        "sliding_window_pattern": None,
        # Attention scores are divided by its root; None for the width of a head.
        "query_pre_attn_scalar": None,
        # Soft cap of attention scores, cap * tanh(score / cap): 50 in Gemma 2; None for none.
        "attention_cap": None,
        # The same of the text's logits: 30 in Gemma 2.
        "logit_cap": None,
        # Whether one table reads and writes the text's ids; False gives the logits a head of their own.
        "tied": True,
    }
