import gzip
import os
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_identities.audit.sources import Cut, LogError, Piece, Waiting, files, follow, read

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOG = b"".join(b"line %d\n" % number for number in range(20_000))


def content(pieces: Iterator[Piece]) -> tuple[bytes, list[Cut]]:
    found = list(pieces)
    return b"".join(each for each in found if isinstance(each, bytes)), [
        each for each in found if isinstance(each, Cut)
    ]


@pytest.mark.parametrize(
    "packed",
    [
        LOG,
        gzip.compress(LOG),
        gzip.compress(gzip.compress(LOG)),
        gzip.compress(LOG[:999]) + gzip.compress(b"") + gzip.compress(LOG[999:]),
        gzip.compress(LOG) + b"\0" * 512,
        zstd.compress(LOG),
        zstd.compress(LOG[:999]) + zstd.compress(LOG[999:]),
        zstd.compress(gzip.compress(LOG)),
        LOG.decode().encode("utf-16"),
        gzip.compress(LOG.decode().encode("utf-16")),
    ],
    ids=["plain", "gzip", "twice", "members", "padding", "zstd", "frames", "both", "utf-16", "gzip-utf-16"],
)
def test_the_compression_is_known_by_the_content(packed: bytes, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(packed)
    assert content(read(str(log))) == (LOG, [])


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_compressed_data_that_are_cut_are_read_to_the_cut(pack: type, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    packed = pack(os.urandom(1_000_000).hex().encode())
    log.write_bytes(packed[: len(packed) // 2])
    found, (cut,) = content(read(str(log)))
    assert 500_000 < len(found) < 1_500_000
    assert (cut.ended, "are cut" in cut.reason) == (False, True)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress], ids=["gzip", "zstd"])
def test_damaged_data_are_a_problem(pack: type, tmp_path: Path) -> None:
    packed = bytearray(pack(LOG))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    log = tmp_path / "audit.log"
    log.write_bytes(packed)
    _, (cut,) = content(read(str(log)))
    assert (cut.ended, "damaged" in cut.reason) == (True, True)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_data_that_unpack_to_very_much_do_not_fill_the_memory(name: str, tmp_path: Path) -> None:
    if name == "gzip":
        packer = zlib.compressobj(wbits=31)
        packed = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    else:
        packed = zstd.compress(bytes(200 * 2**20))
    log = tmp_path / "audit.log"
    log.write_bytes(packed)
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in read(str(log)) if isinstance(piece, bytes))
        assert size == 200 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b"PK\x03\x04", "zip"), (b"\xfd7zXZ\x00", "xz"), (b"BZh9", "bzip2"), (bytes(257) + b"ustar", "tar")],
)
def test_an_archive_is_an_error_with_the_command_that_extracts_it(start: bytes, kind: str, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(start + bytes(1_000))
    with pytest.raises(LogError, match=f"{kind}.*Extract it first"):
        content(read(str(log)))


def test_a_directory_is_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.gz", "a/1.gz", "c.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LOG)
    assert [Path(name).name for name in files([str(tmp_path), "-"])] == ["1.gz", "2.gz", "c.log", "-"]


def test_a_directory_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="has no files"):
        list(files([str(tmp_path)]))


def test_a_log_that_cannot_be_opened_is_an_error_with_a_remediation(tmp_path: Path) -> None:
    for reading in (read, follow):
        with pytest.raises(LogError, match="Use a readable audit log"):
            list(reading(str(tmp_path / "missing.log")))


# ---- a log that grows


def until_waiting(pieces: Iterator[Piece]) -> bytes:
    found = b""
    for piece in pieces:
        if isinstance(piece, Waiting):
            break
        assert isinstance(piece, bytes)
        found += piece
    return found


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"first\n")
    pieces = follow(str(log))
    assert until_waiting(pieces) == b"first\n"
    with log.open("ab") as file:
        file.write(b"second\n")
    assert until_waiting(pieces) == b"second\n"


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"first\n")
    pieces = follow(str(log))
    until_waiting(pieces)
    with log.open("ab") as file:
        log.rename(tmp_path / "audit-1.log")
        assert until_waiting(pieces) == b""  # the new file is not there yet
        file.write(b"last\n")
        file.flush()
        log.write_bytes(b"new\n")
        assert until_waiting(pieces).split() == [b"last", b"new"]


def test_a_truncated_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"a long first line\n")
    pieces = follow(str(log))
    until_waiting(pieces)
    log.write_bytes(b"short\n")
    assert until_waiting(pieces).split() == [b"short"]
