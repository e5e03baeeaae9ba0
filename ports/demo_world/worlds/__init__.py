"""Worlds whose truth is known: families of procedural places, their exact renderers and the walks through them."""
