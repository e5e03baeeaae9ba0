"""Parts of diffusion transformers of the Wan family: layers, attention, the block, the stack, the transformer."""
