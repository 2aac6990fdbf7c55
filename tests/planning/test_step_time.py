import pytest

from motiongpt3_jax.parallel.collectives import Collective, read_collectives
from motiongpt3_jax.parallel.hlo import HloArray, Program
from motiongpt3_jax.planning.chips import CHIPS, PRODUCTS, Slice
from motiongpt3_jax.planning.program_cost import CostReader
from motiongpt3_jax.planning.step_time import collective_seconds, step_time

V5E = CHIPS["v5e"]
SLICE = Slice.of("v5e:4x4")

STEP = """HloModule jit_step, num_partitions=16

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

ENTRY %main (x: bf16[4096,4096], w: bf16[256,4096]) -> bf16[4096,4096] {
  %x = bf16[4096,4096]{1,0} parameter(0)
  %w = bf16[256,4096]{1,0} parameter(1)
  %begin = (bf16[256,4096]{1,0}, bf16[4096,4096]{1,0}) all-gather-start(%w), channel_id=1, replica_groups=[1,16]<=[16]
  %between = bf16[4096,4096]{1,0} dot(%x, %x), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %end = bf16[4096,4096]{1,0} all-gather-done(%begin)
  %product = bf16[4096,4096]{1,0} dot(%between, %end), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  ROOT %reduced = bf16[4096,4096]{1,0} all-reduce(%product), channel_id=2, replica_groups=[1,16]<=[16], to_apply=%add
}
"""


def test_a_collective_between_whose_ends_is_computed_is_hidden_as_far_as_that_takes():
    reader, collectives = CostReader(Program.of(STEP)), read_collectives(STEP)
    time = step_time(reader, collectives, SLICE)
    product = 2 * 4096**3 / (PRODUCTS * V5E.flops)
    gather, reduce = (collective_seconds(one, SLICE) for one in collectives)
    assert time.products == pytest.approx(2 * product)
    assert gather > 0
    assert time.hidden == pytest.approx(min(gather, product))
    assert time.collectives == pytest.approx(reduce + max(gather - product, 0))
    assert time.total == pytest.approx(max(time.products, time.memory) + time.collectives)


def collective(kind, group):
    return Collective(kind, (HloArray("bf16", (1000, 1000)),), 1, 1, group, "")


def test_an_all_reduce_goes_around_twice_and_closed_axes_send_both_ways():
    once = collective_seconds(collective("all-gather", 16), Slice.of("v5e:16x16"))
    assert once == pytest.approx(2e6 * 15 / 16 / (2 * V5E.link))
    assert collective_seconds(collective("all-reduce", 16), Slice.of("v5e:16x16")) == pytest.approx(2 * once)
    assert Slice.of("v5e:16x16").ring_rate(256) == 4 * V5E.link
    assert Slice.of("v5e:16x16").ring_rate(64) == 3 * V5E.link, "four chips of an axis are no ring"
    assert Slice.of("v5e:4x4").ring_rate(16) == 2 * V5E.link
    assert Slice.of("v5e:4x4").ring_rate(4) == V5E.link


@pytest.mark.parametrize("name", ["v5e", "v5e:", "v5e:0x4", "v5e:4x", "v5e 4x4"])
def test_what_names_no_slice_is_refused_with_an_example(name):
    with pytest.raises(ValueError, match="for example v5e:4x4"):
        Slice.of(name)


def test_chips_that_nobody_described_are_refused_with_those_that_are():
    with pytest.raises(ValueError, match="there are v4, v5e, v5p, v6e, tpu7x"):
        _ = Slice.of("v9:4x4").chip


def test_what_slices_exchange_takes_as_long_as_a_chips_part_of_the_network_lets_it():
    two = Slice.of("2xv5e:4x4")
    assert (two.chips, two.slices, two.sides) == (32, 2, (4, 4))
    assert collective_seconds(collective("between-slices", 2), two) == pytest.approx(2 * 0.5 * 2e6 / V5E.network)
    assert collective_seconds(collective("all-gather", 16), two) == collective_seconds(
        collective("all-gather", 16), SLICE
    )


def test_slices_whose_network_nobody_described_are_refused():
    with pytest.raises(ValueError, match="nobody says how fast the network between slices of v4 is"):
        Slice.of("2xv4:2x2x1").check_described()
