"""Comparisons with PyTorch implementations, run side by side on random weights."""
