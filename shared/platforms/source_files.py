"""Whether a missing source file is there by now, in the one storage account that we may read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.clock import Clock
from shared.errors import PlatformRefused
from shared.models import Json
from shared.platforms.calls import read
from shared.platforms.data_factory import translate

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobServiceClient

# As Data Factory words it: "ContainerName: starter1, path: starter1/file.csv."
_NAMED = re.compile(r"ContainerName:\s*([a-z0-9$-]{3,63}),\s*path:\s*([^,'\n]{1,1000})")


def missing_file(message: str) -> Json | None:
    """Container and path of the file that an error names, None if it names none."""
    match = _NAMED.search(message[:20_000])
    if match is None:
        return None
    container, path = match.group(1), match.group(2).strip().rstrip(".")
    inside = path.removeprefix(f"{container}/").strip("/")
    return {"container": container, "path": inside} if inside else None


class SourceFiles:
    """Reads one storage account."""

    def __init__(self, client: BlobServiceClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def exists(self, container: str, path: str) -> bool:
        """Whether the blob is there; False also where it may not be looked for.

        Raises:
            PlatformUnavailable: storage does not answer.
        """
        blob = self._client.get_blob_client(container, path)
        try:
            return bool(read(blob.exists, translate, self._clock))
        except PlatformRefused:
            return False


def connect(
    connection: str, account_url: str, credential: TokenCredential | None, clock: Clock
) -> SourceFiles:
    """A reader of the account that a connection string or URL names."""
    from azure.storage.blob import BlobServiceClient

    if connection:
        client = BlobServiceClient.from_connection_string(connection, retry_total=0)
    else:
        client = BlobServiceClient(account_url, credential=credential, retry_total=0)
    return SourceFiles(client, clock)
