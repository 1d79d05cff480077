import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientResponse, ClientSession

from devhost.host import Host
from devhost.protocol import Json
from tests.devhost import sample_app
from tests.devhost.helpers import finished, until

EVENT = {
    "id": "1",
    "topic": "t",
    "subject": "s",
    "eventType": "Some.Thing",
    "eventTime": "2026-01-02T03:04:05Z",
    "data": {"a": 1},
    "dataVersion": "1",
}
CLOUD_EVENT = {"specversion": "1.0", "id": "c1", "source": "s", "type": "T", "data": {}}
WEBHOOK = "/runtime/webhooks/eventgrid?functionName=on_event"
DURABLE = "/runtime/webhooks/durabletask"


@pytest.fixture
async def web(host: Host) -> AsyncIterator[ClientSession]:
    async with ClientSession(host.url) as session:
        yield session


async def empty(response: ClientResponse, status: int) -> bool:
    return response.status == status and await response.read() == b""


async def test_ready(web: ClientSession) -> None:
    assert await (await web.get("/admin/host/status")).json() == {"state": "Running"}


async def test_route_and_query_parameters(web: ClientSession, host: Host) -> None:
    response = await web.get("/things/42?a=1&a=2&b=%C3%BC%20x")
    assert response.status == 203
    assert response.headers["Content-Type"] == "application/json"
    content = await response.json()
    assert content["params"] == {"a": "1,2", "b": "ü x"}
    assert content["id"] == "42"
    assert content["url"].startswith(f"{host.url}/things/42?a=1")


async def test_constraints_and_precedence(web: ClientSession) -> None:
    guid = str(uuid.uuid4())
    assert await (await web.get(f"/things/{guid}")).text() == f"guid {guid}"
    assert await (await web.get("/THINGS/special/")).text() == "special"
    assert await (await web.get("/files/a/b%20c/d%2Fe%25")).text() == "a/b c/d%2Fe%"
    assert await (await web.get("/files")).text() == ""


async def test_what_is_not_found_is_empty(web: ClientSession) -> None:
    assert await empty(await web.get("/nowhere"), 404)
    assert await empty(await web.get("/things/no-number"), 404)
    assert await empty(await web.post("/things/42"), 404)


async def test_bodies_headers_and_context(web: ClientSession) -> None:
    body = bytes(range(256)) * 20_000
    response = await web.put("/things/big", data=io.BytesIO(body))
    assert await response.read() == body
    assert response.headers["X-Size"] == str(len(body))
    assert response.headers["X-Function"] == "put_thing"


async def test_a_body_over_the_limit(web: ClientSession) -> None:
    response = await web.put("/things/big", data=io.BytesIO(b"x" * (100 * 1024 * 1024 + 1)))
    assert response.status == 413


async def test_an_exception_is_an_empty_500(
    web: ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    assert await empty(await web.get("/explode"), 500)
    raised = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [repr(error) for error in raised] == ["RuntimeError('boom')"]


async def test_function_keys(web: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEVHOST_FUNCTION_KEY", raising=False)
    assert await empty(await web.get("/locked?code="), 401)
    monkeypatch.setenv("DEVHOST_FUNCTION_KEY", "key")
    assert await empty(await web.get("/locked?code=wrong"), 401)
    assert await (await web.get("/locked?code=key")).text() == "open"
    assert await (await web.get("/locked", headers={"x-functions-key": "key"})).text() == "open"


async def test_a_timer_function_by_hand(web: ClientSession, host: Host) -> None:
    assert (await web.post("/admin/functions/sweep", json={"input": ""})).status == 202
    assert (await web.post("/admin/functions/echo")).status == 400
    assert (await web.post("/admin/functions/nobody")).status == 404
    await until(lambda: "from-timer" in host.engine.instances)
    assert (await finished(host.engine, "from-timer")).status == "Completed"


async def test_event_grid(web: ClientSession) -> None:
    notify = {"aeg-event-type": "Notification"}
    sample_app.calls.clear()
    assert (await web.post(WEBHOOK, json=[EVENT], headers=notify)).status == 202
    assert (await web.post(WEBHOOK, json=CLOUD_EVENT)).status == 202
    assert sample_app.calls == ["event 1", "event c1"]
    bad = [EVENT | {"data": "bad"}, EVENT]
    assert (await web.post(WEBHOOK, json=bad, headers=notify)).status == 500
    assert (await web.post(WEBHOOK, data=b"{", headers=notify)).status == 400
    assert (await web.post(WEBHOOK, json=[EVENT])).status == 400
    assert (await web.post(f"{WEBHOOK}x", json=[EVENT], headers=notify)).status == 404


async def test_event_grid_handshakes(web: ClientSession) -> None:
    headers = {"aeg-event-type": "SubscriptionValidation"}
    event = EVENT | {"data": {"validationCode": "c0de"}}
    response = await web.post(WEBHOOK, json=[event], headers=headers)
    assert await response.json() == {"validationResponse": "c0de"}
    origin = {"WebHook-Request-Origin": "eventgrid.azure.net"}
    response = await web.options(WEBHOOK, headers=origin)
    assert response.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"


class Client:
    """The SDK's durable client, driven through an HTTP function."""

    def __init__(self, web: ClientSession) -> None:
        self._web = web

    async def __call__(self, operation: str, instance: str, body: Json = None) -> Json:
        response = await self._web.post(f"/client/{operation}/{instance}", data=json.dumps(body))
        if response.status != 200:
            raise LookupError(await response.text())
        return await response.json()


@pytest.fixture
def client(web: ClientSession) -> Client:
    return Client(web)


async def test_the_sdk_s_client_through_a_life(client: Client, host: Host) -> None:
    start = {"name": "wait", "input": {"ü": [1, "a"]}, "version": "9.9"}
    assert await client("start", "life", start) == "life"
    with pytest.raises(LookupError, match="already exists"):
        await client("start", "life", start)
    await until(lambda: host.engine.known("life").status == "Running")
    status = await client("status", "life")
    assert status["status"]["runtimeStatus"] == "Running"
    assert json.loads(status["input"]) == {"ü": [1, "a"]}
    await client("event", "life", {"name": "go", "value": {"ok": "ü"}})
    await finished(host.engine, "life")
    status = await client("status", "life")
    assert status["status"]["output"] == {"value": {"ok": "ü"}, "version": "9.9"}
    assert status["events"] == 4
    with pytest.raises(LookupError, match="gone"):
        await client("event", "life", {"name": "go", "value": 1})
    assert await client("purge", "life") == 1
    assert await client("purge", "life") == 0
    assert (await client("status", "life"))["status"] is None


async def test_the_sdk_s_client_terminates_suspends_and_restarts(
    client: Client, host: Host
) -> None:
    await client("start", "a", {"name": "wait"})
    await client("suspend", "a", "wait a little, ü?")
    assert host.engine.known("a").status == "Suspended"
    await client("resume", "a", "go on")
    await client("terminate", "a", "for good & ever")
    status = await client("status", "a")
    assert status["status"]["runtimeStatus"] == "Terminated"
    assert status["status"]["output"] == "for good & ever"
    restarted = await client("restart", "a")
    assert host.engine.known(restarted).start.name == "wait"
    with pytest.raises(LookupError, match="does not rewind"):
        await client("rewind", "a", "why")
    with pytest.raises(LookupError, match="No instance with ID nobody"):
        await client("event", "nobody", {"name": "go", "value": 1})
    with pytest.raises(LookupError, match="not an orchestrator function"):
        await client("start", "x", {"name": "nobody"})


async def test_the_sdk_s_client_lists_and_purges(client: Client, host: Host) -> None:
    for number in range(3):
        await client("start", f"done-{number}", {"name": "chain", "input": number})
        await finished(host.engine, f"done-{number}")
    await client("start", "done-not", {"name": "wait"})
    assert await client("list", "done-", ["Completed"]) == ["done-0", "done-1", "done-2"]
    assert await client("purge_all", "-") == 3
    assert await client("list", "done-", []) == ["done-not"]


async def test_pages_of_instances(web: ClientSession, host: Host) -> None:
    for number in range(5):
        host.engine.start("wait", instance=f"i{number}")
    found: list[str] = []
    headers: dict[str, str] = {}
    for _ in range(3):
        response = await web.get(f"{DURABLE}/instances?top=2", headers=headers)
        found += [each["instanceId"] for each in await response.json()]
        token = response.headers.get("x-ms-continuation-token")
        headers = {"x-ms-continuation-token": token} if token else {}
    assert found == [f"i{number}" for number in range(5)]
    assert not headers


async def test_plain_posts_to_the_management_api(web: ClientSession, host: Host) -> None:
    response = await web.post(f"{DURABLE}/orchestrators/echo_all/plain", json=["x"])
    assert response.status == 202
    urls = await response.json()
    await finished(host.engine, "plain")
    response = await web.get(urls["statusQueryGetUri"])
    assert (response.status, (await response.json())["output"]) == (200, ["x"])
    response = await web.post(f"{DURABLE}/orchestrators/echo_all", data=b"{")
    assert response.status == 400


async def test_twenty_starts_of_one_id_give_one(web: ClientSession) -> None:
    url = f"{DURABLE}/orchestrators/wait/only"
    answers = await asyncio.gather(*(web.post(url) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [202] + [409] * 19
