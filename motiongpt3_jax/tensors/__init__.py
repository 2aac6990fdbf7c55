"""Tensors of files: pickles of PyTorch without executing them, safetensors, archives."""
