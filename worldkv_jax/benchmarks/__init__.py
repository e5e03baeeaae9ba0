"""Benchmarks: measuring what the library costs, apart from the commands that print it."""
