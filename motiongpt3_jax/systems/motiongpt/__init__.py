"""MotionGPT: a VQ-VAE turns motion into tokens, and one language model reads and writes words and motion alike."""
