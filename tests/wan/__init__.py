"""Tests of the parts that the Wan family shares."""
