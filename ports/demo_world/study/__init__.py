"""The study: what each part of a memory is worth, on worlds whose truth is known."""
