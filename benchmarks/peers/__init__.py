"""What a user would pick instead: the same model in PyTorch, and plain Keras."""
