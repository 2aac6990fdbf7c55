"""Name table entries of PyTorch's layers: linear, convolution, norm, and GPT-2's block."""

from dataclasses import replace

from motiongpt3_jax.tensors.name_table import Entries, Entry


def linear(key: str, path: str, inputs: int, outputs: int) -> Entries:
    """`nn.Linear`."""
    yield Entry(f"{key}.weight", f"{path}/kernel", (outputs, inputs), "transposed")
    yield Entry(f"{key}.bias", f"{path}/bias", (outputs,))


def convolution(key: str, path: str, inputs: int, outputs: int, places: int) -> Entries:
    """`nn.Conv1d`."""
    yield Entry(f"{key}.weight", f"{path}/kernel", (outputs, inputs, places), "transposed")
    yield Entry(f"{key}.bias", f"{path}/bias", (outputs,))


def layer_norm(key: str, path: str, width: int) -> Entries:
    """`nn.LayerNorm`."""
    yield Entry(f"{key}.weight", f"{path}/scale", (width,))
    yield Entry(f"{key}.bias", f"{path}/bias", (width,))


def gpt2_block(
    norms: tuple[str, str],
    attention: tuple[str, str],
    mlp: str,
    path: str,
    heads: tuple[int, int],
    widths: tuple[int, int],
) -> Entries:
    """GPT-2's block, whose linear layers (`Conv1D`) are stored as ours are, (inputs, outputs).

    Args:
      norms: names of the norms before attention and MLP.
      attention: names of the packed projection and of the output's.
      mlp: name of the MLP.
      path: of our block.
      heads: how many, and their width.
      widths: of the hidden states, and of the MLP's hidden layer.
    """
    width, hidden = widths
    yield from layer_norm(norms[0], f"{path}/attention_norm", width)
    yield from _to_heads(attention[0], path, width, heads)
    yield from _from_heads(attention[1], f"{path}/o", heads, width)
    yield from layer_norm(norms[1], f"{path}/mlp_norm", width)
    yield from _conv1d(f"{mlp}.c_fc", f"{path}/up", width, hidden)
    yield from _conv1d(f"{mlp}.c_proj", f"{path}/down", hidden, width)


def _conv1d(key: str, path: str, inputs: int, outputs: int) -> Entries:
    yield Entry(f"{key}.weight", f"{path}/kernel", (inputs, outputs))
    yield Entry(f"{key}.bias", f"{path}/bias", (outputs,))


def _to_heads(key: str, path: str, width: int, heads: tuple[int, int]) -> Entries:
    """The packed projection: columns of the queries, of the keys, of the values, each head by head."""
    inner = heads[0] * heads[1]
    for number, name in enumerate("qkv"):
        part = slice(number * inner, (number + 1) * inner)
        weight = Entry(f"{key}.weight", f"{path}/{name}/kernel", (width, 3 * inner), axis=1)
        yield replace(weight, part=part, split=(width, *heads))
        yield Entry(f"{key}.bias", f"{path}/{name}/bias", (3 * inner,), part=part, split=heads)


def _from_heads(key: str, path: str, heads: tuple[int, int], width: int) -> Entries:
    """The output projection, its rows head by head."""
    yield Entry(f"{key}.weight", f"{path}/kernel", (heads[0] * heads[1], width), split=(*heads, width))
    yield Entry(f"{key}.bias", f"{path}/bias", (width,))
