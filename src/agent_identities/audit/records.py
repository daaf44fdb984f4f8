"""The records of a log: JSON values on one line or several lines, in an array, in a row, or behind a prefix.

The elements of an array, and of a list in an object (``events``, ``records``, ``items``), are records of their own as
soon as they end, so that a large document does not have to fit into memory. A JSON string cannot contain a line ending:
where a record is cut, reading goes on with the next line.
"""

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent_identities.audit.envelopes import CUT_EVENT, LONGEST, Contents, Decoder, NotJsonError, Unreadable, has_mark

_LINE_TO_SCAN = 4 * 1024 * 1024
"""A line of at least this length is read before its end, in case it contains many records. In bytes."""

_DEEPEST = 200
_CUT = "is cut: a JSON value without its end"
_BLANK = b" \t\r\0"  # a log that is truncated while it is written starts with NUL characters
_ENDS = b"}], \t\r\0"

_LINES_TO_SCAN = 64  # at once
_MOST_TRIES = 8  # to find a record in what was read as a part of a record that is cut

# The next bracket outside of strings, or the quotation mark of a string without its end.
_TOKEN = re.compile(rb'[^{}\[\]"]*+(?:"[^"\\\n]*+(?:(?:\\.)++[^"\\\n]*+)*+"[^{}\[\]"]*+)*+([{}\[\]"])')
_REST_OF_LINE = re.compile(rb'[^{}\[\]"\n]*\n')
_OBJECT, _LIST, _END_OF_OBJECT, _END_OF_LIST, _QUOTE = b'{[}]"'
_COLON, _COMMA = b":,"


class Record(NamedTuple):
    """What a record contains. ``line`` is the number of its first line. ``ended``: False if the log ends in it."""

    line: int
    contents: Contents
    ended: bool = True


class Splitter:
    """Divides the bytes of a log into records. The bytes can come in pieces of any size."""

    def __init__(self, decoder: Decoder, longest: int = LONGEST) -> None:
        self.lines = 0
        """The number of lines so far."""
        self._decoder = decoder
        self._longest = longest
        self._tail: list[bytes] = []
        self._tail_size = 0
        self._skip_line = False
        self._value: _Value | None = None
        self._breaks = 0  # since the last event
        self._resuming = False  # after a cut: what follows until the next event can be the rest of the cut record

    def feed(self, data: bytes) -> Iterator[Record]:
        """The records that end in these bytes."""
        first, ending, rest = data.partition(b"\n")
        if not ending:
            yield from self._feed_part(data)
            return
        yield from self._end_line(first)
        lines = rest.split(b"\n")
        self._tail, self._tail_size = [lines[-1]], len(lines[-1])
        del lines[-1]
        decode, count = self._decoder.json, self.lines
        self.lines += len(lines)
        for index, line in enumerate(lines):
            if self._value is None and line[:1] == b"{":
                try:
                    contents = decode(line)
                except NotJsonError:
                    pass
                else:
                    self._resuming = self._resuming and not contents.events
                    if not self._resuming:
                        yield Record(count + index + 1, contents)
                    continue
            yield from self._read(enumerate(lines[index:], count + index + 1))
            break

    def close(self) -> Iterator[Record]:
        """The records that the end of the log ends. The log ends in what follows the last event."""
        found = list(self._rest())
        end = max((index for index, record in enumerate(found, 1) if record.contents.events), default=0)
        yield from found[:end]
        yield from (record._replace(ended=False) for record in found[end:])

    def _rest(self) -> Iterator[Record]:
        if self._tail_size or self._skip_line:
            yield from self._end_line(b"")
        if self._value is not None:
            value, self._value = self._value, None
            yield _broken(value)
            self._resuming = True
            yield from self._read(value.lines_from(value.line + 1))
        left = self._decoder.close()
        if left.unreadable:
            yield Record(self.lines, left)

    def _feed_part(self, data: bytes) -> Iterator[Record]:
        """A part of a line."""
        if self._skip_line:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        if self._tail_size < min(_LINE_TO_SCAN, self._longest):
            return
        text = b"".join(self._tail)
        if self._value is None and text.lstrip(_BLANK)[:1] in (b"{", b"["):
            self._value = _Value(self.lines + 1, self._longest)
        if self._value is not None:
            self._tail, self._tail_size = [], 0
            yield from self._continue(text)
            if self._value is not None and self._value.broken:
                yield _broken(self._value)
                self._value, self._skip_line, self._resuming = None, True, True
        elif self._tail_size > self._longest:
            yield self._too_long(self.lines + 1, text)

    def _too_long(self, line: int, text: bytes) -> Record:
        self._tail, self._tail_size, self._skip_line = [], 0, True
        return Record(
            line,
            Contents(
                unreadable=(Unreadable(f"is longer than {self._longest:,} bytes", text if has_mark(text) else b""),)
            ),
        )

    def _end_line(self, end: bytes) -> Iterator[Record]:
        self.lines += 1
        if self._skip_line:
            self._skip_line = False
        elif self._tail_size + len(end) > self._longest and self._value is None:
            yield self._too_long(self.lines, b"".join((*self._tail, end)))
            self._skip_line = False
        else:
            yield from self._read(((self.lines, b"".join((*self._tail, end))),))
        self._tail, self._tail_size = [], 0

    def _read(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
        """The records of complete lines with their numbers."""
        todo = deque(lines)
        while todo:
            value = self._value
            if value is None:
                yield from self._read_line(*todo.popleft())
            else:
                some = [todo.popleft() for _ in range(min(len(todo), _LINES_TO_SCAN))]
                yield from self._continue(b"\n".join([line for _, line in some]) + b"\n")
                if value.finished and (rest := value.lines_after_the_end()):
                    todo.extendleft(reversed(some[-rest:]))
            if self._value is not None and self._value.broken:
                value, self._value = self._value, None
                yield _broken(value)
                self._resuming = True
                self._breaks += 1
                after = value.line + 1 if self._breaks <= _MOST_TRIES else value.line_of_the_break()
                todo.extendleft(reversed(list(value.lines_from(after))))

    def _read_line(self, number: int, line: bytes) -> Iterator[Record]:
        text = line.removeprefix(codecs.BOM_UTF8).strip(_BLANK + b",")
        if not text.strip(_ENDS):
            return  # a blank line, or the end of a document that is read in parts
        is_json = text[:1] in (b"{", b"[")
        if is_json:
            try:
                yield from self._found(number, self._decoder.json(text))
            except NotJsonError:
                pass
            else:
                return
        if text[:1] != b"{":
            contents = self._decoder.line(text)
            if contents.events or not is_json:
                yield from self._found(number, contents)
                return
        self._value = _Value(number, self._longest)
        yield from self._continue(line + b"\n")

    def _continue(self, data: bytes) -> Iterator[Record]:
        """The records that end in these bytes of a JSON value that is not complete."""
        value = self._value
        if value is None:
            return
        for line, text, outermost in value.feed(data):
            try:
                contents = self._decoder.json(text)
            except NotJsonError:
                contents = Contents(unreadable=(Unreadable("is not JSON", text if has_mark(text) else b""),))
            if contents.events or contents.unreadable or outermost:
                value.has_records = True
                yield from self._found(line, contents)
        if value.finished:
            self._value = None

    def _found(self, line: int, contents: Contents) -> Iterator[Record]:
        if self._resuming and not contents.events:
            return
        self._resuming = False
        if contents.events:
            self._breaks = 0
        yield Record(line, contents)


def _broken(value: "_Value") -> Record:
    text = value.text_before_the_break()
    if has_mark(text) and value.broken in ("", _CUT):
        return Record(value.line, Contents(unreadable=(Unreadable(CUT_EVENT, text),)))
    return Record(value.line, Contents(unreadable=(Unreadable(value.broken or _CUT, text if has_mark(text) else b""),)))


class _Value:
    """A JSON value, or several without a line ending between them, which is not complete."""

    def __init__(self, line: int, longest: int) -> None:
        self.broken = ""
        """Why reading cannot go on, else empty."""
        self.has_records = False
        """Whether elements of the value were records."""
        self.finished = False
        """Whether the value and its last line are complete."""
        self._longest = longest
        self._number = self._start_line = self._element_line = line
        self._text = bytearray()
        self._read = 0
        self._start = 0
        self._element = -1
        self._break: int | None = None
        self._open = bytearray()
        self._counted = 0
        self._begun = False

    @property
    def line(self) -> int:
        """The first line of what is not complete: the outermost value, or an element that is a record of its own."""
        return self._element_line if self._element >= 0 else self._start_line

    def lines_after_the_end(self) -> int:
        """The number of complete lines after the line on which the value ends."""
        return self._text.count(b"\n", self._read)

    def text_before_the_break(self) -> bytes:
        """The text that is not complete, without the next record."""
        return bytes(self._text[max(self._element, self._start) : self._break])

    def lines_from(self, first: int) -> Iterator[tuple[int, bytes]]:
        """The lines of what is not complete from this number on, to read each on its own."""
        lines = bytes(self._text[max(self._element, self._start) :]).split(b"\n")
        if not lines[-1]:
            lines.pop()
        return ((number, line) for number, line in enumerate(lines, self.line) if number >= first)

    def line_of_the_break(self) -> int:
        """The number of the line on which reading can go on: that of a record that is not expected, or the next."""
        start = max(self._element, self._start)
        position = self._read if self._break is None else self._break
        return self.line + max(1, self._text.count(b"\n", start, position) + (self._break is None))

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, bool]]:
        """The line and the text of each record that ends in these bytes, and whether it is an outermost value."""
        self._text += data
        while not self.broken:
            if self._begun and not self._open and (end := _REST_OF_LINE.match(self._text, self._read)):
                self._read = end.end()
                self.finished = True
                return
            found = _TOKEN.match(self._text, self._read)
            if found is None:
                if self._text.endswith(b"\n"):  # no string goes on in what follows
                    self._read = len(self._text)
                break
            position = found.start(1)
            token = self._text[position]
            if token == _QUOTE:
                if self._text.find(b"\n", position) >= 0:
                    self.broken = _CUT
                break
            if token in (_OBJECT, _LIST):
                self._begin(token, position)
            elif not self._open or self._open.pop() != (_OBJECT if token == _END_OF_OBJECT else _LIST):
                self.broken = _CUT
            else:
                yield from self._end(position + 1)
                continue
            self._read = position + 1
        if len(self._text) > self._longest and not self.broken:
            self.broken = f"is longer than {self._longest:,} bytes"

    def _line_of(self, position: int) -> int:
        self._number += self._text.count(b"\n", self._counted, position)
        self._counted = position
        return self._number

    def _before(self, position: int) -> int:
        """The last character before a position that is not blank."""
        while position > self._start and self._text[position - 1] in b" \t\r\n":
            position -= 1
        return self._text[position - 1] if position > self._start else 0

    def _begin(self, token: int, position: int) -> None:
        self._begun = True
        if not self._open:
            self._start, self._start_line = position, self._line_of(position)
            self.has_records = False
        else:
            expected = (_COLON,) if self._open[-1] == _OBJECT else (_COMMA, _LIST)
            if self._before(position) not in expected or len(self._open) > _DEEPEST:
                self.broken, self._break = _CUT, position
                return
            if token == _OBJECT and self._holds_records():
                self._element, self._element_line = position, self._line_of(position)
        self._open.append(token)

    def _holds_records(self) -> bool:
        return bytes(self._open) in (b"[", b"{[")

    def _end(self, end: int) -> Iterator[tuple[int, bytes, bool]]:
        self._read = end
        if self._element >= 0 and self._holds_records():
            yield self.line, bytes(self._text[self._element : end]), False
            self._element = -1
            if self.has_records:
                self._forget(end)
        elif not self._open:
            if not self.has_records:
                yield self.line, bytes(self._text[self._start : end]), True
            self._forget(end)

    def _forget(self, end: int) -> None:
        self._start_line = self._line_of(end)
        del self._text[:end]
        self._read = self._start = self._counted = 0
