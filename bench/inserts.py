"""The reference of everything that is stored: inserting one entity at a time."""

from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from bench.load import CLIENTS, Load, drive

_TABLE = "reference"


def by_sdk(connection: str, count: int, clients: int = CLIENTS) -> Load:
    """Insert through azure-data-tables, in threads, as a user would."""
    from azure.data.tables import TableServiceClient

    with TableServiceClient.from_connection_string(connection) as service:
        table = service.create_table_if_not_exists(_TABLE)
        table.create_entity(_entity())
        times: list[float] = []

        def one(_: int) -> None:
            begin = time.perf_counter()
            table.create_entity(_entity())
            times.append(time.perf_counter() - begin)

        begin = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(one, range(count)))
        return Load(time.perf_counter() - begin, [204] * len(times), times)


def by_http(connection: str, count: int, clients: int = CLIENTS) -> Load:
    """Insert with as little client as there can be: what Azurite itself gives."""
    return asyncio.run(_by_http(connection, count, clients))


async def _by_http(connection: str, count: int, clients: int) -> Load:
    import aiohttp

    url, headers = _signed(connection)
    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def send(_: int) -> int:
            body = msgspec.json.encode(_entity())
            async with session.post(url, data=body) as answer:
                await answer.read()
                return answer.status

        await send(0)
        return await drive(count, send, clients)


def _signed(connection: str) -> tuple[str, dict[str, str]]:
    """The table's address with a signature for it, made once by the SDK."""
    from datetime import UTC, datetime, timedelta

    from azure.core.credentials import AzureNamedKeyCredential
    from azure.data.tables import (
        AccountSasPermissions,
        ResourceTypes,
        TableServiceClient,
        generate_account_sas,
    )

    parts = dict(part.split("=", 1) for part in connection.strip(";").split(";"))
    with TableServiceClient.from_connection_string(connection) as service:
        service.create_table_if_not_exists(_TABLE)
    signature = generate_account_sas(
        AzureNamedKeyCredential(parts["AccountName"], parts["AccountKey"]),
        ResourceTypes(object=True, container=True, service=True),
        AccountSasPermissions(read=True, write=True, add=True),
        datetime.now(UTC) + timedelta(hours=1),
    )
    headers = {
        "Content-Type": "application/json;odata=nometadata",
        "Accept": "application/json;odata=nometadata",
        "Prefer": "return-no-content",
        "x-ms-version": "2019-02-02",
        "DataServiceVersion": "3.0",
    }
    return f"{parts['TableEndpoint']}/{_TABLE}?{signature}", headers


def _entity() -> dict[str, Any]:
    """A small row, as an alert's, in a partition of sixteen."""
    row = uuid.uuid4().hex
    return {"PartitionKey": row[0], "RowKey": row, "received_at": "", "doc0": "x" * 400}
