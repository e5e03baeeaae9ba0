"""How the demo world's model is trained."""
