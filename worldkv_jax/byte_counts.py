"""Byte counts as people read them: of memory in binary units, of files in decimal ones."""


def format_bytes(size: float) -> str:
    """Format a byte count of memory, in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def format_file_size(size: float) -> str:
    """Format the size of files in decimal units, as download pages and disks have it."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"
