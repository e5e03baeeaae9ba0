"""Tests of Matrix-Game 2.0."""
