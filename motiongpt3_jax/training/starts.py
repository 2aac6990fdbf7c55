"""Initial variables of a stage: fresh or pretrained ones, or those with which the stage before ended."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import jax
from jax.sharding import Mesh
from jaxtyping import Array

from motiongpt3_jax.errors import UserError
from motiongpt3_jax.parallel import ShardingOptions, first_does
from motiongpt3_jax.systems.interface import System, Tree, Variables
from motiongpt3_jax.training.arrays import Upgrade, put_like, variables_shardings
from motiongpt3_jax.training.checkpoints import write_base
from motiongpt3_jax.training.folders import last_folder
from motiongpt3_jax.training.manifest import FORMAT, damage, format_of, read_meta
from motiongpt3_jax.training.partition import matches, merge, paths_of, select
from motiongpt3_jax.training.reading import ReadOutside, read_arrays, read_item, read_params, read_references
from motiongpt3_jax.training.references import (
    Outside,
    Reference,
    check_references,
    refer_to_outside,
    references_after,
    references_of,
)


class Start(Protocol):
    """Where a stage starts."""

    def variables(self, frozen: Tree) -> Variables:
        """The variables with which the stage starts, sharded.

        Args:
          frozen: shapes and shardings of the parameters that the stage does not train, as its steps take them. Those
            that are not written again are read straight into these dtypes; others are of their own.
        """

    def references(self, frozen: Tree, anew: bool = True) -> tuple[Reference, ...]:
        """Where the parameters lie that the stage does not train; writes those that lie nowhere yet.

        Args:
          frozen: the parameters, sharded.
          anew: whether `variables` gave them; else they come from a checkpoint of the stage that held them.
        """


@dataclass(frozen=True)
class RunStart:
    """What the first stage starts from: fresh variables, and over them initial ones such as pretrained parameters.

    Attributes:
      system: the system.
      mesh: the devices.
      run_dir: the run.
      seed: the run's seed.
      initial: key -> variables; those that it leaves out are fresh, and all when None.
      outside: the initial parameters that are not copied into the run.
      sharding: how the mesh is used.
    """

    system: System
    mesh: Mesh
    run_dir: Path
    seed: int
    initial: Callable[[Array], Variables] | None
    outside: Sequence[Outside]
    sharding: ShardingOptions

    def variables(self, frozen: Tree) -> Variables:
        """Sharded initialization: each device makes its part of fresh variables, and gets its part of initial ones."""
        key = jax.random.key(self.seed)
        like = variables_shardings(self.mesh, self.system, self.system.shapes, self.sharding)
        outside = [pattern for outside in self.outside for pattern in outside.patterns]
        stay = select(frozen, {path for path in paths_of(frozen) if matches(path, outside)})
        like = like.replace(params=merge(stay, like.params))
        if not self.initial:
            return self._fresh(key, like)
        initial = self.initial(key)
        self._check_initial(paths_of(initial.params), paths_of(like.params))
        where = "what the run begins with"
        params = put_like(select(like.params, paths_of(initial.params)), initial.params, where)
        state = put_like(select(like.state, paths_of(initial.state)), initial.state, where)
        if paths_of(params) == paths_of(like.params) and paths_of(state) == paths_of(like.state):
            return Variables(params, state)
        params_left, state_left = (
            select(wanted, paths_of(wanted) - paths_of(there))
            for wanted, there in ((like.params, params), (like.state, state))
        )
        fresh = self._fresh(key, Variables(params_left, state_left))
        return Variables(merge(params, fresh.params), merge(state, fresh.state))

    def _check_initial(self, initial: set[str], model: set[str]) -> None:
        for path in sorted(initial - model):
            raise UserError(f"the run would begin with {path}, which is no parameter of the model.")
        for outside in self.outside:
            for path in sorted(model - initial):
                if matches(path, outside.patterns):
                    raise UserError(f"{path} would be referred to in {outside.place}, but is not read from there.")

    def _fresh(self, key: Array, like: Variables) -> Variables:
        """Fresh variables, those alone that `like` has: the compiler leaves out what makes others."""

        def init(key: Array) -> Variables:
            variables = self.system.init(key)
            params, state = (
                select(variables.params, paths_of(like.params)),
                select(variables.state, paths_of(like.state)),
            )
            return Variables(params, state)

        return jax.jit(init, out_shardings=jax.tree.map(lambda x: x.sharding, like))(key)

    def references(self, frozen: Tree, anew: bool = True) -> tuple[Reference, ...]:
        """To what lies outside of the run, and to the run's base, which is written here."""
        left, references = paths_of(frozen), []
        for outside in self.outside if anew else ():
            paths = {path for path in left if matches(path, outside.patterns)}
            left -= paths
            references += [refer_to_outside(outside, paths)] if paths else []
        return (*references, *write_base(self.run_dir, select(frozen, left)))


@dataclass(frozen=True)
class StageEnd:
    """What a later stage starts from: the end of the stage before, without its moving average.

    Attributes:
      system: the system.
      mesh: the devices.
      run_dir: the run.
      stage: name of the stage before.
      upgrade: the system's, for checkpoints of an older format.
      read_outside: reads what checkpoints refer to outside of the run.
      sharding: how the mesh is used.
    """

    system: System
    mesh: Mesh
    run_dir: Path
    stage: str
    upgrade: Upgrade
    read_outside: ReadOutside | None
    sharding: ShardingOptions

    def variables(self, frozen: Tree) -> Variables:
        """Sharded restore of its last checkpoint, and of what that refers to.

        Raises:
          UserError: that is damaged.
        """
        last = last_folder(self.run_dir, self.stage)
        first_does(f"look at the end of '{self.stage}'", lambda: _check_end(last, self.stage))
        like = variables_shardings(self.mesh, self.system, self.system.shapes, self.sharding)
        like = like.replace(params=merge(frozen, like.params))
        referred = {path for reference in references_of(last) for path in reference.paths}
        held = select(like.params, paths_of(like.params) - referred)
        params = merge(
            read_params(last, held, self.upgrade), read_references(last, like.params, self.upgrade, self.read_outside)
        )
        return Variables(params, self._state(last, like.state))

    def references(self, frozen: Tree, anew: bool = True) -> tuple[Reference, ...]:
        """To its last checkpoint, or to where that refers."""
        del anew
        return references_after(last_folder(self.run_dir, self.stage), paths_of(frozen))

    def _state(self, last: Path, like: Tree) -> Tree:
        if not jax.tree.leaves(like):
            return {}
        if format_of(read_meta(last)) == FORMAT:
            return read_arrays(last / "state", like)
        return put_like(like, read_item(last / "state"), f"checkpoint {last}")


def _check_end(last: Path, stage: str) -> None:
    wrong = damage(last)
    if wrong:
        raise UserError(
            f"checkpoint {last} is damaged ({wrong}); the same command sets it aside and trains '{stage}' to its end "
            "from the one before."
        )
    check_references(last)
