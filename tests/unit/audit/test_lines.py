import gzip
import io
from pathlib import Path

import pytest

from agent_identities.audit.lines import Line, LogError, lines, read


def gzip_file(data: bytes) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=io.BytesIO(data))


def test_lines_have_numbers_and_no_line_endings() -> None:
    assert list(lines(io.BytesIO(b"a\r\n\nb\n"))) == [Line(1, b"a"), Line(2, b""), Line(3, b"b")]


def test_a_last_line_without_a_line_ending_is_not_ended() -> None:
    assert list(lines(io.BytesIO(b"a\nb"))) == [Line(1, b"a"), Line(2, b"b", ended=False)]


def test_a_line_that_is_too_long_is_a_problem_and_the_next_line_is_read() -> None:
    first, second = lines(io.BytesIO(b"x" * 100 + b"\nnext\n"), longest=10)
    assert (first.number, first.text, "longer than 10" in first.problem) == (1, b"", True)
    assert second == Line(2, b"next")


def test_a_gzip_file_is_recognized_without_its_suffix(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(gzip.compress(b"a\nb\n"))
    assert [line.text for line in read(str(log))] == [b"a", b"b"]


def test_truncated_gzip_data_have_a_last_line_that_is_not_ended() -> None:
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(20_000)))
    found = list(lines(gzip_file(whole[: len(whole) // 2])))
    assert not found[-1].ended
    assert all(line.text == b"%d" % (line.number - 1) for line in found[:-1])
    assert len(found) > 1_000


def test_damaged_gzip_data_are_a_problem_with_the_line_number() -> None:
    whole = bytearray(gzip.compress(b"".join(b"%d\n" % number for number in range(20_000))))
    whole[len(whole) // 2] ^= 0xFF
    last = list(lines(gzip_file(bytes(whole))))[-1]
    assert "damaged gzip data" in last.problem
    assert last.number > 1


@pytest.mark.parametrize("name", ["missing.log", "."])
def test_a_log_that_cannot_be_opened_is_an_error_with_a_remediation(tmp_path: Path, name: str) -> None:
    with pytest.raises(LogError, match="Use a readable audit log"):
        list(read(str(tmp_path / name)))
