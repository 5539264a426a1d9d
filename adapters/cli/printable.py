"""Names as a terminal can show them."""


def printable(text: str, /) -> str:
    """Return text on one line, with no character that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
