"""The errors that ttbr raises on purpose."""


class TtbrError(Exception):
    """Something that ttbr can say in one line: what is wrong, where, and what to do."""


class InputError(TtbrError):
    """An input (file, device tree, option, register value) that cannot be used as it is."""
