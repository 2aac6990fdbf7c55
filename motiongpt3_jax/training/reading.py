"""Reading a checkpoint's arrays: straight to their place on a mesh, as numpy arrays, or from an older format."""

from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.systems.interface import Tree
from motiongpt3_jax.training.arrays import Upgrade, put_like
from motiongpt3_jax.training.manifest import FORMAT, format_of, read_meta
from motiongpt3_jax.training.partition import merge, select
from motiongpt3_jax.training.references import Reference, references_of

ReadOutside = Callable[[Path], Tree]
"""Folder outside of the run -> the parameters that a run began with there; others may be among them."""


def read_item(folder: Path) -> Tree:
    """All of a checkpoint's item as numpy arrays in dictionaries and lists; empty when the checkpoint has none."""
    if not folder.is_dir():
        return {}
    handler = ocp.PyTreeCheckpointHandler()
    shapes = handler.metadata(folder).tree
    args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=args))


def read_arrays(folder: Path, like: Tree) -> Tree:
    """Partial sharded restore: the arrays of a checkpoint's item that `like` names, at its shardings."""
    args = ocp.checkpoint_utils.construct_restore_args(like)
    return ocp.PyTreeCheckpointHandler().restore(
        folder, args=ocp.args.PyTreeRestore(like, restore_args=args, partial_restore=True)
    )


def read_params(checkpoint: Path, like: Tree, upgrade: Upgrade) -> Tree:
    """Parameters that a checkpoint itself holds, at the shardings of `like`; its format may be an older one."""
    if not jax.tree.leaves(like):
        return {}
    older = format_of(read_meta(checkpoint))
    if older == FORMAT:
        return read_arrays(checkpoint / "params", like)
    return put_like(like, upgrade(older, read_item(checkpoint / "params")), f"checkpoint {checkpoint}")


def read_references(checkpoint: Path, like: Tree, upgrade: Upgrade, read_outside: ReadOutside | None) -> Tree:
    """Restores the frozen parameters that a checkpoint refers to, at the shardings of `like`: all, or a part."""
    references = references_of(checkpoint)
    return merge(*(_read_reference(checkpoint, reference, like, upgrade, read_outside) for reference in references))


def _read_reference(
    checkpoint: Path, reference: Reference, like: Tree, upgrade: Upgrade, read_outside: ReadOutside | None
) -> Tree:
    folder, like = reference.folder(checkpoint), select(like, reference.paths)
    if not reference.outside:
        return read_params(folder, like, upgrade)
    return put_like(like, read_from_outside(checkpoint, folder, read_outside), f"'{folder}'")


def read_from_outside(checkpoint: Path, folder: Path, read_outside: ReadOutside | None) -> Tree:
    """Parameters outside of a run that its checkpoint refers to.

    Raises:
      UserError: the caller cannot read them.
    """
    if read_outside is None:
        raise UserError(
            f"checkpoint {checkpoint} takes parameters from {folder}, outside of its run; load the run as a model, "
            "which reads them too."
        )
    return read_outside(folder)


def read_whole(checkpoint: Path, item: str, upgrade: Upgrade, paths: Iterable[str] | None = None) -> Tree:
    """A checkpoint's `params` or `ema` as numpy arrays, or those of some paths, under the paths of today."""
    older = format_of(read_meta(checkpoint))
    if older < FORMAT:
        tree = upgrade(older, read_item(checkpoint / item))
        return tree if paths is None else select(tree, paths)
    if paths is None or not (checkpoint / item).is_dir():
        return read_item(checkpoint / item)
    shapes = ocp.PyTreeCheckpointHandler().metadata(checkpoint / item).tree
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), dict(shapes))
    return read_arrays(checkpoint / item, select(shapes, paths))
