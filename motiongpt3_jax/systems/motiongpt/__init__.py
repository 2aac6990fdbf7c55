"""MotionGPT: motion as tokens of a vector-quantised autoencoder, written and read by one T5 (arXiv 2306.14795)."""
