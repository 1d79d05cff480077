from sandbox.testing import Sandbox


def test_a_sink_keeps_what_it_is_sent_in_order(sandbox: Sandbox) -> None:
    for n in range(2):
        assert sandbox.raw("POST", "/sink/a", {"n": n}, token=None).status == 200
    assert sandbox.raw("POST", "/sink/b/hooks/token", {"n": 2}, token=None).status == 200
    assert sandbox.control("GET", "sink/a") == {"received": [{"n": 0}, {"n": 1}]}
    assert sandbox.control("GET", "sink/b") == {"received": [{"n": 2}]}
    assert sandbox.control("GET", "sink/none") == {"received": []}


def test_what_a_fault_answers_is_not_received(sandbox: Sandbox) -> None:
    sandbox.script("faults", name="down", path="/sink/a", status=500, times=1)
    assert sandbox.raw("POST", "/sink/a", {"n": 1}, token=None).status == 500
    assert sandbox.control("GET", "sink/a") == {"received": []}
