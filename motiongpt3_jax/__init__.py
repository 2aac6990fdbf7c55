"""MotionGPT3 in JAX: motion and language in one model."""
