"""JSON into types, safely from many threads at once.

msgspec works out how to decode a class when it is first asked to, and lets other threads see what
it has worked out by then: two activities that begin a process together could end it with a
segmentation fault (msgspec 0.22). So whatever is decoded into a class has its decoder made here, by
one thread at a time, before anything is decoded with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
_making = threading.Lock()


def decode(raw: bytes | str, kind: Callable[..., T] | type[T]) -> T:
    """The value of type `kind` that the JSON in `raw` holds.

    Raises:
        msgspec.DecodeError: it is no JSON; as `msgspec.ValidationError`, it is something else.
    """
    return cast(T, _decoder(kind).decode(raw))


def convert(value: Any, kind: type[T]) -> T:  # noqa: ANN401 - any JSON value
    """A decoded JSON value as one of type `kind`.

    Raises:
        msgspec.ValidationError: it is something else.
    """
    _decoder(kind)
    return msgspec.convert(value, kind)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - a type, generic ones too
    found = _decoders.get(kind)
    if found is None:
        with _making:
            found = _decoders.get(kind) or msgspec.json.Decoder(kind)
            _decoders[kind] = found
    return found
