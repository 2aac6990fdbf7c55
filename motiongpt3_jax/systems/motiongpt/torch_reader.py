"""An exported MotionGPT in PyTorch. Copy this file: it needs torch, transformers, numpy, safetensors and tokenizers.

    python torch_reader.py DIR --text "a person walks" --seconds 4 --out walk.npy    joints (frames, joints, 3)
    python torch_reader.py DIR --motion features.npy                                 a sentence for raw features

    model = MotionGPT.from_folder("DIR")
    joints = model.generate("a person walks", seconds=4.0, seed=0)
    sentence = model.caption(features)

A VQ-VAE turns four frames into one of a few hundred codes and back; a T5 of `transformers` (or a GPT-2) reads and
writes words and codes alike (arXiv 2306.14795). The names in `state_dict()` are those of the official code, whose
checkpoint takes the place of the folder's weights with `from_folder("DIR", checkpoint="motiongpt.tar")`. Everything is
float32 and without dropout. Features are normalised where they are not called raw; joints are in metres.
"""
# ruff: noqa: D102  (small modules say in their class's docstring what they do)

import argparse
import inspect
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

try:
    import torch
    import torch.nn.functional as F
    from safetensors import safe_open
    from tokenizers import Tokenizer
    from torch import Tensor, nn
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration
except ImportError as error:
    needed = "torch transformers numpy safetensors tokenizers"
    raise ImportError(f"{error}; this file needs: pip install {needed}") from None

CAPTION, MOTION = "<Caption_Placeholder>", "<Motion_Placeholder>"  # in the questions of `config.json`
UNITS = {"humanml3d": 1.0, "kit": 0.75 / 480}  # metres in the unit of a skeleton's features
FRAMES_PER_CODE = 4
LONGEST = 196  # frames of the longest motion that is made at once, unless the data had longer ones
ENDS = {"t5": "</s>", "gpt2": "<|endoftext|>"}
CACHE = ("past_key_values", "cache")["cache" in inspect.signature(GPT2LMHeadModel.forward).parameters]
"""Name of the KV cache, which `transformers` 5 has changed."""
LM = "lm.language_model."
TIED = {
    "t5": {f"{LM}{half}.embed_tokens.weight": f"{LM}shared.weight" for half in ("encoder", "decoder")},
    "gpt2": {f"{LM}lm_head.weight": f"{LM}transformer.wte.weight"},
}
"""Official names that repeat another tensor, which a file may leave out."""
ROWS = {"shared": ("table", "new"), "transformer.wte": ("table", "new"), "lm_head": ("head", "new_head")}
"""Tables of words and of motions that are one table in the official code."""
STACK = re.compile(r"\.(block|h)\.(\d+)\.")
"""The number of a layer in an official name; the JAX model stores layers stacked."""
PATHS = (  # from official names to paths of the JAX model: what matches is replaced, one after another
    (r"^vae\.quantizer\.codebook", "state.codebook.table"),
    (r"^vae\.(\w+)\.model\.2\.", r"vqvae.\1.0."),
    (r"^vae\.(\w+)\.model\.3\.", r"vqvae.\1.1."),
    (r"^vae\.(\w+)\.model\.0", r"vqvae.\1.conv_in"),
    (r"^vae\.(encoder\.model\.4|decoder\.model\.6)", r"vqvae.\1.conv_out"),
    (r"^vae\.decoder\.model\.4", "vqvae.decoder.conv_mid"),
    (r"\.model\.\d\.conv_out", ".conv_out"),
    (r"^(vqvae\.\w+)\.(\d)\.\d\.model\.(\d+)\.", r"\1.stack_\2.block_\3."),
    (r"^vqvae\.encoder\.(\d)\.0", r"vqvae.encoder.down_\1"),
    (r"^vqvae\.decoder\.(\d)\.2", r"vqvae.decoder.up_\1"),
    (r"\.conv1", ".dilated"),
    (r"\.conv2", ".pointwise"),
    (r"^lm\.language_model\.encoder", "t5.encoder.source"),
    (r"^lm\.language_model\.decoder", "t5.decoder.target"),
    (r"^(t5\.\w+)\.\w+\.layer\.0\.SelfAttention\.relative_attention_bias\.weight", r"\1.relative.table"),
    (r"^(t5\.\w+)\.(\w+)\.final_layer_norm", r"\1.final_norm.\2"),
    (r"^(t5\.\w+)\.(\w+)\.layer\.", r"\1.layers.\2."),
    (r"\.0\.layer_norm", ".attention_norm"),
    (r"\.target\.1\.layer_norm", ".target.cross_norm"),
    (r"\.\d\.layer_norm", ".mlp_norm"),
    (r"\.0\.SelfAttention", ""),
    (r"\.1\.EncDecAttention", ".cross"),
    (r"\.\d\.DenseReluDense\.wi_0", ".gate"),
    (r"\.\d\.DenseReluDense\.wi_1", ".up"),
    (r"\.\d\.DenseReluDense\.wo", ".down"),
    (r"^lm\.language_model\.transformer\.wpe\.weight", "decoder.positions.tokens"),
    (r"^lm\.language_model\.transformer\.ln_f", "decoder.final_norm.tokens"),
    (r"^lm\.language_model\.transformer\.", "decoder.layers.tokens."),
    (r"\.ln_1", ".attention_norm"),
    (r"\.ln_2", ".mlp_norm"),
    (r"\.attn\.c_proj", ".o"),
    (r"\.mlp\.c_fc", ".up"),
    (r"\.mlp\.c_proj", ".down"),
    (r"(norm(\.source|\.target|\.tokens)?)\.weight$", r"\1.scale"),
    (r"\.weight$", ".kernel"),
    (r"\.", "/"),
)


def official_tensors(params: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """State dict of official `names` from the arrays of the JAX model by their paths, as far as they are there.

    Raises ValueError when there are other parameters than the names need.
    """
    used: set[str] = set()

    def take(path: str, layer: int | None = None) -> Tensor:
        used.add(path)
        return params[path] if layer is None else params[path][layer]

    def tensor(name: str) -> Tensor:
        rows = ROWS.get(name.removeprefix(LM).removesuffix(".weight"))
        if rows:
            return torch.cat([take(f"vocabulary/{part}") for part in rows])
        stack, path = STACK.search(name), STACK.sub(".", name)
        for pattern, replacement in PATHS:
            path = re.sub(pattern, replacement, path)
        layer = int(stack[2]) if stack and not path.endswith("relative/table") else None
        if "/attn/c_attn/" in path:
            return torch.cat([take(path.replace("attn/c_attn", q), layer).flatten(-2) for q in "qkv"], dim=-1)
        x = take(path, layer)
        if path.startswith("vqvae/"):
            return x.permute(*reversed(range(x.ndim)))
        if path.endswith("/kernel") and x.ndim == 3:
            x = x.flatten(0, 1) if path.endswith("/o/kernel") else x.flatten(1)
        return x.T if path.startswith("t5/") and path.endswith("/kernel") else x

    tensors = {}
    for name in names:
        try:
            tensors[name] = tensor(name).contiguous()
        except KeyError:
            continue  # `load_state_dict` names all that are missing
    unknown = {path for path in params if not path.startswith("state/")} - used
    if unknown:
        raise ValueError(f"the weights hold {min(unknown)}, for which this model has no place")
    return tensors


class Residual(nn.Module):
    """A dilated convolution and a product, each after a ReLU, added to (clips, width, frames)."""

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Stack(nn.Module):
    """Residual blocks of several dilations."""

    def __init__(self, width: int, dilations: Sequence[int]):
        super().__init__()
        self.model = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class VqVae(nn.Module):
    """Clips to codes and back."""

    def __init__(
        self, features: int, width: int, code_width: int, codes: int, depth: int, dilation_growth: int, **_: Any
    ):
        super().__init__()

        def conv(inputs: int, outputs: int) -> nn.Module:
            return nn.Conv1d(inputs, outputs, 3, padding=1)

        def stack() -> nn.Module:
            return Stack(width, [dilation_growth**block for block in reversed(range(depth))])

        down = [nn.Sequential(nn.Conv1d(width, width, 4, stride=2, padding=1), stack()) for _ in range(2)]
        up = [nn.Sequential(stack(), nn.Upsample(scale_factor=2), conv(width, width)) for _ in range(2)]
        first, middle = [conv(features, width), nn.ReLU()], [conv(width, width), nn.ReLU()]
        self.encoder, self.decoder, self.quantizer = nn.Module(), nn.Module(), nn.Module()
        self.encoder.model = nn.Sequential(*first, *down, conv(width, code_width))
        self.decoder.model = nn.Sequential(conv(code_width, width), nn.ReLU(), *up, *middle, conv(width, features))
        self.quantizer.register_buffer("codebook", torch.zeros(codes, code_width))

    def encode(self, features: Tensor) -> Tensor:
        """Codes of one clip (frames, features); its last frame is repeated until codes cover it."""
        missing = -len(features) % FRAMES_PER_CODE
        features = torch.cat([features, features[-1:].expand(missing, -1)])
        vectors, table = self.encoder.model(features.T[None])[0].T, self.quantizer.codebook
        return (table.square().sum(1) - 2 * vectors @ table.T).argmin(dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        """Features (frames, features) of the codes of one clip."""
        return self.decoder.model(self.quantizer.codebook[codes].T[None])[0].T


def language_model(lm: str, rows: int, sizes: dict[str, Any]) -> nn.Module:
    """A T5 or a GPT-2 of `transformers` with a vocabulary of so many ids."""
    if lm == "t5":
        model = T5ForConditionalGeneration(
            T5Config(
                vocab_size=rows,
                d_model=sizes["width"],
                d_kv=sizes["head_width"],
                d_ff=sizes["mlp_width"],
                num_layers=sizes["layers"],
                num_heads=sizes["heads"],
                feed_forward_proj="gated-gelu",
                tie_word_embeddings=False,
                dropout_rate=0.0,
            )
        )
        # Fresh ones of transformers 5 share their tables whatever the config says.
        model.lm_head = nn.Linear(sizes["width"], rows, bias=False)
        return model
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=rows,
            n_embd=sizes["width"],
            n_layer=sizes["layers"],
            n_head=sizes["heads"],
            n_inner=sizes["mlp_width"],
            n_positions=sizes["max_positions"],
            bos_token_id=None,
            eos_token_id=None,
        )
    )


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


class MotionGPT(nn.Module):
    """The whole model, from what `config.json` says, the tokenizer, and mean and deviation of the features."""

    def __init__(self, folder: dict[str, Any], tokenizer: Tokenizer, statistics: dict[str, Tensor]):
        super().__init__()
        self.config, self.skeleton, self.fps = folder["config"], folder["skeleton"], folder["fps"]
        self.questions, self.untrained = folder["questions"], folder.get("untrained", ())
        self.tokenizer, self.words = tokenizer, tokenizer.get_vocab_size()
        model = self.config["model"]
        self.kind, codes = model["lm"], model["vqvae"]["codes"]
        self.end = tokenizer.token_to_id(ENDS[self.kind])
        self.start_of_motion, self.end_of_motion = self.words + codes, self.words + codes + 1
        self.longest = max(LONGEST, self.config["data"]["max_frames"])
        self.vae = VqVae(len(statistics["mean"]), **model["vqvae"])
        self.lm = nn.Module()
        # A tokenizer of T5's kind without sentinels gets some behind the ids of motions.
        sentinels = 100 * (self.kind == "t5" and tokenizer.token_to_id("<extra_id_0>") is None)
        self.lm.language_model = language_model(self.kind, self.words + codes + 3 + sentinels, model["language"])
        for name, tensor in statistics.items():
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def from_folder(cls, path: str | Path, checkpoint: str | Path | None = None) -> "MotionGPT":
        """The model of an exported folder, on the CPU; a checkpoint of the official code replaces its weights.

        Raises FileNotFoundError where there is no model.
        """
        path = Path(path)
        if not (path / "model.safetensors").is_file():
            raise FileNotFoundError(
                f"no exported model at {str(path)!r}; `motiongpt3 export --format safetensors` makes one"
            )
        folder = json.loads((path / "config.json").read_text(encoding="utf-8"))
        with np.load(path / "statistics.npz", allow_pickle=False) as file:
            statistics = {name: torch.from_numpy(file[name]).float() for name in ("mean", "std")}
        model = cls(folder, Tokenizer.from_file(str(path / "tokenizer/tokenizer.json")), statistics)
        names, tied = list(model.state_dict()), TIED[model.kind]
        if checkpoint:
            tensors = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
            tensors = {name: x for name, x in tensors.items() if not name.startswith(("metrics.", "_losses."))}
        else:
            with safe_open(path / "model.safetensors", framework="pt") as file:
                params = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
            tensors = official_tensors(params, [name for name in names if name not in tied])
        model.load_state_dict({copy: tensors[name] for copy, name in tied.items() if name in tensors} | tensors)
        return model.eval()

    @torch.no_grad()
    def generate(
        self,
        sentence: str,
        seconds: float | None = None,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 50,
    ) -> Tensor:
        """Joints (frames, joints, 3) of a motion; without `seconds` the model ends it itself.

        A temperature of 0 takes the best code; other draws differ from those in JAX.
        """
        frames = None if seconds is None else round(seconds * self.fps)
        if frames is not None and not 1 <= frames <= self.longest:
            raise ValueError(f"{frames} frames were asked for; this model makes 1 to {self.longest}")
        most = -(-(frames or self.longest) // FRAMES_PER_CODE)
        codes = self.write(
            self.encode(self.questions["t2m"].replace(CAPTION, sentence), begins_motion=True),
            range(self.words, self.start_of_motion),
            self.end_of_motion,
            least=most if frames else 1,
            most=most,
            temperature=temperature,
            top_k=top_k,
            seed=seed,
        )
        normalised = self.vae.decode(torch.tensor(codes, device=self.mean.device) - self.words)[:frames]
        return features_to_joints(normalised * self.std + self.mean, UNITS[self.skeleton])

    @torch.no_grad()
    def caption(self, motion: np.ndarray, most: int = 40) -> str:
        """A sentence of at most so many tokens for a motion of raw features (frames, features), greedily."""
        if motion.ndim != 2 or motion.shape[1] != len(self.mean) or not 1 <= len(motion) <= self.longest:
            shape = f"raw features, 1 to {self.longest} frames of {len(self.mean)}"
            raise ValueError(f"a motion has shape {tuple(motion.shape)}; expected {shape}")
        codes = self.vae.encode((self.mean.new_tensor(motion) - self.mean) / self.std) + self.words
        ids = self.write(self.encode(self.questions["m2t"], codes.tolist()), self.word_ids(), self.end, most=most)
        return self.tokenizer.decode(ids).replace("\n", " ").strip().strip('"').strip()

    def word_ids(self) -> list[int]:
        """Ids that stand for words."""
        specials = {"<pad>", "</s>", "<unk>", ENDS["gpt2"], *(f"<extra_id_{number}>" for number in range(100))}
        return sorted({*range(self.words)} - {self.tokenizer.token_to_id(token) for token in specials})

    def encode(self, text: str, codes: Sequence[int] = (), begins_motion: bool = False) -> tuple[list[int], list[int]]:
        """Ids that are read, and those that are written already: `codes` stand where the text has a motion."""
        official = self.config["layout"]["official"]
        text = text.replace("<Motion_Placeholder_s1>", MOTION) + (" \n" + " " * official) * (self.kind == "gpt2")
        ids: list[int] = []
        for number, words in enumerate(text.split(MOTION)):
            if number:
                ids += [self.start_of_motion, *codes, self.end_of_motion]
            words = words if official else words.rstrip(" ")
            ids += self.tokenizer.encode(words, add_special_tokens=False).ids if words else []
        prefix = [self.start_of_motion] * begins_motion
        return ([*ids, self.end], [0, *prefix]) if self.kind == "t5" else ([], ids + prefix)

    def write(
        self,
        question: tuple[list[int], list[int]],
        allowed: Sequence[int],
        end: int,
        least: int = 0,
        most: int = 40,
        temperature: float = 0.0,
        top_k: int = 0,
        seed: int = 0,
    ) -> list[int]:
        """The allowed ids that follow a question, at least and at most so many, up to the end."""
        if self.untrained:
            raise ValueError(f"this model cannot answer yet; not trained: {', '.join(self.untrained)}")
        (source, prefix), device = question, self.mean.device
        longest, room = max(len(source), len(prefix)), most * (self.kind == "gpt2")
        limit = self.config["model"]["language"]["max_positions"] or self.config["layout"]["max_length"]
        if longest + room > limit:
            raise ValueError(f"{longest + room} tokens are too many: this model reads and writes up to {limit}")
        model, generator = self.lm.language_model, torch.Generator(device).manual_seed(seed)
        options: dict[str, Any] = {"use_cache": True}
        if self.kind == "t5":
            options["encoder_outputs"] = model.encoder(input_ids=torch.tensor([source], device=device))
        name = "decoder_input_ids" if self.kind == "t5" else "input_ids"
        known, written, new = torch.tensor([*allowed, end], device=device), [], prefix
        while len(written) < most:
            result = model(**{name: torch.tensor([new], device=device)}, **options)
            options[CACHE] = result[CACHE]
            scores = result.logits[0, -1, known]
            if len(written) < least:
                scores[-1] = -torch.inf
            if temperature:
                if 0 < top_k < len(scores):
                    scores[scores < scores.topk(top_k).values[-1]] = -torch.inf
                place = torch.multinomial((scores / temperature).softmax(0), 1, generator=generator)
            else:
                place = scores.argmax(keepdim=True)
            new = known[place].tolist()
            if new == [end]:
                break
            written += new
        return written


def main() -> None:
    """Makes a motion, or prints a caption."""
    parser = argparse.ArgumentParser(description=__doc__.partition(".")[0])
    parser.add_argument("model", help="an exported folder")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--text", help="what the motion shows")
    task.add_argument("--motion", help="a motion to caption: raw features (frames, features) as .npy")
    parser.add_argument("--out", default="motion.npy", help="where the motion goes, in the unit of its data set")
    parser.add_argument("--seconds", type=float, help="its length; else the model ends it itself")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=1.0, help="0 takes the best code")
    parser.add_argument("--checkpoint", help="a checkpoint of the official code in place of the folder's weights")
    args = parser.parse_args()
    try:
        model = MotionGPT.from_folder(args.model, args.checkpoint)
        if args.motion:
            print(model.caption(np.load(args.motion, allow_pickle=False)))
            return
        joints = model.generate(args.text, args.seconds, args.seed, args.temperature)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")
    with open(f"{args.out}.new", "wb") as file:
        np.save(file, joints.numpy() / np.float32(UNITS[model.skeleton]))
    os.replace(f"{args.out}.new", args.out)


if __name__ == "__main__":
    main()
