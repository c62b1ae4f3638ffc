"""Training loops that their authors wrote, watched and steered through PyTorch's optimizer hooks."""
