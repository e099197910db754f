"""Messages for people that are made where no language is known yet. The English text is the id of its translations."""


def N_(message: str) -> str:  # noqa: N802 - the name that gettext's tools know
    """Mark a message for translation."""
    return message
