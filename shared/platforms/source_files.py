"""Whether a missing source file is there by now, in the one storage account that we may read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.clock import Clock
from shared.errors import PlatformMissing, PlatformRefused
from shared.models import Json
from shared.platforms.calls import read
from shared.platforms.data_factory import translate
from shared.platforms.observed import observed

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


@observed("source_storage")
class SourceFiles:
    """Reads one storage account."""

    def __init__(self, client: BlobServiceClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    def exists(self, container: str, path: str) -> bool | None:
        """Whether the blob, or the folder with something in it, is there; None if nobody can tell.

        That is where we may not look, where this account has no such container (then the file is
        missing in another account), and for a path with wildcards.

        Raises:
            PlatformUnavailable: storage does not answer.
        """
        if "*" in path or "?" in path:
            return None
        holder = self._client.get_container_client(container)

        def inside() -> bool:
            found = holder.list_blobs(name_starts_with=f"{path}/", results_per_page=1)
            return next(iter(found), None) is not None

        try:
            if read(holder.get_blob_client(path).exists, translate, self._clock):
                return True
            if not read(holder.exists, translate, self._clock):
                return None
            return bool(read(inside, translate, self._clock))
        except (PlatformRefused, PlatformMissing):
            return None


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
