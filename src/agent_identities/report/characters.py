"""Characters that control a terminal, in text of others: a name in a request can have them, and reports show it."""

_LINE_BREAK, _TAB = 0x0A, 0x09
_DIRECTIONS = (0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (_LINE_BREAK, _TAB)}
_CONTROLS |= {code: f"\\u{code:04x}" for code in _DIRECTIONS}


def visible(text: str) -> str:
    """The text with escapes for the characters that control a terminal. Line breaks and tabs remain."""
    return text if text.isprintable() else text.translate(_CONTROLS)
