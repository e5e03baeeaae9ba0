"""The demo world: procedural rooms with exact cameras, and a small world model trained on them."""

from ports.demo_world.backbone import DemoParams, DemoWorld

__all__ = ["DemoParams", "DemoWorld"]
