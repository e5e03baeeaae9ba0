"""The demo: one world under several memories, scored against the renderer."""
