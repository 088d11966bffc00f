"""The whole stack in Docker, from `docker compose up`: it works, scales, is watched, and survives every kill.

Long, and needs Docker: `make compose-test`. The tests share one stack and run in the order they stand in.
GENERALS_TEST_COMPOSE=required fails where no Docker engine answers; as-built takes the images that there are.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from compose_stack import ROOT, SERVICES, Stack, say, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
REQUIRED = "GENERALS_TEST_COMPOSE"
EXPERIENCES = "sum(rate(generals_experiences_total[30s]))"
TICKS = "sum(rate(generals_ticks_total[30s]))"
TEN_LINES = """
from generals_client import ExperienceStream

count = total = 0
with ExperienceStream(bootstrap_servers="kafka:29092", group="ten-lines", start="earliest", batch_size=512) as stream:
    for batch in stream:
        count, total = count + len(batch.reward), total + float(batch.reward.sum())
        if count >= 10_000:
            break
print(count, total)
"""


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    if not _docker_answers():
        if os.environ.get(REQUIRED):
            pytest.fail("no Docker engine answers: `docker info` fails", pytrace=False)
        pytest.skip("no Docker engine answers; make compose-test demands one")
    stack = Stack("generals-test")
    stack.run("down", "-v", "--remove-orphans")
    try:
        build = [] if os.environ.get(REQUIRED) == "as-built" else ["--build"]
        took = stack.up(*build)
        say(f"up and healthy in {took:.0f} s{', images built' if build else ''}")
        yield stack
    except BaseException:
        say(stack.run("logs", "--tail", "15"))
        raise
    finally:
        stack.run("--profile", "*", "down", "-v", "--remove-orphans", codes=(0, 1))


def audit_is_clean(stack: Stack) -> bool:
    report = stack.audit()
    assert report["lost"] == report["duplicates"] == report["gaps_in_games"] == 0, report
    assert report["methods_agree"], report
    return bool(report["clean"])


def test_it_comes_up_and_every_stage_works(stack: Stack) -> None:
    until("experiences in the archive", lambda: stack.audit()["experiences_archived"] > 10_000, within_s=240)
    until("learner steps", lambda: stack.number("sum(generals_trainer_steps_total)") > 50, within_s=240)
    report = stack.audit()
    say(json.dumps({key: value for key, value in report.items() if key != "details"}))
    assert report["clean"]
    assert report["rejected"] == 0
    assert report["games_finished"] > 0


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    bindings = [
        binding
        for container in stack.containers()
        for published in (container["HostConfig"]["PortBindings"] or {}).values()
        for binding in published
    ]
    assert len(bindings) == 3
    assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}


def test_no_container_is_root_has_capabilities_or_an_endless_log(stack: Stack) -> None:
    for container in stack.containers():
        name, host = container["Name"], container["HostConfig"]
        assert container["Config"]["User"] not in ("", "0", "root"), name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["LogConfig"]["Config"]["max-size"], name
        assert host["ReadonlyRootfs"] or "kafka" in name, "Kafka's image writes its configuration when it starts"


def test_no_secret_is_in_any_log(stack: Stack) -> None:
    assert "generals-on-localhost" not in stack.run("logs", "--no-color")


def test_every_query_of_every_dashboard_returns_data(stack: Stack) -> None:
    script = ROOT / "infra" / "grafana" / "check_dashboards.py"
    done = subprocess.run(
        [sys.executable, str(script), "--all", "--prometheus", stack.prometheus, "--wait", "180"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    say(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alert_rules_are_evaluated_and_none_fires(stack: Stack) -> None:
    assert stack.number("count(prometheus_rule_group_rules)") > 0
    assert stack.number("sum(prometheus_rule_evaluation_failures_total)") == 0
    assert stack.query('ALERTS{alertstate="firing", severity="page"}') == []


def test_a_group_is_attached_by_command_and_by_ten_lines_and_can_go_back_in_time(stack: Stack) -> None:
    tail = ("tail", "experiences", "--group", "attached", "--start", "earliest", "--limit", "5", "--json")
    first = [json.loads(line) for line in stack.console(*tail).splitlines()]
    second = [json.loads(line) for line in stack.console(*tail).splitlines()]
    assert len(first) == len(second) == 5
    count, _ = stack.python(TEN_LINES).split()
    assert int(count) >= 10_000

    def reset() -> str:
        return stack.run(
            "exec", "-T", "kafka", "/opt/kafka/bin/kafka-consumer-groups.sh", "--bootstrap-server", "kafka:29092",
            "--group", "attached", "--topic", "generals.experiences", "--reset-offsets",
            "--to-datetime", "2020-01-01T00:00:00.000", "--execute",
        )  # fmt: skip

    # Refused while the group still has a member, which a closed consumer leaves within its session.
    until("offsets reset", lambda: "generals.experiences" in reset(), within_s=60)
    again = [json.loads(line) for line in stack.console(*tail).splitlines()]
    offsets = {(record["partition"], record["offset"]) for record in again}
    assert all(offset < 5 for _, offset in offsets)


def test_more_engines_and_collectors_share_the_work(stack: Stack) -> None:
    before, cpu_before = stack.number(EXPERIENCES), stack.cpu()
    played_before = stack.number(TICKS)
    stack.up("--no-recreate", "--scale", "engine=4", "--scale", "collector=2")
    by_collector = "count by (instance) (generals_consumer_lag_records{job='collector'})"
    until("partitions at both collectors", lambda: len(stack.query(by_collector)) == 2, within_s=120)
    until("four engines playing", lambda: len(stack.query("rate(generals_ticks_total[30s]) > 0")) == 4, within_s=120)
    wanted = 1.6 if (os.cpu_count() or 1) >= 4 else 1.2
    until("more games", lambda: stack.number(TICKS) > wanted * played_before, within_s=180)
    after, cpu_after = stack.number(EXPERIENCES), stack.cpu()
    say(f"ticks/s {played_before:,.0f} -> {stack.number(TICKS):,.0f}")
    say(f"experiences/s {before:,.0f} -> {after:,.0f} with 4 engines, 2 collectors, on {os.cpu_count()} cores")
    for service in sorted(cpu_after):
        say(f"  {service}: {cpu_before.get(service, 0):.2f} -> {cpu_after[service]:.2f} cores")
    assert audit_is_clean(stack)
    stack.up("--scale", "engine=1", "--scale", "collector=2")


@pytest.mark.parametrize("service", [*SERVICES, "s3", "kafka"])
def test_a_killed_service_comes_back_and_nothing_is_lost(stack: Stack, service: str) -> None:
    stack.run("kill", service)
    took = stack.up("--no-recreate", "--scale", "collector=2")
    # A counter begins again in a new process: it has to move, not to grow.
    for what in ("generals_ticks_total", "generals_experiences_total", "generals_archived_experiences_total",
                 "generals_trainer_steps_total"):  # fmt: skip
        until(f"{what} moves again", partial(stack.number, f"sum(rate({what}[30s]))"), within_s=240)
    say(f"{service} killed: healthy again in {took:.0f} s, all stages moving")
    assert audit_is_clean(stack)


def test_when_play_ends_everything_arrives(stack: Stack) -> None:
    stack.run("stop", "engine")
    until("nothing pending", lambda: stack.audit()["pending_archive"] == 0, within_s=240)
    report = stack.audit()
    say(json.dumps({key: value for key, value in report.items() if key != "details"}))
    assert report["clean"]
    assert report["lost"] == report["duplicates"] == report["pending_collect"] == report["pending_archive"] == 0
    assert report["experiences_emitted"] == report["experiences_collected"] == report["experiences_archived"] > 0


def test_a_wrong_configuration_ends_a_service_with_one_line_and_code_2(stack: Stack, tmp_path: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("collector: {gruop: mine}\n", encoding="utf-8")
    config.chmod(0o644)
    tmp_path.chmod(0o755)
    with pytest.raises(AssertionError, match=r"ended with 2:\n(.*\n)*.*gruop.*group"):
        stack.run(
            "run",
            "--rm",
            "-T",
            "--no-deps",
            "-v",
            f"{config}:/wrong.yaml:ro",
            "-e",
            "GENERALS_CONFIG=/wrong.yaml",
            "collector",
        )
