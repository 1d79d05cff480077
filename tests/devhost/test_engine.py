import asyncio
import json
from pathlib import Path

import pytest

from devhost import errors
from devhost.engine import Engine
from devhost.protocol import Json
from tests.devhost import sample_app
from tests.devhost.helpers import finished, start_host, until


async def run(engine: Engine, name: str, value: Json = None, **options: str) -> Json:
    instance = engine.start(name, json.dumps(value), **options)
    ended = (await finished(engine, instance)).finished
    assert ended
    return ended.status, json.loads(ended.output)


async def test_a_chain_of_async_activities(engine: Engine) -> None:
    assert await run(engine, "chain", 1) == ("Completed", 4)


async def test_fan_out_keeps_order_and_non_ascii_payloads(engine: Engine) -> None:
    values = ["ü ✗ \U0001f600", {"a": [None, 1.5]}, "\ud800", "true", None, '"quoted"', *range(30)]
    assert await run(engine, "echo_all", values) == ("Completed", values)


async def test_a_timer_wins_its_race(engine: Engine) -> None:
    assert await run(engine, "race", "short") == ("Completed", "timeout")


async def test_an_event_wins_and_the_timer_is_cancelled(engine: Engine) -> None:
    instance = engine.start("race", '"long"')
    await until(lambda: bool(engine.known(instance).timers))
    timer = next(iter(engine.known(instance).timers.values()))
    engine.raise_event(instance, "answer", '{"yes": true}')
    generation = await finished(engine, instance)
    assert json.loads(generation.finished.output) == [{"yes": True}, "after"]  # type: ignore[union-attr]
    assert timer.cancelled()


async def test_an_event_before_its_wait_is_kept(engine: Engine) -> None:
    instance = engine.start("wait_after_echo")
    engine.raise_event(instance, "go", "5")
    generation = await finished(engine, instance)
    assert generation.finished
    assert generation.finished.output == "5"


async def test_continue_as_new_two_hundred_times(engine: Engine) -> None:
    assert await run(engine, "count_down", 200) == ("Completed", "landed")


async def test_continue_as_new_keeps_events(engine: Engine) -> None:
    instance = engine.start("collect")
    for value in (1, 2, 3):
        engine.raise_event(instance, "value", str(value))
        await asyncio.sleep(0)
    generation = await finished(engine, instance)
    assert generation.finished
    assert generation.finished.output == "[1, 2, 3]"


async def test_a_sub_orchestration_and_its_failure(engine: Engine) -> None:
    status, output = await run(engine, "parent", {"name": "chain", "input": 1}, instance="p")
    assert (status, output) == ("Completed", {"child": 4, "at": "p"})
    status, output = await run(engine, "careful_parent")
    assert status == "Completed"
    assert output.startswith("caught: Orchestrator function 'broken' failed: kaputt ✗")


async def test_a_running_child_is_replaced_and_its_first_parent_never_hears(
    engine: Engine,
) -> None:
    child = {"name": "wait_after_echo", "id": "child-x"}
    first = engine.start("parent", json.dumps(child))
    await until(lambda: "child-x" in engine.instances)
    await until(lambda: len(engine.known("child-x").actions) == 2)
    replaced = engine.known("child-x")
    second = engine.start("parent", json.dumps(child))
    await until(lambda: engine.known("child-x") is not replaced)
    engine.raise_event("child-x", "go", "7")
    assert (await finished(engine, second)).status == "Completed"
    assert engine.known(first).status == "Running"
    assert sample_app.calls.count("echo child-x") == 2


async def test_a_terminated_child_fails_its_parent(engine: Engine) -> None:
    parent = engine.start("parent", json.dumps({"name": "wait", "id": "child-t"}))
    await until(lambda: "child-t" in engine.instances)
    engine.terminate("child-t", "enough")
    generation = await finished(engine, parent)
    assert generation.status == "Failed"
    assert "enough" in generation.finished.output  # type: ignore[union-attr]


async def test_retries_until_success(engine: Engine) -> None:
    assert await run(engine, "retries", 2) == ("Completed", ["ok after 3", "after"])


async def test_retries_run_out(engine: Engine) -> None:
    status, output = await run(engine, "retries", 9)
    assert status == "Failed"
    assert "Activity function 'fail_first' failed: ValueError: try 3 ü" in output


async def test_parallel_retries_keep_task_ids_apart(engine: Engine) -> None:
    expected = [f"ok after {n}" for n in (1, 2, 3, 4)]
    assert await run(engine, "parallel_retries") == ("Completed", [*expected, "plain", "after"])


async def test_a_retried_sub_orchestration_in_a_race(engine: Engine) -> None:
    status, output = await run(engine, "retried_child", 2, instance="retried")
    assert (status, output) == ("Completed", ["ok after 3", "after"])


async def test_an_activity_failure_reaches_the_orchestrator_as_text(engine: Engine) -> None:
    status, output = await run(engine, "calls_failing", instance="cf")
    assert status == "Completed"
    assert output.startswith("Activity function 'fail_first' failed: ValueError: try 1 ü \n ")


async def test_a_failing_orchestrator(engine: Engine) -> None:
    failed = "Orchestrator function 'broken' failed: kaputt ✗"
    assert await run(engine, "broken") == ("Failed", failed)


@pytest.mark.parametrize("name", ["nobody", "unserializable"])
async def test_activities_that_cannot_run(engine: Engine, name: str) -> None:
    status, output = await run(engine, "calls_named", name)
    assert status == "Failed"
    assert f"Activity function '{name}' failed" in output


async def test_unsupported_actions_fail_the_instance(engine: Engine) -> None:
    status, output = await run(engine, "uses_http")
    assert status == "Failed"
    assert "does not support 'call_http'" in output


async def test_versions(engine: Engine) -> None:
    async def version_of(instance: str) -> str:
        engine.raise_event(instance, "go", "1")
        ended = (await finished(engine, instance)).finished
        assert ended
        return str(json.loads(ended.output)["version"])

    assert await version_of(engine.start("wait")) == "1.0"
    assert await version_of(engine.start("wait", version="2.5")) == "2.5"
    engine.start("parent", json.dumps({"name": "wait", "id": "v", "version": "3.0"}))
    await until(lambda: "v" in engine.instances)
    assert await version_of("v") == "3.0"


async def test_terminate_suspend_and_what_is_refused(engine: Engine) -> None:
    instance = engine.start("wait")
    await until(lambda: engine.known(instance).status == "Running")
    with pytest.raises(errors.AlreadyRunningError):
        engine.start("wait", instance=instance)
    engine.suspend(instance, suspended=True)
    engine.raise_event(instance, "go", "1")
    assert engine.known(instance).status == "Suspended"
    assert not engine.purge(instance)
    engine.terminate(instance, "why")
    assert engine.known(instance).status == "Terminated"
    with pytest.raises(errors.FinishedInstanceError):
        engine.raise_event(instance, "go", "1")
    with pytest.raises(errors.UnknownInstanceError):
        engine.raise_event("nobody", "go", "1")
    with pytest.raises(errors.UnknownOrchestratorError):
        engine.start("nobody")


async def test_resume_delivers_what_came_while_suspended(engine: Engine) -> None:
    instance = engine.start("wait")
    engine.suspend(instance, suspended=True)
    engine.raise_event(instance, "go", "1")
    engine.suspend(instance, suspended=False)
    assert (await finished(engine, instance)).status == "Completed"


async def test_a_finished_instance_is_replaced_restarted_and_purged(engine: Engine) -> None:
    assert await run(engine, "chain", 1, instance="again") == ("Completed", 4)
    assert await run(engine, "chain", 5, instance="again") == ("Completed", 8)
    engine.restart("again", new_id=False)
    assert (await finished(engine, "again")).finished.output == "8"  # type: ignore[union-attr]
    assert engine.restart("again", new_id=True) != "again"
    assert engine.purge("again")
    assert "again" not in engine.instances


async def test_five_hundred_at_once(engine: Engine) -> None:
    started = [engine.start("chain", str(number)) for number in range(500)]
    ended = [(await finished(engine, instance)).finished for instance in started]
    assert [each.output for each in ended if each] == [str(number + 3) for number in range(500)]


async def test_compressed_timers_keep_the_orchestrator_s_time() -> None:
    host = await start_host(time_scale=100_000)
    assert await run(host.engine, "sleep_long", 3600) == ("Completed", True)
    await host.stop()


async def test_a_stale_callback_is_dropped(engine: Engine, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    instance = engine.start("blocked", json.dumps(str(gate)), "stale")
    await until(lambda: len(engine.known(instance).actions) == 2)
    engine.terminate(instance, "replaced")
    engine.start("wait", instance=instance)
    await until(lambda: engine.known(instance).status == "Running")
    gate.touch()
    await until(lambda: not engine.activities.running)
    assert engine.known(instance).status == "Running"
    assert not engine.known(instance).inbox


async def test_changed_code_is_found_out(tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    host = await start_host(journal)
    instance = host.engine.start("wait_after_echo")
    await until(lambda: len(host.engine.known(instance).actions) == 2)
    await host.stop()
    host = await start_host(journal)
    handles = dict(host.engine._orchestrators)
    handles["wait_after_echo"] = handles["wait"]
    host.engine._orchestrators = handles
    host.engine.raise_event(instance, "go", "1")
    generation = await finished(host.engine, instance)
    await host.stop()
    assert generation.finished
    assert "Non-Deterministic workflow detected" in generation.finished.output
