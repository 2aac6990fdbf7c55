"""An exported MotionGPT3 in PyTorch. Copy this file: it needs torch, numpy, safetensors and tokenizers, nothing else.

    python torch_model.py DIR --text "a person walks" --out walk.npy    joints (frames, joints, 3)
    python torch_model.py DIR --motion features.npy                     a sentence for raw features (frames, features)

    model = MotionGPT3.from_folder("DIR")
    joints = model.text_to_motion(["a person walks", "a person jumps"], frames=[80, 60], seeds=[0, 1])
    sentences = model.caption([features])

`Vae` turns a clip into a latent and back. `LanguageModel` reads text and motion as one row of tokens, each of which has
its own modality's weights; all meet in the attention. `Head` turns noise into a latent, led by the hidden states at a
motion's four tokens, its holders (arXiv 2506.24086). The names in `state_dict()` are those of the official code.
Everything is float32 and without dropout. Features are normalised where they are not called raw; joints are in metres.
"""
# ruff: noqa: D102  (small modules say in their class's docstring what they do)

import argparse
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
    from tokenizers import Tokenizer
    from torch import Tensor, nn
    from torch.nn.utils.rnn import pad_sequence
except ImportError as error:
    raise ImportError(f"{error}; this file needs: pip install torch numpy safetensors tokenizers") from None

END, START, STOP = "<|endoftext|>", "<start_of_motion>", "<end_of_motion>"
HOLDERS, OUTPUT, INPUT = 4, "<motion_latent_holder_output>", "<motion_latent_holder>"
CAPTION, MOTION = "<Caption_Placeholder>", "<Motion_Placeholder>"  # in the questions of `config.json`
MOTION_IDS = 6
UNITS = {"humanml3d": 1.0, "kit": 0.75 / 480}  # metres in the unit of a skeleton's features
LAYER = {"dropout": 0.0, "activation": "gelu", "batch_first": True}  # of every Transformer layer but GPT-2's
STEPS, BETAS = 1000, (0.00085, 0.012)  # of the noise schedule, where `config.json` does not say
WTE = "lm.language_model.transformer.wte.weight"
TIED = tuple(f"lm.language_model.{name}.weight" for name in ("lm_head", "pre_processors.0", "post_processors.0"))
"""Other names of the tensor `WTE`, which a file may leave out."""

BLOCKS = {"family": "gpt2", "norm_eps": 1e-5, "tied": True} | dict.fromkeys(
    ("kv_heads", "head_width", "mlp_width", "sliding_window", "query_pre_attn_scalar", "attention_cap", "logit_cap")
)
"""What a config says of GPT-2's blocks, where it says anything of them."""

STATE = {"1": "state.", "2": "state/"}
"""What the names of the latents' moments begin with, in each format of `model.safetensors`.

Format 1 holds parameters by their official names; format 2 those of the JAX model, by their paths.
"""
STACK = re.compile(r"\.(h|input_blocks|output_blocks|linear_blocks|res_blocks)\.(\d+)\.")
"""The number of a layer in an official name; the JAX model stores layers stacked."""
PATHS = (  # from official names to paths of the JAX model: what matches is replaced, one after another
    (r"^lm\.fake_latent", "null_condition"),
    (r"^lm\.motion_und_head\.layers", "understand"),
    (r"^lm\.language_model\.pre_processors\.1\.weight", "vocabulary.motion.table"),
    (r"^lm\.language_model\.post_processors\.1", "motion_head"),
    (r"^lm\.language_model\.transformer\.", "decoder."),
    (r"^decoder\.wpe\.weight", "decoder.positions.text"),
    (r"^decoder\.wpe_mot\.weight", "decoder.positions.motion"),
    (r"^decoder\.ln_f\.fn\.", "decoder.final_norm."),
    (r"^decoder\.h\.(\w+)\.fn\.(\d)", r"decoder.layers.\2.\1"),
    (r"^(decoder\.\w+)\.0", r"\1.text"),
    (r"^(decoder\.\w+)\.1", r"\1.motion"),
    (r"\.mlp\.c_fc", ".up"),
    (r"\.mlp\.c_proj", ".down"),
    (r"\.c_proj", ".o"),
    (r"\.ln_1", ".attention_norm"),
    (r"\.ln_2", ".mlp_norm"),
    (r"^lm\.diffloss\.net\.", "head."),
    (r"^head\.time_embed\.mlp\.0", "head.time_in"),
    (r"^head\.time_embed\.mlp\.2", "head.time_out"),
    (r"^head\.input_proj", "head.input"),
    (r"^head\.cond_embed\.hidden_embedding", "head.pooling.token"),
    (r"^head\.cond_embed\.hid_pos\.pe", "head.pooling.positions"),
    (r"^head\.cond_embed\.hid_encoder_layer", "head.pooling.layer"),
    (r"^head\.cond_embed\.cond_proj", "head.pooling.project"),
    (r"^head\.res_blocks\.in_ln", "head.blocks.norm"),
    (r"^head\.res_blocks\.mlp\.0", "head.blocks.mlp_in"),
    (r"^head\.res_blocks\.mlp\.2", "head.blocks.mlp_out"),
    (r"^head\.res_blocks\.adaLN_modulation\.1", "head.blocks.modulation"),
    (r"^head\.final_layer\.adaLN_modulation\.1", "head.final_modulation"),
    (r"^head\.final_layer\.linear", "head.final"),
    (r"^vae\.global_motion_token", "vae.latent_tokens"),
    (r"^vae\.query_pos_(\w+)\.pe", r"vae.\1_positions"),
    (r"^vae\.skel_embedding", "vae.embed"),
    (r"^vae\.final_layer", "vae.final"),
    (r"^vae\.(\w+)\.(input|output)_blocks", r"vae.\1.\2s.block"),
    (r"^vae\.(\w+)\.linear_blocks", r"vae.\1.outputs.join"),
    (r"^vae\.(\w+)\.middle_block", r"vae.\1.middle"),
    (r"^(vae\.decoder\..*)\.norm2", r"\1.cross_norm"),
    (r"\.norm1", ".self_norm"),
    (r"\.norm[23]", ".mlp_norm"),
    (r"\.linear1", ".mlp_in"),
    (r"\.linear2", ".mlp_out"),
    (r"\.self_attn", ".self_attention"),
    (r"\.multihead_attn", ".cross_attention"),
    (r"\.in_proj_weight", ".in_kernel"),
    (r"\.in_proj_bias", ".in_bias"),
    (r"\.out_proj", ".out"),
    (r"(norm(\.text|\.motion)?)\.weight$", r"\1.scale"),
    (r"\.weight$", ".kernel"),
    (r"\.", "/"),
)

Pair = Sequence[Tensor]
"""What the text branch and the motion branch make of every token, (batch, tokens, width of the branch) each."""
Cache = Sequence[Sequence[Tensor]]
"""Keys and values of every layer, (batch, heads, tokens so far, head width) each."""


def official_tensors(params: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """State dict of official `names` from the parameters of the JAX model by their paths, as far as they are there.

    Raises ValueError when there are other parameters than the names need.
    """
    used: set[str] = set()

    def take(path: str, layer: int | None = None) -> Tensor:
        used.add(path)
        return params[path] if layer is None else params[path][layer]

    def tensor(name: str) -> Tensor:
        if name == WTE:
            new = ["vocabulary/text/new"] if "vocabulary/text/new" in params else []
            return torch.cat([take(path) for path in ["vocabulary/text/table", *new]])
        stack, path = STACK.search(name), STACK.sub(r".\1.", name)
        layer = int(stack[2]) if stack else None
        for pattern, replacement in PATHS:
            path = re.sub(pattern, replacement, path)
        if "/c_attn/" in path:
            parts = [path.replace("c_attn", part) for part in "qkv"]
            used.update(parts)
            return torch.cat([take(part, layer).flatten(-2) for part in parts], dim=-1)
        x = take(path, layer)
        if path.startswith("decoder/layers/"):
            return x.flatten(0, 1) if path.endswith("/o/kernel") else x
        if path.endswith("positions"):
            return x[:, None]
        return x.T if path.endswith("kernel") else x

    tensors = {}
    for name in names:
        try:
            tensors[name] = tensor(name).contiguous()
        except KeyError:
            continue  # `load_state_dict` names all that are missing
    if params.keys() - used:
        raise ValueError(f"the weights hold {min(params.keys() - used)}, for which this model has no place")
    return tensors


class Positions(nn.Module):
    """Adds learned positions to (batch, slots, width)."""

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.pe = nn.Parameter(torch.rand(rows, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[: x.shape[1], 0]


class SkipTransformer(nn.Module):
    """Input blocks, a middle block, and output blocks that each join an input block's result, the last one first."""

    def __init__(self, kind: type[nn.Module], width: int, layers: int, heads: int, mlp_width: int):
        super().__init__()
        blocks = [kind(width, heads, mlp_width, **LAYER) for _ in range(layers)]
        half = (layers - 1) // 2
        self.input_blocks = nn.ModuleList(blocks[:half])
        self.middle_block = blocks[half]
        self.linear_blocks = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(half))
        self.output_blocks = nn.ModuleList(blocks[half + 1 :])
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, **options: Tensor) -> Tensor:
        """(batch, slots, width) to the same; `options` go to every block."""
        kept = []
        for block in self.input_blocks:
            x = block(x, **options)
            kept.append(x)
        x = self.middle_block(x, **options)
        for join, block in zip(self.linear_blocks, self.output_blocks):
            x = block(join(torch.cat([x, kept.pop()], dim=-1)), **options)
        return self.norm(x)


class Vae(nn.Module):
    """Clips of any length to one Gaussian latent and back."""

    def __init__(self, features: int, width: int, latents: int, max_frames: int, **sizes: int):
        super().__init__()
        self.latents, self.max_frames = latents, max_frames
        self.global_motion_token = nn.Parameter(torch.randn(2 * latents, width))
        self.query_pos_encoder = Positions(max_frames, width)
        self.query_pos_decoder = Positions(max_frames, width)
        self.skel_embedding = nn.Linear(features, width)
        self.encoder = SkipTransformer(nn.TransformerEncoderLayer, width, **sizes)
        self.decoder = SkipTransformer(nn.TransformerDecoderLayer, width, **sizes)
        self.final_layer = nn.Linear(width, features)

    def encode(self, features: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (batch, latents, width) each, of (batch, length, features) with `frames` (batch,)."""
        tokens = self.global_motion_token.expand(len(features), -1, -1)
        x = self.query_pos_encoder(torch.cat([tokens, self.skel_embedding(features)], dim=1))
        padding = torch.arange(x.shape[1], device=x.device) >= 2 * self.latents + frames[:, None]
        return self.encoder(x, src_key_padding_mask=padding)[:, : 2 * self.latents].chunk(2, dim=1)

    def decode(self, latents: Tensor, frames: Tensor) -> Tensor:
        """Features (batch, most frames, features), zero beyond each clip's `frames` (batch,)."""
        padding = torch.arange(int(frames.max()), device=frames.device) >= frames[:, None]
        queries = self.query_pos_decoder(latents.new_zeros(*padding.shape, latents.shape[-1]))
        x = self.decoder(queries, memory=latents, tgt_key_padding_mask=padding)
        return self.final_layer(x).masked_fill(padding[..., None], 0.0)


class Both(nn.Module):
    """A module of the text branch and one of the motion branch."""

    def __init__(self, modules: Iterable[nn.Module]):
        super().__init__()
        self.fn = nn.ModuleList(modules)

    def forward(self, pair: Pair) -> Pair:
        return [module(x) for module, x in zip(self.fn, pair)]


class Conv1D(nn.Module):
    """GPT-2's linear layer, (..., inputs) to (..., outputs), whose weight is (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def mlp(width: int) -> nn.Module:
    """A GPT-2 block's MLP."""
    block = nn.Sequential()
    block.c_fc, block.act, block.c_proj = Conv1D(width, 4 * width), nn.GELU("tanh"), Conv1D(4 * width, width)
    return block


class Block(nn.Module):
    """A GPT-2 block with two branches; what each makes of its own modality's tokens meets in one attention."""

    def __init__(self, widths: Sequence[int], heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.ln_1 = Both(nn.LayerNorm(width) for width in widths)
        self.c_attn = Both(Conv1D(width, 3 * inner) for width in widths)
        self.c_proj = Both(Conv1D(inner, width) for width in widths)
        self.ln_2 = Both(nn.LayerNorm(width) for width in widths)
        self.mlp = Both(mlp(width) for width in widths)

    def forward(self, hidden: Pair, is_motion: Tensor, seen: Tensor, before: Sequence[Tensor]) -> tuple[Pair, Pair]:
        """Hidden states of the new tokens after the block; keys and values of all tokens so far.

        `is_motion` (batch, new, 1) tells the new tokens' modality, `seen` (batch, new, tokens) which tokens so far each
        attends to; `before` are keys and values of earlier ones, or nothing.
        """
        text, motion = self.c_attn(self.ln_1(hidden))
        packed = torch.where(is_motion, motion, text).unflatten(-1, (3, self.heads, -1))
        query, *new = packed.permute(2, 0, 3, 1, 4)
        key, value = (torch.cat(parts, dim=2) for parts in zip(before, new)) if before else new
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None]).transpose(1, 2).flatten(2)
        hidden = [x + branch for x, branch in zip(hidden, self.c_proj([mixed, mixed]))]
        return [x + branch for x, branch in zip(hidden, self.mlp(self.ln_2(hidden)))], (key, value)


class LanguageModel(nn.Module):
    """Tokens to hidden states; `shared` says of every layer whether text and motion see each other.

    Both branches run over every token, which is simplest; nothing uses what the other modality's makes of it.
    """

    def __init__(self, vocabulary: int, widths: Sequence[int], heads: int, max_positions: int, shared: Sequence[bool]):
        super().__init__()
        self.text_ids, self.max_positions, self.shared = vocabulary, max_positions, shared
        text, motion = widths
        self.transformer = nn.Module()
        self.transformer.wte = nn.Embedding(vocabulary, text)
        self.transformer.wpe = nn.Embedding(max_positions, text)
        if motion != text:
            self.transformer.wpe_mot = nn.Embedding(max_positions, motion)
        self.transformer.h = nn.ModuleList(Block(widths, heads, text) for _ in shared)
        self.transformer.ln_f = Both(nn.LayerNorm(width) for width in widths)
        self.lm_head = nn.Linear(text, vocabulary, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        self.pre_processors = nn.ModuleList([self.transformer.wte, nn.Embedding(MOTION_IDS, motion)])
        # The scores of motion ids are never used.
        self.post_processors = nn.ModuleList([self.lm_head, nn.Linear(motion, MOTION_IDS, bias=False)])

    def embed(self, ids: Tensor) -> Pair:
        """What ids (batch, tokens) stand for."""
        text, motion = self.pre_processors
        return [text(ids.clamp(max=self.text_ids - 1)), motion((ids - self.text_ids).clamp(min=0))]

    def forward(self, embeddings: Pair, is_motion: Tensor, cache: Cache = ()) -> tuple[Pair, Cache]:
        """Hidden states of the new tokens after the final norm, and the cache that now holds them too.

        `is_motion` (batch, tokens so far) tells the modalities; the last tokens are the new ones, whose `embeddings`
        are given. Padding may follow a row's tokens: no token sees what comes after it.
        """
        places = torch.arange(cache[0][0].shape[2] if cache else 0, is_motion.shape[1], device=is_motion.device)
        tables = self.transformer.wpe, getattr(self.transformer, "wpe_mot", self.transformer.wpe)
        hidden = [x + table(places) for x, table in zip(embeddings, tables)]
        new = is_motion[:, places, None]
        seen = (torch.arange(is_motion.shape[1], device=places.device) <= places[:, None]).expand(len(new), -1, -1)
        alike, left = seen & (new == is_motion[:, None]), []
        for layer, (block, shared) in enumerate(zip(self.transformer.h, self.shared)):
            hidden, kept = block(hidden, new, seen if shared else alike, cache[layer] if cache else ())
            left.append(kept)
        return self.transformer.ln_f(hidden), left


class Head(nn.Module):
    """Predicts the noise in a latent, or the velocity of a flow."""

    def __init__(self, latent: int, condition: int, width: int, depth: int, heads: int, time: int):
        super().__init__()

        def perceptron(inputs: int) -> nn.Module:
            return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width))

        def modulation(count: int) -> nn.Module:
            return nn.Sequential(nn.SiLU(), nn.Linear(width, count * width))

        self.time_embed = nn.ModuleDict({"mlp": perceptron(time)})
        self.cond_embed = nn.Module()
        self.cond_embed.hidden_embedding = nn.Parameter(torch.randn(1, condition))
        self.cond_embed.hid_pos = Positions(500, condition)
        self.cond_embed.hid_encoder_layer = nn.TransformerEncoderLayer(condition, heads, 4 * condition, **LAYER)
        self.cond_embed.cond_proj = nn.Linear(condition, width)
        self.input_proj = nn.Linear(latent, width)
        self.res_blocks = nn.ModuleList(
            nn.ModuleDict({"in_ln": norm, "mlp": perceptron(width), "adaLN_modulation": modulation(3)})
            for norm in [nn.LayerNorm(width, eps=1e-6) for _ in range(depth)]
        )
        self.final_layer = nn.ModuleDict({"adaLN_modulation": modulation(2), "linear": nn.Linear(width, latent)})

    def pool(self, c: Tensor) -> Tensor:
        """Hidden states (batch, holders, condition) as (batch, width), through a learned token that attends to them."""
        pool = self.cond_embed
        x = pool.hid_pos(torch.cat([pool.hidden_embedding.expand(len(c), 1, -1), c], dim=1))
        return pool.cond_proj(pool.hid_encoder_layer(x)[:, 0])

    def forward(self, x: Tensor, t: float, pooled: Tensor) -> Tensor:
        """What is found in `x` (batch, latents, latent) at level `t` (0 to 999; of a flow 0 to 1), led by `pooled`."""
        half = self.time_embed["mlp"][0].in_features // 2
        angles = torch.tensor(t * 10_000.0 ** -(np.arange(half) / half), dtype=x.dtype, device=x.device)
        y = (self.time_embed["mlp"](torch.cat([angles.cos(), angles.sin()])) + pooled)[:, None]
        x = self.input_proj(x)
        for block in self.res_blocks:
            shift, scale, gate = block["adaLN_modulation"](y).chunk(3, dim=-1)
            x = x + gate * block["mlp"](block["in_ln"](x) * (1 + scale) + shift)
        shift, scale = self.final_layer["adaLN_modulation"](y).chunk(2, dim=-1)
        return self.final_layer["linear"](F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift)


def noise_levels(schedule: Tensor, steps: int, even_log_snr: bool) -> list[int]:
    """Rising levels of noise, evenly spaced, or as evenly in log-SNR as whole levels allow."""
    last, order = len(schedule) - 1, np.arange(steps)
    if not even_log_snr:
        return [round(last / (steps - 1) * i) for i in range(steps)] if steps > 1 else [last]
    log_snr = torch.logit(schedule).numpy()
    nearest = np.sort(np.abs(log_snr - np.linspace(log_snr[-1], log_snr[0], steps)[:, None]).argmin(axis=1))
    return np.minimum(np.maximum.accumulate(nearest - order) + order, last + 1 - steps + order).tolist()


def sample(
    eps: Callable[[Tensor, float], Tensor], schedule: Tensor, sampler: str, steps: int, x: Tensor, fresh: Tensor
) -> Tensor:
    """From noise `x` (batch, latents, width) to a latent; ancestral steps add `fresh` (steps, batch, latents, width).

    `eps` finds the noise in `x` at a level, or a flow's velocity at a time. `schedule` is the share of the clean
    latent's variance that is left at every noise level.
    """
    if sampler == "euler":
        for step in range(steps):
            x = x + eps(x, step / steps) / steps
        return x
    levels = noise_levels(schedule, steps, even_log_snr=sampler == "dpm++")
    signal, cleaner = schedule[levels], torch.cat([schedule.new_ones(1), schedule[levels[:-1]]])
    log_snr, before = 0.5 * torch.logit(signal), x
    for i, more in zip(reversed(range(steps)), fresh):
        now, then = signal[i], cleaner[i]
        clean = (x - (1 - now).sqrt() * eps(x, float(levels[i]))) / now.sqrt()
        added = (1 - now / then) * (1 - then) / (1 - now) * (sampler == "ancestral")
        guess = clean
        if sampler == "dpm++" and 0 < i < steps - 1:
            ratio = (log_snr[i - 1] - log_snr[i]) / (log_snr[i] - log_snr[i + 1])
            guess = clean + 0.5 * ratio * (clean - before)
        noise = (x - now.sqrt() * guess) / (1 - now).sqrt()
        x, before = then.sqrt() * guess + (1 - then - added).sqrt() * noise + added.sqrt() * more, clean
    return x


def features_to_joints(features: Tensor, unit: float = 1.0) -> Tensor:
    """Joints (..., frames, joints, 3) in metres, from the origin and facing +z, of raw (..., frames, features)."""
    features = features.double()
    # A frame's velocities lead to the next frame. x and z are one complex number, which a product turns.
    before = F.pad(features[..., :-1, :3], (0, 0, 1, 0))
    turn = torch.exp(2j * before[..., 0].cumsum(-1))
    path = (torch.complex(before[..., 1], before[..., 2]) * turn).cumsum(-1)[..., None]
    others = features[..., 4 : 4 + 3 * (features.shape[-1] // 12)].unflatten(-1, (-1, 3))
    ground = torch.cat([path, torch.complex(others[..., 0], others[..., 2]) * turn[..., None] + path], dim=-1)
    height = torch.cat([features[..., 3:4], others[..., 1]], dim=-1)
    return (unit * torch.stack([ground.real, height, ground.imag], dim=-1)).float()


class MotionGPT3(nn.Module):
    """The whole model, from what `config.json` says, the tokenizer, and the statistics of features and latents."""

    def __init__(self, said: dict[str, Any], tokenizer: Tokenizer, statistics: dict[str, Tensor]):
        super().__init__()
        config, self.skeleton, self.untrained = said["config"]["model"], said["skeleton"], said.get("untrained", ())
        self.questions = said["questions"]
        decoder, latents, channels = config["decoder"], config["vae"]["latents"], config["vae"]["width"]
        for name, value in BLOCKS.items():
            if decoder.get(name, value) != value:
                raise ValueError(
                    f"the decoder's {name} is {decoder[name]!r}; this file knows GPT-2's blocks, {value!r}"
                )
        self.tokenizer, self.text_ids, self.flow = tokenizer, tokenizer.token_to_id(STOP) + 1, config["flow"]
        betas = torch.linspace(*config.get("betas", BETAS), config.get("diffusion_steps", STEPS), dtype=torch.float64)
        self.schedule = torch.cumprod(1 - betas, dim=0)
        text, motion = decoder["width"], round(decoder["width"] * decoder["motion_factor"])
        layers = range(decoder["layers"])
        modes = {"all": [True for _ in layers], "none": [False for _ in layers], "odd": [i % 2 == 0 for i in layers]}
        modes["last_third"] = [i >= int(len(layers) * 2 / 3) for i in layers]
        sizes = (text, motion), decoder["heads"], decoder["max_positions"], modes[decoder["attention_mode"]]
        # `remat` is about training.
        vae = {name: size for name, size in config["vae"].items() if name != "remat"}
        self.vae = Vae(len(statistics["mean"]), **vae)
        self.lm = nn.Module()
        self.holders = config.get("holders", HOLDERS)
        self.lm.fake_latent = nn.Parameter(torch.zeros(self.holders, motion))
        self.lm.language_model = LanguageModel(self.text_ids, *sizes)
        self.lm.motion_und_head = nn.Module()
        self.lm.motion_und_head.layers = nn.Linear(latents * channels, self.holders * motion)
        self.lm.diffloss = nn.Module()
        self.lm.diffloss.net = Head(channels, motion, **config["head"])
        for name, tensor in statistics.items():
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def from_folder(cls, path: str | Path) -> "MotionGPT3":
        """The model of an exported folder, on the CPU; raises FileNotFoundError where there is none."""
        path = Path(path)
        if not (path / "model.safetensors").is_file():
            raise FileNotFoundError(
                f"no exported model at {str(path)!r}; `motiongpt3 export --format safetensors` makes one"
            )
        said = json.loads((path / "config.json").read_text(encoding="utf-8"))
        with safe_open(path / "model.safetensors", framework="pt") as file:
            version = (file.metadata() or {}).get("format_version", "1")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
        if version not in STATE:
            raise ValueError(f"{str(path)!r} has weights of format {version!r}; this file reads {' and '.join(STATE)}")
        mean, square = (tensors.pop(f"{STATE[version]}latent_{name}") for name in ("mean", "square"))
        statistics = {"latent_mean": mean, "latent_std": (square - mean**2).clamp(min=1e-6).sqrt()}
        with np.load(path / "statistics.npz", allow_pickle=False) as file:
            statistics |= {name: torch.from_numpy(file[name]).float() for name in ("mean", "std")}
        model = cls(said, Tokenizer.from_file(str(path / "tokenizer/tokenizer.json")), statistics)
        if version == "2":
            tensors = official_tensors(tensors, [name for name in model.state_dict() if name not in TIED])
        model.load_state_dict({copy: tensors[WTE] for copy in TIED if WTE in tensors} | tensors)
        return model.eval()

    @torch.no_grad()
    def text_to_motion(self, sentences: Sequence[str], frames: Sequence[int], **options: Any) -> list[Tensor]:
        """Joints (frames, joints, 3) of one motion per sentence; for `options` see `sample_latents`."""
        if len(frames) != len(sentences) or not all(1 <= count <= self.vae.max_frames for count in frames):
            possible = f"1 to {self.vae.max_frames} for each of {len(sentences)} sentences"
            raise ValueError(f"{list(frames)} frames were asked for; this model makes {possible}")
        if not sentences:
            return []
        latents = self.sample_latents(sentences, **options)
        raw = self.vae.decode(latents, torch.tensor(frames, device=latents.device)) * self.std + self.mean
        return [features_to_joints(row[:count], UNITS[self.skeleton]) for row, count in zip(raw, frames)]

    @torch.no_grad()
    def sample_latents(
        self,
        sentences: Sequence[str],
        seeds: Sequence[int] = (),
        noise: tuple[Tensor, Tensor] | None = None,
        sampler: str = "",
        steps: int = 20,
        guidance_scale: float = 3.0,
    ) -> Tensor:
        """Latents (sentences, latents, width) for the VAE.

        The sampler is "dpm++" by default, "ddim", or "ancestral", the official one with 100 steps; a flow has "euler".
        A guidance scale of 1 is none. Seeds, one per sentence (by default 0, 1, ...), give other noise than in JAX;
        `noise` sets it: the start (sentences, latents, width), and what each step adds (steps, sentences, latents,
        width).
        """
        known = ("euler",) if self.flow else ("dpm++", "ddim", "ancestral")
        most = len(self.schedule)
        if (sampler or known[0]) not in known or not 1 <= steps <= most:
            raise ValueError(f"no {steps} steps of {sampler!r}: choose {' or '.join(known)}, 1 to {most} steps")
        specials = [token.content for token in self.tokenizer.get_added_tokens_decoder().values()]
        if found := [token for token in specials if any(token in sentence for sentence in sentences)]:
            raise ValueError(f"a sentence holds {found[0]}, which has a meaning of its own; leave it out")
        asked = [self.questions["t2m"].replace(CAPTION, sentence) for sentence in sentences]
        ids, hidden, _ = self.read([f"{question} \n {START}{OUTPUT * self.holders}" for question in asked])
        head = self.lm.diffloss.net
        led = head.pool(hidden[1][ids == self.tokenizer.token_to_id(OUTPUT)].unflatten(0, (len(ids), self.holders)))
        free = head.pool(self.lm.fake_latent[None])

        def eps(x: Tensor, t: float) -> Tensor:
            if guidance_scale == 1:
                return head(x, t, led)
            alone = head(x, t, free)
            return alone + guidance_scale * (head(x, t, led) - alone)

        if noise is None:
            seeds = seeds or range(len(sentences))
            chance = [torch.Generator().manual_seed(seed) for seed, _ in zip(seeds, sentences, strict=True)]
            drawn = [torch.randn(1 + steps, *self.latent_mean.shape, generator=generator) for generator in chance]
            every = torch.stack(drawn, dim=1).to(ids.device)
            noise = every[0], every[1:]
        return sample(eps, self.schedule, sampler or known[0], steps, *noise) * self.latent_std + self.latent_mean

    @torch.no_grad()
    def caption(self, motions: Sequence[np.ndarray], max_new: int = 40, penalty: float = 1.1) -> list[str]:
        """A sentence for each motion of raw features (frames, features); for the options see `write`."""
        answers = self.write(self.understand(motions), max_new, penalty) if len(motions) else []
        texts = [self.tokenizer.decode(ids) for ids in answers]
        return [text.replace("\n", " ").strip().strip('"').strip() for text in texts]

    def understand(self, motions: Sequence[np.ndarray]) -> Tensor:
        """Latents (motions, latents, width) on the language model's scale of raw features (frames, features)."""
        most = self.vae.max_frames - 2 * self.vae.latents
        for motion in motions:
            if motion.ndim != 2 or motion.shape[1] != len(self.mean) or not 1 <= len(motion) <= most:
                shape = f"raw features, 1 to {most} frames of {len(self.mean)}"
                raise ValueError(f"a motion has shape {tuple(motion.shape)}; expected {shape}")
        clips = [(self.mean.new_tensor(motion) - self.mean) / self.std for motion in motions]
        frames = torch.tensor([len(clip) for clip in clips], device=self.mean.device)
        mean, _ = self.vae.encode(pad_sequence(clips, batch_first=True), frames)
        return (mean - self.latent_mean) / self.latent_std

    def write(self, latents: Tensor, max_new: int, penalty: float) -> list[list[int]]:
        """Ids of at most `max_new` tokens for each of the latents, greedily; ids written before get a `penalty`."""
        model, end = self.lm.language_model, self.tokenizer.token_to_id(END)
        question = self.questions["m2t"].replace(MOTION, START + INPUT * self.holders + STOP)
        ids, hidden, cache = self.read([question + " \n"] * len(latents), latents, room=max_new)
        written = ids[:, :0]
        while written.shape[1] < max_new and not (written == end).any(dim=1).all():
            scores = model.lm_head(hidden[0][:, -1])
            again = scores.gather(1, written)
            scores = scores.scatter(1, written, torch.where(again < 0, again * penalty, again / penalty))
            scores[:, end + 1 :] = -torch.inf
            written = torch.cat([written, scores.argmax(dim=1, keepdim=True)], dim=1)
            is_motion = torch.cat([ids, written], dim=1) >= self.text_ids
            hidden, cache = model(model.embed(written[:, -1:]), is_motion, cache)
        return [row[: [*row, end].index(end)] for row in written.tolist()]

    def read(self, texts: Sequence[str], latents: Tensor | None = None, room: int = 0) -> tuple[Tensor, Pair, Cache]:
        """Ids (texts, tokens), padded at their ends, hidden states and cache; `latents` fill the input holders."""
        if self.untrained:
            raise ValueError(f"this model cannot answer yet; not trained: {', '.join(self.untrained)}")
        rows = [torch.tensor(self.tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
        model, longest = self.lm.language_model, max(len(row) for row in rows) + room
        if longest > model.max_positions:
            raise ValueError(f"{longest} tokens are too many: this model reads and writes up to {model.max_positions}")
        ids = pad_sequence(rows, batch_first=True).to(self.mean.device)
        embeddings = model.embed(ids)
        if latents is not None:
            chunks = self.lm.motion_und_head.layers(latents.flatten(1)).unflatten(1, (self.holders, -1))
            embeddings[1][ids == self.tokenizer.token_to_id(INPUT)] = chunks.flatten(0, 1)
        return ids, *model(embeddings, ids >= self.text_ids)


def main() -> None:
    """Makes a motion, or prints a caption."""
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("model", help="an exported folder")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--text", help="what the motion shows")
    task.add_argument("--motion", help="a motion to caption: raw features (frames, features) as .npy")
    parser.add_argument("--out", default="motion.npy", help="where the motion goes, in the unit of its data set")
    parser.add_argument("--frames", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sampler", default="", help="dpm++ (default), ddim or ancestral; euler of a flow")
    args = parser.parse_args()
    options = {"seeds": [args.seed], "steps": args.steps, "guidance_scale": args.guidance, "sampler": args.sampler}
    try:
        model = MotionGPT3.from_folder(args.model)
        if args.motion:
            print(*model.caption([np.load(args.motion, allow_pickle=False)]))
            return
        (joints,) = model.text_to_motion([args.text], [args.frames], **options)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    with open(f"{args.out}.new", "wb") as file:
        np.save(file, joints.numpy() / np.float32(UNITS[model.skeleton]))
    os.replace(f"{args.out}.new", args.out)


if __name__ == "__main__":
    main()
