"""What the programs of the released models share: weights with a bar, prompts, first frames, sizes, prices."""
