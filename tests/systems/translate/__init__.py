"""A tiny encoder-decoder with cross-attention: streams `source` and `target`, positions from 0 in both."""
