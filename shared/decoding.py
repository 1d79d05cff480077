"""JSON into typed values, safely from many threads.

msgspec builds what it knows of a struct when it first decodes one, and crashes the whole process
where two threads do that at once for structs that share a part (0.22, CPython 3.11). So each shape
is made ready once, one after the other, before it is used.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_one_at_a_time = threading.Lock()


def decode(text: str | bytes, shape: type[T]) -> T:
    """The JSON `text` as a `shape`.

    Raises:
        msgspec.DecodeError: it is no JSON.
        msgspec.ValidationError: it is not of this shape.
    """
    value: T = _ready(shape).decode(text)
    return value


def convert(value: Any, shape: type[T]) -> T:  # noqa: ANN401 - any plain value
    """Plain values as a `shape`.

    Raises:
        msgspec.ValidationError: they are not of this shape.
    """
    _ready(shape)
    return msgspec.convert(value, shape)


def _ready(shape: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - any type
    found = _decoders.get(shape)
    if found is None:
        with _one_at_a_time:
            found = _decoders.get(shape) or msgspec.json.Decoder(shape)
            _decoders[shape] = found
    return found
