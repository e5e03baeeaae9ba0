"""Play: a live page, and a server on which one sees the memory; needs the extra ``play``."""
