from motiongpt3_jax.configs import load_config
from motiongpt3_jax.experiment.check_config import check_config
from motiongpt3_jax.inference.folder import plain
from motiongpt3_jax.planning import filling
from motiongpt3_jax.planning.filling import make_loader, make_tokenizer, open_clips
from motiongpt3_jax.planning.stage_program import model_spec


def test_rows_are_filled_where_captions_give_fewer_pieces_than_the_tokenizer_has_ids(monkeypatch):
    monkeypatch.setattr(filling, "CLIPS", 24)
    config = check_config(plain(load_config("motiongpt3:test", ("tokenizer=train:8192",)).to_dict()))
    with open_clips(config) as (records, source):
        tokenizer = make_tokenizer(config, model_spec(config), records)
        assert tokenizer.base_vocabulary < 8192
        batch = next(make_loader(config, "generate", records, tokenizer).first_batches(1))
    assert source == "procedural"
    # Each motion to be made has its four holders among the motion slots, and none among the text.
    outputs = int((batch.extra["output_clip"] >= 0).sum())
    assert outputs > 0
    assert int((batch.streams["motion"].segments > 0).sum()) == 4 * outputs
