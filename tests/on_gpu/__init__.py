"""What whoever has a GPU runs once: ``make gpu``."""
