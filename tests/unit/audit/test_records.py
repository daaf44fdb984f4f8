from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_identities.audit.envelopes import Contents, Decoder
from agent_identities.audit.records import Record, Splitter
from support import audit_forms
from support.audit import event
from support.audit_forms import FORMS

COMPRESSED = (audit_forms.s3_export, audit_forms.firehose, audit_forms.firehose_twice, audit_forms.utf_16)
EVENTS = [event("reader", name=f"object-{number}") for number in range(4)]


def records(pieces: Iterable[bytes], longest: int = 10_000_000) -> list[Record]:
    splitter = Splitter(Decoder(), longest)
    found = [record for piece in pieces for record in splitter.feed(piece)]
    return [*found, *splitter.close()]


def names(found: Iterable[Record]) -> list[str]:
    return [each.request.name for record in found for each in record.contents.events]


@settings(max_examples=40)
@given(
    st.sampled_from([form for form in FORMS if form not in COMPRESSED]),
    st.lists(st.integers(min_value=1, max_value=900), min_size=1),
)
def test_the_records_do_not_depend_on_the_pieces(form: audit_forms.Form, sizes: list[int]) -> None:
    log = form(EVENTS)
    pieces: list[bytes] = []
    start = 0
    while start < len(log):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(log[start : start + size])
        start += size
    assert [each for each in records(pieces) if each.contents != ((), (), "")] == [
        each for each in records([log]) if each.contents != ((), (), "")
    ]


@given(st.binary(max_size=400), st.integers(min_value=0, max_value=3))
def test_any_bytes_before_an_event_on_a_line_of_its_own_do_not_hide_it(noise: bytes, before: int) -> None:
    log = audit_forms.native(EVENTS[:before]) + noise + b"\n" + audit_forms.native(EVENTS[before:])
    found = names(records([log]))
    assert found[:before] == [f"object-{number}" for number in range(before)]
    # a line that ends with an opened value can take the next line with it
    assert set(found) >= {f"object-{number}" for number in range(before + 1, 4)}


@given(st.binary(max_size=2_000))
def test_any_bytes_are_read_without_an_error(noise: bytes) -> None:
    records([noise])


@given(st.text(alphabet='{}[]",:\\ \n1a', max_size=60))
def test_any_brackets_and_quotation_marks_are_read_without_an_error(noise: str) -> None:
    log = noise.encode() + b"\n\n" + audit_forms.native(EVENTS)
    assert set(names(records([log]))) >= {"object-1", "object-2", "object-3"}


def test_a_record_that_is_too_long_is_a_problem_and_the_next_line_is_read() -> None:
    long = audit_forms.native([event("reader", requestObject="x" * 5_000)])
    found = records([long, audit_forms.native(EVENTS)], longest=2_000)
    assert [each.reason for each in found[0].contents.unreadable] == ["is longer than 2,000 bytes"]
    assert found[0].contents.unreadable[0].text
    assert len(names(found)) == 4


@pytest.mark.parametrize("line", [b'{"a":', b"[", b'"x": 1,', b'{"a": "', b'{"a":\n"x",\n"y",'])
def test_many_lines_that_open_values_take_no_more_time_than_their_length(line: bytes) -> None:
    """The work is counted, not timed: each line is read at most a few times."""
    lines = 3_000
    decoder = CountingDecoder()
    splitter = Splitter(decoder)
    found = [*splitter.feed((line + b"\n") * lines + b"\n" + audit_forms.native(EVENTS)), *splitter.close()]
    assert set(names(found)) >= {"object-1", "object-2", "object-3"}
    assert decoder.calls < 3 * lines


class CountingDecoder(Decoder):
    calls = 0

    def json(self, text: bytes) -> Contents:
        self.calls += 1
        return super().json(text)


@pytest.mark.parametrize("noise", [b"x" * 50_000, b'{"a": "' + b"x" * 50_000, b"[" * 50_000, bytes(50_000)])
def test_a_line_that_does_not_end_is_not_kept(noise: bytes) -> None:
    pieces = [noise[start : start + 100] for start in range(0, len(noise), 100)]
    found = records([*pieces, b"\n", audit_forms.native(EVENTS)], longest=2_000)
    assert len(names(found)) == 4
    assert found[0].contents.unreadable


def test_the_elements_of_a_list_are_records_before_the_document_ends() -> None:
    document = audit_forms.cloudwatch(EVENTS)
    splitter = Splitter(Decoder())
    found = list(splitter.feed(document[: document.index(b"object-3")]))
    assert names(found) == ["object-0", "object-1", "object-2"]


def test_a_document_that_is_longer_than_the_longest_record_is_read() -> None:
    many = [event("reader", name=f"object-{number}") for number in range(200)]
    for form in (audit_forms.cloudwatch, audit_forms.array, audit_forms.webhook, audit_forms.firehose_unpacked):
        document = form(many)
        pieces = [document[start : start + 700] for start in range(0, len(document), 700)]
        assert len(names(records(pieces, longest=5_000))) == 200, form
