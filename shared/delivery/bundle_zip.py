"""A bundle as zip, read without trust: bounded, nothing outside, no links. Nothing of it is run."""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from pathlib import PurePosixPath

from shared.errors import InputError

MAX_ZIP_BYTES = 5_000_000
MAX_FILES = 2_000
MAX_FILE_BYTES = 1_000_000
MAX_BYTES = 20_000_000
_FIELD = "bundle"
_LONGEST_PATH = 400
# A zip's tables, each of its four kinds of compression, and what only looks like a zip.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, LookupError, struct.error),
)


def read_zip(content: bytes) -> dict[str, str]:
    """The text files of a zip, by path.

    Raises:
        InputError: it is no zip, too large in any way, or a path or an entry is not to be trusted.
    """
    if len(content) > MAX_ZIP_BYTES:
        raise InputError(_FIELD, f"expected a zip of at most {MAX_ZIP_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            return _files(packed)
    except _DAMAGED as error:
        raise InputError(_FIELD, f"expected a zip: {str(error)[:200]}") from None


def _files(packed: zipfile.ZipFile) -> dict[str, str]:
    entries = packed.infolist()
    if len(entries) > MAX_FILES:
        raise InputError(_FIELD, f"expected at most {MAX_FILES} files, got {len(entries)}")
    found: dict[str, str] = {}
    seen: set[str] = set()
    total = 0
    for entry in entries:
        path = _path(entry)
        if entry.is_dir():
            continue
        if path.lower() in seen:
            raise InputError(_FIELD, f"{path!r} is there twice")
        seen.add(path.lower())
        text = _text(packed, entry, path)
        total += len(text)
        if total > MAX_BYTES:
            raise InputError(_FIELD, f"expected at most {MAX_BYTES} bytes when unpacked")
        found[path] = text
    return found


def _path(entry: zipfile.ZipInfo) -> str:
    name = entry.filename
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or ":" in name or "\\" in name
    hidden = any(ord(character) < ord(" ") for character in name)
    if outside or hidden or not path.parts or len(name) > _LONGEST_PATH:
        raise InputError(_FIELD, f"the path {name[:100]!r} leads outside or is malformed")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise InputError(_FIELD, f"{name[:100]!r} is a link or a device: expected plain files")
    return str(path)


def _text(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, path: str) -> str:
    """One file; how much it says it holds is not believed, only how much comes out."""
    with packed.open(entry) as stream:
        content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InputError(_FIELD, f"{path!r}: expected at most {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(_FIELD, f"{path!r}: expected text in UTF-8") from None
