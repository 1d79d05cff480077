import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.service import Service, ServiceError, free_port

SERVE = "import http.server as h, sys; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]))"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
CHILD = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True);"


def python(folder: Path, code: str, *, serves: bool = True) -> Service:
    port = free_port()
    argv = [sys.executable, "-c", code, str(port)]
    probes = [f"tcp://127.0.0.1:{port}"] if serves else []
    return Service("made-up", argv, folder / "made-up.log", probes)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def child_of(service: Service) -> int:
    until(lambda: bool(service.tail()))
    return int(service.tail().splitlines()[0])


def test_a_free_port_is_kept_and_a_taken_one_replaced() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        other = free_port(wanted)
        assert other not in (0, wanted)
    # Whatever else starts on this machine may take a free port before we do.
    assert any(_kept_once(_free()) for _ in range(10))


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _kept_once(wanted: int) -> bool:
    return free_port(wanted) == wanted and free_port(wanted) != wanted


def test_it_is_up_when_it_serves_and_gone_when_stopped(tmp_path: Path) -> None:
    service = python(tmp_path, SERVE)
    service.start()
    pid = service.pid
    assert pid
    service.check()
    assert os.getpgid(pid) == pid != os.getpgid(0)
    service.stop()
    assert gone(pid)
    assert not service.alive
    service.stop()


def test_a_restarted_one_is_a_new_process_on_the_same_port(tmp_path: Path) -> None:
    service = python(tmp_path, SERVE)
    service.start()
    first = service.pid
    service.restart()
    assert service.pid not in (None, first)
    service.kill()
    service.start()
    service.stop()


@pytest.mark.parametrize("how", [Service.stop, Service.kill])
def test_nothing_of_its_group_is_left(tmp_path: Path, how: Callable[[Service], None]) -> None:
    service = python(tmp_path, CHILD + SERVE)
    service.start()
    child = child_of(service)
    assert not gone(child)
    how(service)
    until(lambda: gone(child))


def test_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devstack.service._GRACE", 0.2)
    service = python(tmp_path, STUBBORN + SERVE)
    service.start()
    pid = service.pid or 0
    service.stop()
    assert gone(pid)


def test_one_that_ends_at_once_shows_its_last_words(tmp_path: Path) -> None:
    service = python(tmp_path, "print('no such table'); raise SystemExit(3)")
    with pytest.raises(ServiceError) as caught:
        service.start()
    assert "made-up ended with exit code 3" in str(caught.value)
    assert str(caught.value).endswith("made-up.log:\nno such table")
    assert service.pid is None


def test_one_that_does_not_serve_is_stopped(tmp_path: Path) -> None:
    service = python(tmp_path, CHILD + "import time; time.sleep(600)")
    service.patience = 0.5
    with pytest.raises(ServiceError, match=r"did not serve within 0\.5 s"):
        service.start()
    until(lambda: gone(child_of(service)))


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    service = Service("nothing", ["./no-such-file"], tmp_path / "log", ["tcp://127.0.0.1:9"])
    with pytest.raises(ServiceError, match=r"cannot run \./no-such-file: No such file"):
        service.start()


def test_a_stranger_on_the_port_is_not_taken_for_it(tmp_path: Path) -> None:
    service = python(tmp_path, SERVE)
    port = int(service.argv[-1])
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(ServiceError, match=f"another process answers at tcp://127.0.0.1:{port}"),
    ):
        service.start()
    assert service.pid is None


def test_the_death_of_a_running_one_is_noticed(tmp_path: Path) -> None:
    service = python(tmp_path, SERVE)
    service.start()
    service.check()
    os.kill(service.pid or 0, signal.SIGKILL)
    until(lambda: not service.alive)
    with pytest.raises(ServiceError, match="exit code -9"):
        service.check()
    service.restart()
    service.stop()


LAUNCHER = """
import sys, time
from pathlib import Path
from devstack.service import Service
service = Service("made-up", ["sleep", "600"], Path(sys.argv[1]), [])
service.start()
print(service.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_nothing_is_left_when_the_launcher_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LAUNCHER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as launcher:  # noqa: S603 - our own code
        assert launcher.stdout
        pid = int(launcher.stdout.readline())
        launcher.kill()
    until(lambda: gone(pid))
