"""The reader of collectives, on texts as compilers print them."""

import jax
import jax.numpy as jnp
import pytest

from motiongpt3_jax.parallel.collectives import bytes_by_kind, largest, read_collectives
from motiongpt3_jax.parallel.hlo import HloArray, Program, arrays_of

LOOP = """HloModule jit_step, is_scheduled=true, num_partitions=16

%add (x: f32[], y: f32[]) -> f32[] {
  %x = f32[] parameter(0)
  %y = f32[] parameter(1)
  ROOT %sum = f32[] add(%x, %y)
}

%inner_body (p: (s32[], bf16[4,48])) -> (s32[], bf16[4,48]) {
  %p = (s32[]{:T(128)}, bf16[4,48]{1,0:T(8,128)(2,1)}) parameter(0)
  %part = bf16[4,48]{1,0:T(8,128)(2,1)} get-tuple-element(%p), index=1
  %sent = bf16[4,48]{1,0:T(8,128)(2,1)} collective-permute(%part), channel_id=7, source_target_pairs={{0,1},{1,2},{2,3},{3,0},{4,5},{5,4}}
  ROOT %out = (s32[], bf16[4,48]) tuple(%i, %sent)
}

%inner_condition (p.1: (s32[], bf16[4,48])) -> pred[] {
  %p.1 = (s32[]{:T(128)}, bf16[4,48]{1,0}) parameter(0)
  %i.1 = s32[]{:T(128)} get-tuple-element(%p.1), index=0
  %eight = s32[]{:T(128)} constant(8)
  ROOT %lt = pred[]{:T(512)} compare(%i.1, %eight), direction=LT, metadata={op_name="jit(step)/while/cond/lt"}
}

%body (q: (s32[], bf16[4,48], s32[])) -> (s32[], bf16[4,48], s32[]) {
  %q = (s32[]{:T(128)}, /*index=1*/bf16[4,48]{1,0:T(8,128)(2,1)S(1)}, s32[]) parameter(0)
  %weight = bf16[1,4,3]{2,1,0:T(8,128)(2,1)} get-tuple-element(%q), index=1
  %whole = bf16[1,4,48]{2,1,0:T(8,128)(2,1)} all-gather(%weight), channel_id=3, replica_groups=mesh['axis_0'=16,'axis_1'=1] {'axis_0'}, dimensions={2}, use_global_device_ids=true, metadata={op_name="jit(step)/jvp(M)/while/body/up"}
  %loop.1 = (s32[], bf16[4,48]) while(%start), condition=%inner_condition, body=%inner_body
  ROOT %next = (s32[], bf16[4,48], s32[]) tuple(%i.2, %carry, %limit)
}

%condition (q.1: (s32[], bf16[4,48], s32[])) -> pred[] {
  %q.1 = (s32[], bf16[4,48], s32[]) parameter(0)
  %i.3 = s32[] get-tuple-element(%q.1), index=0
  %end = s32[] get-tuple-element(%q.1), index=2
  ROOT %lt.1 = pred[] compare(%i.3, %end), direction=LT
}

ENTRY %main (a: bf16[4,48]) -> (f32[8], f32[]) {
  %a = bf16[4,48]{1,0} parameter(0)
  %two = s32[] constant(2)
  %fourteen = s32[] constant(14)
  %begin = (s32[], bf16[4,48], s32[]) tuple(%two, %a, %fourteen)
  %loop = (s32[], bf16[4,48], s32[]) while(%begin), condition=%condition, body=%body, metadata={op_name="jit(step)/while"}
  ROOT %all-reduce.9 = (f32[8]{0:T(128)}, f32[]{:T(128)}) all-reduce(%g, %h), channel_id=5, replica_groups=[4,4]<=[4,4]T(1,0), use_global_device_ids=true, to_apply=%add
}
"""  # noqa: E501


def by_kind(text):
    return {one.kind: one for one in read_collectives(text)}


def test_loops_inside_of_loops_multiply_how_often_a_collective_runs():
    found = by_kind(LOOP)
    assert {kind: one.trips for kind, one in found.items()} == {
        "all-gather": 12,
        "collective-permute": 96,
        "all-reduce": 1,
    }


def test_sizes_are_those_of_the_whole_arrays_of_a_device():
    found = by_kind(LOOP)
    assert found["all-gather"].arrays == (HloArray("bf16", (1, 4, 48)),)
    assert found["all-gather"].bytes == 2 * 4 * 48
    assert found["all-reduce"].bytes == 4 * 8 + 4
    assert bytes_by_kind(found.values()) == {"all-gather": 12 * 384, "collective-permute": 96 * 384, "all-reduce": 36}
    assert [one.kind for one in largest(list(found.values()))] == ["collective-permute", "all-gather", "all-reduce"]


def test_groups_are_read_in_every_notation():
    found = by_kind(LOOP)
    assert {kind: one.group for kind, one in found.items()} == {
        "all-gather": 16,
        "collective-permute": 4,
        "all-reduce": 4,
    }


@pytest.mark.parametrize(
    ("groups", "size"),
    [
        ("replica_groups={{0,2,4},{1,3,5}}", 3),
        ("replica_groups=[2,8]<=[16]", 8),
        ("replica_groups=mesh['x'=4,'y'=2,'z'=2] {'x','z'}", 8),
        ("replica_groups=mesh['x'=16] {'x':(2)4}", 4),
        ("replica_groups={}", 16),
    ],
)
def test_a_group_has_so_many_devices(groups, size):
    text = f"""HloModule m, num_partitions=16

ENTRY %main (a: f32[8]) -> f32[8] {{
  ROOT %r = f32[8]{{0}} all-reduce(%a), channel_id=1, {groups}, to_apply=%add
}}
"""
    assert [one.group for one in read_collectives(text)] == [size]


def test_an_asynchronous_collective_that_stands_in_several_computations_counts_once():
    text = """HloModule m, num_partitions=4

%fused.1 (a: bf16[2,8]) -> bf16[8,8] {
  ROOT %g.1 = bf16[8,8]{1,0} all-gather(%a), channel_id=2, replica_groups=[1,4]<=[4], dimensions={0}
}

%fused.2 (a.1: bf16[2,8]) -> bf16[8,8] {
  ROOT %g.2 = bf16[8,8]{1,0} all-gather(%a.1), channel_id=2, replica_groups=[1,4]<=[4], dimensions={0}
}

ENTRY %main (b: bf16[2,8]) -> bf16[8,8] {
  %start = bf16[8,8]{1,0} fusion(%b), kind=kCustom, calls=%fused.1
  ROOT %done = bf16[8,8]{1,0} fusion(%start), kind=kCustom, calls=%fused.2
}
"""
    assert [(one.bytes, one.trips) for one in read_collectives(text)] == [(128, 1)]


def test_a_start_gives_operands_and_results_of_which_the_results_count():
    text = """HloModule m, num_partitions=4

ENTRY %main (b: bf16[2,8]) -> bf16[8,8] {
  %g = ((bf16[2,8]{1,0}, f32[1]{0}), (bf16[8,8]{1,0}, f32[4]{0})) all-gather-start(%b, %c), channel_id=2, replica_groups=[1,4]<=[4], dimensions={0}
  %p = (f32[3]{0}, f32[3]{0}, u32[], u32[]) collective-permute-start(%d), channel_id=3, source_target_pairs={{0,1},{1,0}}
  ROOT %done = (bf16[8,8]{1,0}, f32[4]{0}) all-gather-done(%g)
}
"""  # noqa: E501
    found = {one.kind: [str(array) for array in one.arrays] for one in read_collectives(text)}
    assert found == {"all-gather": ["bf16[8,8]", "f32[4]"], "collective-permute": ["f32[3]"]}


def test_a_reduce_scatter_counts_what_is_reduced():
    text = """HloModule m, num_partitions=8

%all-reduce-scatter.1 (a: f32[16,4]) -> f32[2,4] {
  %r = f32[16,4]{1,0} all-reduce(%a), channel_id=4, replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %s = f32[2,4]{1,0} dynamic-slice(%r, %i, %zero), dynamic_slice_sizes={2,4}
}

ENTRY %main (b: f32[16,4]) -> f32[2,4] {
  %first = f32[2,4]{1,0} fusion(%b), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %second = f32[2,4]{1,0} reduce-scatter(%c), channel_id=5, replica_groups=[1,8]<=[8], dimensions={0}, to_apply=%add
}
"""  # noqa: E501
    found = [(one.kind, one.bytes) for one in read_collectives(text)]
    assert found == [("reduce-scatter", 4 * 64)] * 2


def test_a_collective_of_one_device_is_none():
    text = """HloModule m, num_partitions=4

ENTRY %main (b: f32[2]) -> f32[2] {
  ROOT %r = f32[2]{0} all-reduce(%b), channel_id=4, replica_groups={{0},{1},{2},{3}}, to_apply=%add
}
"""
    assert read_collectives(text) == []


def test_trip_counts_that_a_compiler_states_are_taken():
    text = """HloModule m, num_partitions=2

%body (a: (s32[], f32[2])) -> (s32[], f32[2]) {
  ROOT %r = f32[2]{0} all-reduce(%b), channel_id=4, replica_groups={}, to_apply=%add
}

%condition (a.1: (s32[], f32[2])) -> pred[] {
  ROOT %c = pred[] fusion(%a.1), kind=kLoop, calls=%wrapped
}

ENTRY %main (b.1: f32[2]) -> f32[2] {
  ROOT %w = (s32[], f32[2]) while(%t), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"},"known_init_step":{"init":"0","step":"1"}}
}
"""  # noqa: E501
    assert [one.trips for one in read_collectives(text)] == [5]


def test_the_program_of_a_compiled_function_is_read():
    def repeated(x):
        return jax.lax.scan(lambda carry, _: (jnp.sin(carry @ x), None), x, None, length=7)[0]

    program = Program.of(jax.jit(repeated).lower(jnp.ones((3, 3))).compile().as_text())
    assert program.devices == 1
    assert 7 in program.times().values()


def test_bytes_of_dtypes():
    found = arrays_of("(f32[2,3]{1,0:T(2,128)}, bf16[4], pred[5], s32[], f8e4m3fn[8], u4[6], token[])")
    assert [array.bytes for array in found] == [24, 8, 5, 4, 8, 3, 0]


def test_a_loop_that_counts_by_two_runs_half_as_often():
    text = """HloModule m, num_partitions=16

%body (a: (f32[2], u32[])) -> (f32[2], u32[]) {
  %sent = f32[2]{0} collective-permute(%first), channel_id=4, source_target_pairs={{0,1},{1,0}}
  %counter = u32[] get-tuple-element(%a), index=1
  %two = u32[]{:T(128)} constant(2)
  %raised = u32[] add(%counter, %two)
  %copied = u32[] copy(%raised)
  ROOT %r = (f32[2], u32[]) tuple(%sent, %copied)
}

%condition (a.1: (f32[2], u32[])) -> pred[] {
  %end = u32[] constant(8)
  %counter.1 = u32[] get-tuple-element(%a.1), index=1
  ROOT %c = pred[] compare(%counter.1, %end), direction=LT
}

ENTRY %main (b.1: f32[2]) -> f32[2] {
  %zero = u32[] constant(0)
  %t = (f32[2], u32[]) tuple(%b.1, %zero)
  ROOT %w = (f32[2], u32[]) while(%t), condition=%condition, body=%body
}
"""
    assert [one.trips for one in read_collectives(text)] == [4]


def test_what_chips_of_several_slices_sum_over_the_network_is_what_each_sends():
    text = """HloModule m, num_partitions=16

ENTRY %main (a: bf16[4,8,128]) -> bf16[4,8,128] {
  %a = bf16[4,8,128]{2,1,0} parameter(0)
  %after = token[] after-all()
  %send = (bf16[4,8,128]{2,1,0}, u32[], token[]) send(%a, %after), channel_id=4, is_host_transfer=true, frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime",_xla_megascale_target="{1,2,3}x{0:15}",_xla_megascale_transfer_type="ALL_REDUCE"}
  %sent = token[] send-done(%send), channel_id=4, is_host_transfer=true
  %recv = (bf16[4,8,128]{2,1,0}, u32[], token[]) recv(%after), channel_id=3, is_host_transfer=true, frontend_attributes={_xla_megascale_target="{1,2,3}x{0:15}"}
  %got = (bf16[4,8,128]{2,1,0}, token[]) recv-done(%recv), channel_id=3, is_host_transfer=true
  ROOT %result = bf16[4,8,128]{2,1,0} get-tuple-element(%got), index=0
}
"""  # noqa: E501
    (one,) = read_collectives(text)
    assert (one.kind, one.group, one.bytes, one.trips) == ("between-slices", 3, 2 * 4 * 8 * 128, 1)
