"""Whether a missing file is there by now: what a storage account that we may read says."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from shared.clock import SystemClock
from shared.platforms.source_files import SourceFiles, connect


@pytest.fixture
def container(connection: str) -> Iterator[ContainerClient]:
    with BlobServiceClient.from_connection_string(connection) as client:
        yield client.create_container(f"raw{uuid4().hex[:8]}")


@pytest.fixture
def files(connection: str) -> SourceFiles:
    return connect(connection, "", None, SystemClock())


def test_a_blob_and_a_folder_are_looked_for(files: SourceFiles, container: ContainerClient) -> None:
    name = container.container_name
    assert files.exists(name, "in/a.csv") is False
    assert files.exists(name, "in") is False
    container.upload_blob("in/a.csv", b"1")
    assert files.exists(name, "in/a.csv") is True
    assert files.exists(name, "in") is True
    assert files.exists(name, "i") is False


def test_what_cannot_be_told(
    files: SourceFiles, container: ContainerClient, connection: str
) -> None:
    assert files.exists("elsewhere", "in/a.csv") is None
    assert files.exists(container.container_name, "in/*.csv") is None
    key = connection.partition("AccountKey=")[2].partition(";")[0]
    stranger = connect(connection.replace(key, "c3RyYW5nZXI="), "", None, SystemClock())
    assert stranger.exists(container.container_name, "in/a.csv") is None
