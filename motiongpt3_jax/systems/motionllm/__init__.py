"""MotionLLM: motion tokens enter the vocabulary of a pretrained language model, and LoRA adapters learn to use them."""
