"""A pretrained T5 v1.1 or FLAN-T5: read from safetensors by the names of Hugging Face, and written so."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motiongpt3_jax import hub
from motiongpt3_jax.errors import UserError
from motiongpt3_jax.models.t5 import SOURCE, TARGET, T5Config
from motiongpt3_jax.tensors.checkpoint_files import read_state_dict

BASE = 32_100
"""Ids of T5's tokenizer, sentinels included; rows of a published table that follow them belong to no id."""

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""A checkpoint's file, or the list of the files that it is spread over."""

COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Official names that repeat `shared.weight`."""

Layout = tuple[Callable[[np.ndarray, tuple[int, ...]], np.ndarray], Callable[[np.ndarray], np.ndarray]]

LAYOUTS: Mapping[str, Layout] = {
    "same": (lambda x, shape: x, lambda x: x),
    "dense": (lambda x, shape: x.T, lambda x: x.T),
    "to heads": (lambda x, shape: x.T.reshape(shape), lambda x: x.reshape(len(x), -1).T),
    "from heads": (lambda x, shape: x.T.reshape(shape), lambda x: x.reshape(-1, x.shape[-1]).T),
}
"""How a tensor becomes our parameter (of a shape), and our parameter the tensor."""


@dataclass(frozen=True)
class T5Tensor:
    """One official tensor of a T5's layers, and where it lies in our parameters.

    Attributes:
      key: official name.
      path: of our parameter in those of `models.T5`, parts joined by "/".
      shape: of our parameter, or of its slice where layers are stacked.
      layout: how the two differ, one of `LAYOUTS`.
      layer: place in the stack; None where nothing is stacked.
    """

    key: str
    path: str
    shape: tuple[int, ...]
    layout: str = "same"
    layer: int | None = None

    @property
    def official_shape(self) -> tuple[int, ...]:
        """Of the official tensor."""
        # Strides of zero: a parameter of any size that takes no memory.
        return self.theirs(np.broadcast_to(np.float32(0), self.shape)).shape

    def ours(self, tensor: np.ndarray) -> np.ndarray:
        """Our parameter, or its slice, from the official tensor."""
        return LAYOUTS[self.layout][0](tensor, self.shape)

    def theirs(self, parameter: np.ndarray) -> np.ndarray:
        """The official tensor from our parameter, or its slice."""
        return LAYOUTS[self.layout][1](parameter)


def t5_tensors(config: T5Config) -> Iterator[T5Tensor]:
    """Every tensor of a T5 of these sizes but those of the vocabulary, each of our parameters exactly once."""
    blocks = (("encoder", SOURCE, config.layers, ()), ("decoder", TARGET, config.decoder_layers, ("EncDecAttention",)))
    for half, stream, layers, cross in blocks:
        first = f"{half}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield T5Tensor(first, f"{half}/relative/table", (config.buckets, config.heads))
        yield T5Tensor(f"{half}.final_layer_norm.weight", f"{half}/final_norm/{stream}/scale", (config.width,))
        for layer in range(layers):
            key, path = f"{half}.block.{layer}.layer", f"{half}/layers/{stream}"
            yield from _attention(f"{key}.0", "SelfAttention", path, "attention_norm", path, layer, config)
            for name in cross:
                yield from _attention(f"{key}.1", name, path, "cross_norm", f"{path}/cross", layer, config)
            yield from _mlp(f"{key}.{1 + len(cross)}", path, layer, config)


def _attention(
    key: str, name: str, path: str, norm: str, projections: str, layer: int, config: T5Config
) -> Iterator[T5Tensor]:
    heads = (config.heads, config.head_width)
    yield T5Tensor(f"{key}.layer_norm.weight", f"{path}/{norm}/scale", (config.width,), layer=layer)
    for q in "qkv":
        yield T5Tensor(
            f"{key}.{name}.{q}.weight", f"{projections}/{q}/kernel", (config.width, *heads), "to heads", layer
        )
    yield T5Tensor(f"{key}.{name}.o.weight", f"{projections}/o/kernel", (*heads, config.width), "from heads", layer)


def _mlp(key: str, path: str, layer: int, config: T5Config) -> Iterator[T5Tensor]:
    width, hidden = config.width, config.mlp_width
    yield T5Tensor(f"{key}.layer_norm.weight", f"{path}/mlp_norm/scale", (width,), layer=layer)
    for theirs, ours, shape in (("wi_0", "gate", (width, hidden)), ("wi_1", "up", (width, hidden))):
        yield T5Tensor(f"{key}.DenseReluDense.{theirs}.weight", f"{path}/{ours}/kernel", shape, "dense", layer)
    yield T5Tensor(f"{key}.DenseReluDense.wo.weight", f"{path}/down/kernel", (hidden, width), "dense", layer)


def from_t5(tensors: Mapping[str, np.ndarray], config: T5Config, base: int = BASE) -> dict[str, Any]:
    """Parameters of a T5 and of its vocabulary, float32.

    Args:
      tensors: by their official names.
      config: the sizes.
      base: ids of the tokenizer before anything is added to it.

    Returns:
      {"t5": those of `models.T5`, "vocabulary": {"table", "head"} of the base ids and, where the tables have more rows,
      {"new", "new_head"} of these: the spare rows of a published T5, or the ids that were added to it}.

    Raises:
      UserError: tensors are missing, unknown or of other shapes; or there are fewer rows than ids.
    """
    table = list(t5_tensors(config))
    _require_fit(tensors, table, config.width)
    params: dict[str, Any] = {"t5": {}, "vocabulary": {}}
    stacks: dict[str, list[np.ndarray]] = {}
    for entry in table:
        ours = entry.ours(np.asarray(tensors[entry.key], np.float32))
        if entry.layer is None:
            _put(params["t5"], entry.path, np.ascontiguousarray(ours))
        else:
            stacks.setdefault(entry.path, []).append(ours)
    for path, slices in stacks.items():
        _put(params["t5"], path, np.stack(slices))
    for key, names in (("shared.weight", ("table", "new")), ("lm_head.weight", ("head", "new_head"))):
        rows = np.asarray(tensors[key], np.float32)
        if len(rows) < base:
            raise UserError(f"{key} has {len(rows)} rows; the tokenizer has {base} ids, which need one each")
        parts = zip(names, (rows[:base], rows[base:]))
        params["vocabulary"] |= {name: np.ascontiguousarray(part) for name, part in parts if len(part)}
    return params


def to_t5(params: Mapping[str, Any], config: T5Config) -> dict[str, np.ndarray]:
    """The official tensors of what `from_t5` returns; copies of `shared.weight` are the same array."""
    state = {}
    for entry in t5_tensors(config):
        ours = params["t5"]
        for name in entry.path.split("/"):
            ours = ours[name]
        ours = np.asarray(ours if entry.layer is None else ours[entry.layer])
        state[entry.key] = np.ascontiguousarray(entry.theirs(ours))
    vocabulary = params["vocabulary"]
    for key, names in (("shared.weight", ("table", "new")), ("lm_head.weight", ("head", "new_head"))):
        state[key] = np.concatenate([np.asarray(vocabulary[name]) for name in names if name in vocabulary])
    return state | dict.fromkeys(COPIES, state["shared.weight"])


def _put(tree: dict[str, Any], path: str, leaf: np.ndarray) -> None:
    *parents, name = path.split("/")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[name] = leaf


def _require_fit(tensors: Mapping[str, np.ndarray], table: list[T5Tensor], width: int) -> None:
    """Raises UserError with the first few names that do not fit."""
    wanted = {entry.key: entry.official_shape for entry in table}
    heads = ("shared.weight", "lm_head.weight")
    problems = [f"{key} is missing" for key in (*wanted, *heads) if key not in tensors]
    problems += [f"{key} is unknown" for key in tensors if key not in wanted and key not in (*heads, *COPIES)]
    shapes = wanted | {key: (len(tensors[key]), width) for key in heads if key in tensors}
    problems += [
        f"{key} has shape {tuple(tensors[key].shape)}, not {shape}"
        for key, shape in shapes.items()
        if key in tensors and tuple(tensors[key].shape) != shape
    ]
    for copy in COPIES:
        if (
            copy in tensors
            and "shared.weight" in tensors
            and not np.array_equal(tensors[copy], tensors["shared.weight"])
        ):
            problems.append(f"{copy} differs from shared.weight, which it repeats")
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise UserError(f"the tensors are not those of a T5 of these sizes: {'; '.join(problems[:3])}{more}")


def t5_config(found: Mapping[str, Any], name: str = "config.json") -> T5Config:
    """Sizes of a T5 from its `config.json`; dropout is the checkpoint's.

    Raises:
      UserError: it is no T5 v1.1 with an untied head and gated tanh-GELU; says what it is.
    """
    if found.get("model_type") != "t5":
        raise UserError(f"{name} describes a {found.get('model_type')!r}; give a FLAN-T5 or a T5 v1.1")
    kind = found.get("feed_forward_proj", "relu")
    # Transformers 5 says for every T5 that its embeddings are tied; what it says of scaling tells them apart.
    tied = found.get("scale_decoder_outputs", found.get("tie_word_embeddings", True))
    if kind != "gated-gelu" or tied:
        head = "a tied" if tied else "an untied"
        raise UserError(
            f"{name} describes a T5 with {kind} and {head} head; v1.1 has gated-gelu and an untied one: give a "
            "FLAN-T5 or a T5 v1.1"
        )
    try:
        return T5Config(
            width=found["d_model"],
            layers=found["num_layers"],
            decoder_layers=found.get("num_decoder_layers") or found["num_layers"],
            heads=found["num_heads"],
            head_width=found["d_kv"],
            mlp_width=found["d_ff"],
            buckets=found.get("relative_attention_num_buckets", 32),
            max_distance=found.get("relative_attention_max_distance", 128),
            eps=found.get("layer_norm_epsilon", 1e-6),
            dropout=found.get("dropout_rate", 0.1),
        )
    except KeyError as error:
        raise UserError(f"{name} has no {error}, a size of a T5; give the folder of a whole checkpoint") from None


def read_t5(name_or_folder: str | Path) -> tuple[T5Config, dict[str, np.ndarray]]:
    """Sizes and tensors of a T5 checkpoint in a local folder, or on the Hugging Face hub like "google/flan-t5-base".

    Returns:
      (its sizes, its tensors by their official names, for `from_t5`).

    Raises:
      FileNotFoundError: there is none, or a file of it is missing.
      UserError: it is damaged, or no T5 v1.1.
    """
    folder = _folder(name_or_folder)
    missing = [name for name in ("config.json",) if not (folder / name).is_file()]
    missing += [] if any((folder / name).is_file() for name in (WEIGHTS, INDEX)) else [WEIGHTS]
    if missing:
        raise FileNotFoundError(f"'{folder}' has no {' and no '.join(missing)}; give the folder of a T5 checkpoint")
    config = t5_config(_json(folder / "config.json"), str(folder / "config.json"))
    if (folder / WEIGHTS).is_file():
        return config, read_state_dict(folder / WEIGHTS)
    files = sorted({*_json(folder / INDEX).get("weight_map", {}).values()})
    return config, {key: tensor for file in files for key, tensor in read_state_dict(folder / file).items()}


def t5_file(name_or_folder: str | Path) -> Path:
    """The weights of a T5 checkpoint, or the list of the files that they are spread over, see `read_t5`.

    Raises:
      FileNotFoundError: there is none.
    """
    folder = _folder(name_or_folder)
    return folder / (WEIGHTS if (folder / WEIGHTS).is_file() else INDEX)


def _folder(name_or_folder: str | Path) -> Path:
    folder = Path(os.path.expanduser(name_or_folder))
    return folder if folder.is_dir() else _download(str(name_or_folder))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is no JSON ({error}); copy or download it anew") from None
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds no object of names and values; copy or download it anew")
    return content


def _download(name: str) -> Path:
    try:
        return Path(hub.snapshot(name, ("config.json", INDEX, "model*.safetensors")))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no T5 at {name!r}: it is no local folder, and {error}") from error
