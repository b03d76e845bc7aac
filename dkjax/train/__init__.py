"""Training a ViT on what the server received: mesh, state, step, loop, checkpoints, metrics."""
