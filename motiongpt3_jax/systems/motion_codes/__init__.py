"""Motion as tokens of a language model: codes of a VQ-VAE beside words, shared by the systems that work so."""
