import pytest

from motiongpt3_jax.parallel.hlo import Program
from motiongpt3_jax.planning.program_cost import Cost, CostReader, convolution_flops, stored_bytes

LOOP = """HloModule jit_step, num_partitions=1

%sliced (param_0.1: f32[3,64,32], param_1.1: s32[]) -> f32[64,32] {
  %param_0.1 = f32[3,64,32]{2,1,0} parameter(0)
  %param_1.1 = s32[] parameter(1)
  ROOT %part = f32[64,32]{1,0} dynamic-slice(%param_0.1, %param_1.1), dynamic_slice_sizes={1,64,32}
}

%body (state: (s32[], f32[8,64], f32[3,64,32], f32[3,8,32])) -> (s32[], f32[8,64], f32[3,64,32], f32[3,8,32]) {
  %state = (s32[], f32[8,64]{1,0}, f32[3,64,32]{2,1,0}, f32[3,8,32]{2,1,0}) parameter(0)
  %index = s32[] get-tuple-element(%state), index=0
  %x = f32[8,64]{1,0} get-tuple-element(%state), index=1
  %stack = f32[3,64,32]{2,1,0} get-tuple-element(%state), index=2
  %kept = f32[3,8,32]{2,1,0} get-tuple-element(%state), index=3
  %kernel = f32[64,32]{1,0} fusion(%stack, %index), kind=kLoop, calls=%sliced
  %product = f32[8,32]{1,0} dot(%x, %kernel), lhs_contracting_dims={1}, rhs_contracting_dims={0}
  %flat = f32[1,8,32]{2,1,0} bitcast(%product)
  %written = f32[3,8,32]{2,1,0} dynamic-update-slice(%kept, %flat, %index)
  ROOT %next = (s32[], f32[8,64]{1,0}, f32[3,64,32]{2,1,0}, f32[3,8,32]{2,1,0}) tuple(%index, %x, %stack, %written)
}

%condition (state.1: (s32[], f32[8,64], f32[3,64,32], f32[3,8,32])) -> pred[] {
  %state.1 = (s32[], f32[8,64]{1,0}, f32[3,64,32]{2,1,0}, f32[3,8,32]{2,1,0}) parameter(0)
  %index.1 = s32[] get-tuple-element(%state.1), index=0
  %end = s32[] END
  ROOT %less = pred[] compare(%index.1, %end), direction=LT
}

ENTRY %main (arg: (s32[], f32[8,64], f32[3,64,32], f32[3,8,32])) -> (s32[], f32[8,64], f32[3,64,32], f32[3,8,32]) {
  %arg = (s32[], f32[8,64]{1,0}, f32[3,64,32]{2,1,0}, f32[3,8,32]{2,1,0}) parameter(0)
  ROOT %loop = (s32[], f32[8,64], f32[3,64,32], f32[3,8,32]) while(%arg), condition=%condition, body=%body
}
"""

FLOPS = 2 * 8 * 64 * 32
KERNEL, INPUT, RESULT = 4 * 64 * 32, 4 * 8 * 64, 4 * 8 * 32
BYTES = 2 * KERNEL + 4 + (INPUT + KERNEL + RESULT) + 2 * RESULT
"""Of one trip: the slice read and written, the product, the part of the stack that is written in place."""


@pytest.mark.parametrize("end", ["constant(3)", "custom-call()"])
def test_the_body_of_a_loop_counts_as_often_as_it_runs_and_stacks_by_their_parts(end):
    reader = CostReader(Program.of(LOOP.replace("END", end)))
    assert reader.total() == Cost(3 * FLOPS, 3 * (BYTES) + reader_condition(reader) * 3)
    assert reader.total(False).flops == FLOPS


def reader_condition(reader):
    """Bytes of one test of the loop's end."""
    computation = reader.program.computations["condition"]
    return sum(reader.cost("condition", one).bytes for one in computation.values())


def test_a_batched_product_of_a_tpu_counts_where_its_window_meets_the_input():
    window = "window={size=16x4 stride=15x3 lhs_dilate=16x4}, dim_labels=01bf_01oi->01bf"
    flops = convolution_flops((16, 4, 50, 8), (16, 4, 50, 8), (16, 4, 50, 50), window)
    assert flops == 2 * 16 * 4 * 50 * 50 * 8


def test_a_convolution_leaves_its_padding_out():
    window = "window={size=3 pad=1_1}, dim_labels=b0f_0io->b0f"
    assert convolution_flops((2, 10, 4), (3, 4, 5), (2, 10, 5), window) == 2 * 2 * 4 * 5 * (3 * 10 - 2)


def test_arrays_count_with_the_padding_of_their_tiles_and_only_in_hbm():
    assert stored_bytes("f32[10,100]{1,0}") == 4000
    assert stored_bytes("f32[10,100]{1,0:T(8,128)}") == 4 * 16 * 128
    assert stored_bytes("(bf16[10,100]{0,1:T(8,128)(2,1)}, s32[]{:T(128)})") == 2 * 128 * 104 + 4
    assert stored_bytes("f32[10,100]{1,0:T(8,128)S(1)}") == 0


KERNEL_CALL = """HloModule jit_step, num_partitions=1

ENTRY %main (q: bf16[8,128]) -> bf16[8,128] {
  %q = bf16[8,128]{1,0} parameter(0)
  ROOT %k = bf16[8,128]{1,0} custom-call(%q), custom_call_target="tpu_custom_call", backend_config=CONFIG
}
"""


def test_a_kernel_of_its_own_brings_its_flops_along():
    estimate = '{"flops":"9000","transcendentals":"0","bytes_accessed":"10"}'
    config = f'{{"custom_call_config": {{"body":"x","cost_estimate":{estimate}}}}}'
    reader = CostReader(Program.of(KERNEL_CALL.replace("CONFIG", config)))
    assert reader.total() == Cost(9000.0, 2 * 2 * 8 * 128)
    assert reader.kernels == 1


STEPS = """HloModule jit_step, num_partitions=4

%start (shard.0: f32[2,64]) -> (f32[2,64], f32[8,64]) {
  %shard.0 = f32[2,64] parameter(0)
  %gather.0 = f32[8,64] all-gather(%shard.0), channel_id=1, backend_config={"async_collective_fusion_config":{}}
  ROOT %begun = (f32[2,64], f32[8,64]) custom-call(%gather.0), custom_call_target="AsyncCollectiveStart"
}

%step (shard.1: f32[2,64], whole.1: f32[8,64], x.1: f32[4,8]) -> (f32[4,4], f32[2,64], f32[8,64], f32[8,64]) {
  %shard.1 = f32[2,64] parameter(0)
  %whole.1 = f32[8,64] parameter(1)
  %x.1 = f32[4,8] parameter(2)
  %gather.1 = f32[8,64] all-gather(%shard.1), channel_id=1, backend_config={"async_collective_fusion_config":{}}
  %square = f32[4,4] dot(%x.1, %x.1), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  ROOT %on = (f32[4,4], f32[2,64], f32[8,64], f32[8,64]) tuple(%square, %shard.1, %whole.1, %gather.1)
}

%done (shard.2: f32[2,64], whole.2: f32[8,64]) -> f32[8,64] {
  %shard.2 = f32[2,64] parameter(0)
  %whole.2 = f32[8,64] parameter(1)
  %gather.2 = f32[8,64] all-gather(%shard.2), channel_id=1, backend_config={"async_collective_fusion_config":{}}
  ROOT %ended = f32[8,64] custom-call(%shard.2, %whole.2, %gather.2), custom_call_target="AsyncCollectiveDone"
}

ENTRY %main (shard: f32[2,64], x: f32[4,8]) -> f32[8,64] {
  %shard = f32[2,64] parameter(0)
  %x = f32[4,8] parameter(1)
  %first = (f32[2,64], f32[8,64]) fusion(%shard), kind=kCustom, calls=%start
  %shard.3 = f32[2,64] get-tuple-element(%first), index=0
  %whole.3 = f32[8,64] get-tuple-element(%first), index=1
  %second = (f32[4,4], f32[2,64], f32[8,64], f32[8,64]) fusion(%shard.3, %whole.3, %x), kind=kOutput, calls=%step
  %shard.4 = f32[2,64] get-tuple-element(%second), index=1
  %whole.4 = f32[8,64] get-tuple-element(%second), index=3
  ROOT %last = f32[8,64] fusion(%shard.4, %whole.4), kind=kCustom, calls=%done
}
"""
"""A gather that runs beside a product, as a TPU's compiler writes it."""


def test_a_gather_beside_other_work_moves_its_bytes_once():
    moved, product = 4 * 64 * (2 + 8), 4 * (4 * 8 + 4 * 4)
    assert CostReader(Program.of(STEPS)).total() == Cost(2 * 4 * 4 * 8, moved + product)


RENAMED = """HloModule jit_step, num_partitions=1

%renamed (inner: f32[64,32]) -> f32[64,32] {
  %inner = f32[64,32]{1,0} parameter(0)
  ROOT %other = f32[64,32]{1,0} bitcast(%inner)
}

%outer (x: f32[8,64], w: f32[64,32]) -> f32[8,32] {
  %x = f32[8,64]{1,0} parameter(0)
  %w = f32[64,32]{1,0} parameter(1)
  %kernel = f32[64,32]{1,0} fusion(%w), kind=kLoop, calls=%renamed
  ROOT %product = f32[8,32]{1,0} dot(%x, %kernel), lhs_contracting_dims={1}, rhs_contracting_dims={0}
}

ENTRY %main (a: f32[8,64], b: f32[64,32]) -> f32[8,32] {
  %a = f32[8,64]{1,0} parameter(0)
  %b = f32[64,32]{1,0} parameter(1)
  ROOT %result = f32[8,32]{1,0} fusion(%a, %b), kind=kOutput, calls=%outer
}
"""


def test_a_kernel_that_a_fusion_gives_another_shape_before_it_multiplies_is_read():
    assert CostReader(Program.of(RENAMED)).total() == Cost(FLOPS, INPUT + KERNEL + RESULT)
