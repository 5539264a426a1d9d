"""Options that several methods take, checked alike."""


def whole_number(name: str, value: int, least: int) -> int:
    """Return the value of an option that counts something.

    Raises
    ------
    ValueError
        If it is no integer or less than `least`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(
            f"`{name}` must be an integer of at least {least}; got {value!r}."
        )
    return value
