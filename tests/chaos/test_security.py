"""Who may call what, what cannot be forged, where nothing is sent, and what never comes out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import strategies as st

from devstack.processes import SCOPES, Stack
from shared.addresses import internal, literal, of_the_machine
from shared.errors import ConfigurationError, PlatformRefused
from shared.ledger.tables import ALL_TABLES
from shared.notify.links import Links, Ticket
from shared.notify.routing import Channel
from shared.notify.sending import Sender
from shared.platforms.playbooks import Playbooks
from shared.targets import check_urls
from tests.chaos.sizes import Chaos
from tests.chaos.test_endpoints import DESCRIPTION, OPERATIONS
from tests.e2e.hosts import Host, StartHost
from tests.e2e.test_databricks import NOTEBOOK, OUT_OF_MEMORY, job_failed
from tests.e2e.test_messages import CALLED, channel, received, sink
from tests.e2e.world import World

# Who calls


def ask(world: World, path: str, method: str, **headers: str) -> int:
    url = world.base_url + re.sub(r"{\w+}", "x", path)
    return requests.request(method, url, headers=headers, json={}, timeout=30).status_code


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda part: part)
def test_every_route_knows_its_callers(world: World, path: str, method: str) -> None:
    scopes = DESCRIPTION["paths"][path][method].get("x-scopes")
    if scopes is None:
        assert path == "/api/approvals/{token}", "only a signed link is a key by itself"
        assert ask(world, path, method) == 404
        return
    assert ask(world, path, method) == 401
    assert ask(world, path, method, **{"X-API-Key": "0" * 40}) == 401
    assert ask(world, path, method, **{"X-MS-CLIENT-PRINCIPAL": "e30="}) == 401
    for scope in SCOPES:
        status = ask(world, path, method, **{"X-API-Key": world.keys[scope]})
        assert (status == 403) is (scope not in scopes), (scope, status)
        assert status != 401


# Signed links

LINKS = Links("https://lakemend.example", "a-key-for-signing-links")
TICKET = Ticket("20261121-103050922-edc2bdd9", "b1946ac92492")
TOKEN = LINKS.sign(TICKET.incident_id, TICKET.question_id)


@st.composite
def forged(draw: st.DrawFn) -> str:
    """A token changed here and there, made of two, or signed with another key."""
    other = Links("https://x", "another-key-for-links").sign(TICKET.incident_id, TICKET.question_id)
    base = draw(st.sampled_from([TOKEN, other, LINKS.sign("20261121-103050922-edc2bdd9", "x")]))
    at = draw(st.integers(0, len(base)))
    piece = draw(st.one_of(st.text(max_size=5), st.just(TOKEN[:at]), st.sampled_from(TOKEN)))
    return draw(
        st.sampled_from([base[:at] + piece + base[at + 1 :], base[:at], piece + base, base])
    )


def test_links_cannot_be_forged(chaos: Chaos) -> None:
    real = {TICKET: True, Ticket("20261121-103050922-edc2bdd9", "x"): True}

    def check(token: str) -> None:
        # Base64 has several spellings of the same signature; what it signs stays what it was.
        found = LINKS.read(token)
        assert found is None or found in real
        signed = token.rpartition(".")[0]
        assert found is None or signed == f"{found.incident_id}.{found.question_id}"

    chaos.explore(chaos.of(100, 20_000), check, forged())
    assert LINKS.read(TOKEN) == TICKET
    assert Links("https://x", "").read(TOKEN) is None


# Addresses

LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "0x7f000001",
    "localhost",
]
LOOPBACK += [
    "localhost.",
    "LocalHost",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "0",
    "0.0.0.0",  # noqa: S104 - refused
]
METADATA = ["169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"]
METADATA += ["[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[::a9fe:a9fe]", "168.63.129.16"]
METADATA += ["[fe80::a9fe:a9fe]", "192.0.0.192", "[fd00:ec2::254]", "[2002:a9fe:a9fe::1]"]
HOUSE = ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "[fd12::1]", "[fec0::1]", "[::]"]


@pytest.mark.parametrize("host", [*LOOPBACK, *METADATA, *HOUSE])
def test_no_channel_leads_inside(host: str) -> None:
    said = Sender(allow_loopback=False).check(Channel("c", f"jsons://{host}/hook"))
    assert "internal" in said or "not understood" in said, said


@pytest.mark.parametrize("host", [*LOOPBACK, *METADATA])
def test_no_playbook_leads_to_the_machine(host: str) -> None:
    for url in (
        f"https://{host}/run",
        f"https://x.logic.azure.com@{host}/run",
        f"https://{host}\\@x.logic.azure.com/run",
        f"https://{host}#.logic.azure.com",
        f"https://{host}?.logic.azure.com",
        f"http://{host}/run",
    ):
        with pytest.raises(ConfigurationError):
            check_urls({"PLAYBOOK_RETRY_JOB": url}, ["logic.azure.com"])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names of a DNS of the test's own: what somebody else's DNS may answer any day."""
    known: dict[str, str] = {}

    def answer(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        return [(2, 1, 6, "", (known[host], 0))]

    monkeypatch.setattr("shared.addresses.socket.getaddrinfo", answer)
    return known


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "168.63.129.16", "::"])
def test_no_name_that_leads_inside_is_called(names: dict[str, str], address: str) -> None:
    names["x.logic.azure.com"] = names["hooks.example"] = address
    books = Playbooks({"b": "https://x.logic.azure.com/run"}, timeout=1)
    with pytest.raises(PlatformRefused, match="leads to this machine"):
        books.call("b", {})
    assert "internal" in Sender(allow_loopback=False).check(Channel("c", "jsons://hooks.example/x"))


def test_addresses_that_hold_others(chaos: Chaos) -> None:
    """IPv4 in every IPv6 form is judged as IPv4 is."""

    def check(address: Any) -> None:
        number = int(address)
        inside = internal(str(address), allow_loopback=False)
        for form in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}"):
            assert internal(form, allow_loopback=False) is inside, form
            assert of_the_machine(form) is of_the_machine(str(address)), form
        octal = ".".join(f"0{part:o}" for part in address.packed)
        assert literal(octal) == str(address)

    chaos.explore(chaos.of(100, 20_000), check, st.ip_addresses(v=4))


# Secrets


@pytest.fixture
def told(start_host: StartHost, world: World) -> tuple[Host, str]:
    name = sink()
    settings = {"NOTIFICATION_URLS": json.dumps([channel(world, name)])}
    return start_host(**CALLED, **settings), name


PLANTED = {
    "alert rule": "dapi00000000000000000000000000000001",
    "error message": "dapi00000000000000000000000000000002",
    "dedupe key": "dapi00000000000000000000000000000003",
    "url with a password": "hunter2-in-a-url-4",
    "signature": "c2lnbmF0dXJlLTU%3D",
    "platform error": "dapi00000000000000000000000000000006",
    "trace": "dapi00000000000000000000000000000007",
    "library": "hunter2-in-a-library-8",
    "header": "Basic-hunter2-in-a-header-9",
    "query": "hunter2-in-a-query-10",
    "note": "dapi00000000000000000000000000000011",
    "account key": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5YWJjZGVmZ2hpamtsbW5vcHFyc3R1"
    "dnd4eXoxMg==",
    "connection": "hunter2-in-a-connection-13",
    "key of an object": "dapi00000000000000000000000000000014",
}


def test_planted_secrets_stay_where_they_are(told: tuple[Host, str], stack: Stack) -> None:
    host, name = told
    alerts = _plant(host.world)
    incidents = [i for alert in alerts for i in host.world.incidents_of(alert)]

    def heard() -> bool:
        host.timer("messages_sweep")
        return bool(received(host.world, name))

    host.world.until(heard)

    came_out = "\n".join(
        [
            *(json.dumps(incident) for incident in incidents),
            *(host.world.get(f"/api/alerts/{alert}").text for alert in alerts),
            *(host.world.get(f"/api/{p}").text for p in ("incidents", "findings", "pause")),
            json.dumps(received(host.world, name)),
            Path(host.service.log).read_text("utf-8"),
            *_rows(host),
        ]
    )
    leaked = [where for where, secret in PLANTED.items() if secret in came_out]
    leaked += [scope for scope, key in stack.keys.items() if key in came_out]
    assert not leaked
    assert "[redacted]" in came_out
    assert len({i["error_type"] for i in incidents}) > 1


def _rows(host: Host) -> list[str]:
    """All that the ledger holds, as text."""
    from azure.data.tables import TableServiceClient

    connection = host.environment["AUDIT_STORAGE_CONNECTION"]
    with TableServiceClient.from_connection_string(connection) as service:
        return [
            str(dict(row))
            for table in ALL_TABLES
            for row in service.get_table_client(f"{host.prefix}{table}").list_entities()
        ]


def _plant(world: World) -> list[str]:
    """Alerts about failures whose every text carries a secret."""
    p = PLANTED
    error = {
        "errorCode": "2200",
        "message": f"504 Gateway Timeout at https://bob:{p['url with a password']}@h/x?sv=1&"
        f"sig={p['signature']} with {p['platform error']}, AccountKey={p['account key']}",
    }
    name = world.pipeline()
    alert = world.alert_on((name, world.failed_run(name, error)), alertRule=f"r {p['alert rule']}")
    alert["data"]["alertContext"]["properties"] = {p["key of an object"]: "x"}
    job = world.job({"task_key": "load", "environment_key": "default"} | NOTEBOOK)
    trace = (
        f"ValueError: no\n  at jdbc:sqlserver://h;user=a;password={p['connection']};x {p['trace']}"
    )
    outcome = OUT_OF_MEMORY | {"error": f"order 66 {p['error message']}", "trace": trace}
    world.script("databricks/outcomes", job_id=job, outcomes=[outcome], then=outcome)
    run = world.job_run(job)
    world.until(lambda: world.run_ended(run))
    own = {
        "failures": [
            {
                "kind": "library",
                "target": "databricks",
                "cluster_id": world.cluster(),
                "library": {
                    "pypi": {
                        "package": "pandas==2.2.0",
                        "repo": f"https://u:{p['library']}@index.example/simple",
                    }
                },
                "error_message": f"cannot install: token {p['error message']}",
            }
        ],
        "dedupe_key": p["dedupe key"],
    }
    headers = {"X-Forwarded-For": p["header"], "User-Agent": p["header"], "Referer": p["header"]}
    sent = [
        world.post("/azure-monitor", alert, **headers),
        world.post("/databricks-monitor", job_failed(run, job), **headers),
        world.post("/api/alerts", own, **headers),
    ]
    wrong = requests.get(
        f"{world.base_url}/api/incidents",
        params={"api_key": p["query"]},
        headers={"Authorization": p["header"]},
        timeout=30,
    )
    assert wrong.status_code == 401
    for unheard in ({"failures": p["note"]}, {"data": {"essentials": p["note"]}}, [p["note"]]):
        world.post("/api/alerts", unheard)
    pause = {"why": f"key {p['note']}", "minutes": 1}
    assert world.post("/api/pause", pause, "approver").status_code == 200
    assert requests.delete(
        f"{world.base_url}/api/pause", headers={"X-API-Key": world.keys["approver"]}, timeout=30
    ).ok
    return [str(answer.json()["alert_id"]) for answer in sent]


# Dependencies


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_package_is_pinned(file: str) -> None:
    lines = [line.partition("#")[0].strip() for line in Path(file).read_text("utf-8").splitlines()]
    loose = [line for line in lines if line and not line.startswith("-r ")]
    loose = [line for line in loose if not re.fullmatch(r"[\w.-]+(\[[\w,]+\])?==[\w.]+", line)]
    assert loose == []


def test_every_package_of_the_emulator_is_pinned_by_its_hash() -> None:
    packages = json.loads(Path("package-lock.json").read_text("utf-8"))["packages"]
    assert [name for name, p in packages.items() if name and "integrity" not in p] == []
    wanted = json.loads(Path("package.json").read_text("utf-8"))
    pins = wanted.get("dependencies", {}) | wanted.get("devDependencies", {})
    assert [name for name, version in pins.items() if not version[0].isdigit()] == []


def test_what_is_deployed_is_audited_in_the_workflow() -> None:
    workflow = Path(".github/workflows/pipeline.yml").read_text("utf-8")
    assert re.search(r"pip-audit==[\d.]+ pip-audit --requirement requirements.lock", workflow)
