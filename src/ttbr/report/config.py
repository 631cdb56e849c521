"""The configuration that a kernel carries, as text."""

from collections.abc import Iterator

from ttbr.report.hostile import shown


def config_lines(text: str) -> Iterator[str]:
    """The lines of a .config; what is neither option nor comment becomes a comment.

    The text is the image's: a line of its own choice could be a command to whoever reads the
    output, as GitHub's workflows do.
    """
    for line in text.splitlines():
        known = not line or line.startswith(("CONFIG_", "#"))
        yield shown(line) if known else f"# {shown(line)}"
