from motiongpt3_jax.parallel import compiler_options, make_mesh
from motiongpt3_jax.parallel.mesh import make_abstract_mesh
from tests.parallel.test_mesh import chips


def test_weights_are_gathered_by_gathers_on_tpus():
    options = compiler_options(make_mesh(devices=chips(slices=1, width=2, height=2)))
    assert options == {"xla_tpu_prefer_async_allgather_to_allreduce": True}


def test_other_devices_and_those_that_are_not_there_have_no_options():
    assert compiler_options(make_mesh()) is None
    assert compiler_options(make_abstract_mesh(4)) is None
