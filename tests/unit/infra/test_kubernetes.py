"""The Kubernetes manifests: valid by the schemas, safe by default, and of one mind with topics.yaml and config/."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from generals_schemas.topics import TOPICS

ROOT = Path(__file__).parents[3]
K8S = ROOT / "infra" / "k8s"
OVERLAYS = ("dev", "staging", "prod")
SERVICES = ("engine", "collector", "writer", "trainer")

kustomize = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(K8S / "overlays" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(document for document in yaml.safe_load_all(done.stdout) if document)


def of_kind(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in rendered(overlay) if item["kind"] == kind}


def pods(overlay: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in rendered(overlay):
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]


def schema_of(item: dict[str, Any]) -> dict[str, Any]:
    group, _, version = item["apiVersion"].rpartition("/")
    path = K8S / "schemas" / f"{item['kind'].lower()}-{group or version}-{version}.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


@kustomize
@each_overlay
def test_every_manifest_is_valid_by_its_schema(overlay: str) -> None:
    for item in rendered(overlay):
        jsonschema.validate(item, schema_of(item))


@kustomize
def test_a_misspelt_field_is_found() -> None:
    scaled = json.loads(json.dumps(of_kind("prod", "ScaledObject")["collector"]))
    scaled["spec"]["maxReplicasCount"] = scaled["spec"].pop("maxReplicaCount")
    with pytest.raises(jsonschema.ValidationError, match="maxReplicasCount"):
        jsonschema.validate(scaled, schema_of(scaled))


@kustomize
@each_overlay
def test_no_container_is_root_or_may_write_or_grow_without_bound(overlay: str) -> None:
    for name, pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"]["cpu"], name


@kustomize
@each_overlay
def test_every_service_is_probed_budgeted_and_has_an_account_and_a_kafka_user(overlay: str) -> None:
    deployments = of_kind(overlay, "Deployment") | of_kind(overlay, "StatefulSet")
    users = of_kind(overlay, "KafkaUser")
    budgets, accounts = of_kind(overlay, "PodDisruptionBudget"), of_kind(overlay, "ServiceAccount")
    for service in SERVICES:
        pod = deployments[service]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/live", "port": "metrics"}
        assert budgets[service]["spec"]["selector"] == deployments[service]["spec"]["selector"]
        assert pod["serviceAccountName"] in accounts
        assert f"generals-{service}" in users
        secrets = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        assert secrets == {f"generals-{service}", "generals-cluster-ca-cert"}


@kustomize
@each_overlay
def test_each_engine_has_a_number_and_a_disk_that_outlives_its_pod(overlay: str) -> None:
    engine = of_kind(overlay, "StatefulSet")["engine"]["spec"]
    (container,) = engine["template"]["spec"]["containers"]
    env = {one["name"]: one for one in container["env"]}
    index = env["GENERALS_ENGINE__WORKER"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert index == "metadata.labels['apps.kubernetes.io/pod-index']"
    assert int(env["GENERALS_ENGINE__WORKERS"]["value"]) > engine["replicas"]
    (claim,) = engine["volumeClaimTemplates"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}[claim["metadata"]["name"]]
    settings = yaml.safe_load((K8S / "overlays" / overlay / "generals.yaml").read_text(encoding="utf-8"))
    if overlay != "dev":
        assert Path(settings["engine"]["spill_dir"]).is_relative_to(mounted)
    assert engine["serviceName"] in of_kind(overlay, "Service")


@kustomize
@each_overlay
def test_lag_scales_no_further_than_partitions_go(overlay: str) -> None:
    partitions = {spec.name: spec.partitions for spec in TOPICS}
    for name, scaled in of_kind(overlay, "ScaledObject").items():
        (trigger,) = scaled["spec"]["triggers"]
        assert scaled["spec"]["maxReplicaCount"] == partitions[trigger["metadata"]["topic"]]
        assert "replicas" not in of_kind(overlay, "Deployment")[name]["spec"], "KEDA and the manifest would fight"


@kustomize
@each_overlay
def test_no_secret_but_the_throw_away_one_of_dev_is_written_down(overlay: str) -> None:
    assert set(of_kind(overlay, "Secret")) == ({"generals-s3"} if overlay == "dev" else set())


def test_the_topics_are_those_of_topics_yaml() -> None:
    documents = yaml.safe_load_all((K8S / "base" / "topics.yaml").read_text(encoding="utf-8"))
    declared = {item["metadata"]["name"]: item["spec"] for item in documents}
    assert set(declared) == {spec.name for spec in TOPICS}
    for spec in TOPICS:
        assert declared[spec.name]["partitions"] == spec.partitions
        config = {key: str(value) for key, value in declared[spec.name]["config"].items()}
        assert config == {**spec.config, "min.insync.replicas": "2"}


def test_only_producers_of_a_topic_may_write_to_it() -> None:
    documents = yaml.safe_load_all((K8S / "base" / "users.yaml").read_text(encoding="utf-8"))
    writers: dict[str, set[str]] = {spec.name: set() for spec in TOPICS}
    for user in documents:
        for acl in user["spec"]["authorization"]["acls"]:
            if "Write" in acl["operations"]:
                assert acl["resource"]["patternType"] == "literal"
                writers[acl["resource"]["name"]].add(user["metadata"]["name"].removeprefix("generals-"))
    assert writers == {spec.name: set(spec.producers) for spec in TOPICS}


def test_an_engine_may_read_what_it_may_have_spilled() -> None:
    documents = yaml.safe_load_all((K8S / "base" / "users.yaml").read_text(encoding="utf-8"))
    (engine,) = (user for user in documents if user["metadata"]["name"] == "generals-engine")
    acls = {acl["resource"]["name"]: set(acl["operations"]) for acl in engine["spec"]["authorization"]["acls"]}
    written = [spec.name for spec in TOPICS if "engine" in spec.producers]
    assert {name: acls[name] >= {"Read", "Describe"} for name in written} == dict.fromkeys(written, True)


def groups_in(path: Path) -> set[str]:
    """The consumer groups that a file names: `group_id="..."`, or `group_id=NAME` of a constant of the same file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "group_id"]
    named = [constants.get(value.id) for value in values if isinstance(value, ast.Name)]
    written = [value.value for value in values if isinstance(value, ast.Constant)]
    return {group for group in named + written if isinstance(group, str)}


def groups_by_user() -> dict[str, set[str]]:
    """The groups of each service's own files, and of those of the runtime that it imports."""
    found: dict[str, set[str]] = {}
    shared = {path.stem: groups_in(path) for path in (ROOT / "services/runtime/generals_runtime").glob("*.py")}
    for service in (*SERVICES, "console"):
        found[service] = set()
        for path in (ROOT / "services" / service / f"generals_{service}").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            imported = [groups for name, groups in shared.items() if f"from generals_runtime.{name} import" in text]
            found[service] |= groups_in(path).union(*imported)
    return found


def test_every_user_may_read_as_the_groups_that_its_service_names() -> None:
    documents = yaml.safe_load_all((K8S / "base" / "users.yaml").read_text(encoding="utf-8"))
    acls = {user["metadata"]["name"]: user["spec"]["authorization"]["acls"] for user in documents}

    def may_read(service: str, group: str) -> bool:
        for acl in acls[f"generals-{service}"]:
            kind, name, pattern = (acl["resource"][key] for key in ("type", "name", "patternType"))
            covers = group.startswith(name) if pattern == "prefix" else name in (group, "*")
            if kind == "group" and covers and {"Read", "Describe"} <= set(acl["operations"]):
                return True
        return False

    wanted = groups_by_user()
    assert wanted["engine"] >= {"generals-engine-spill", "generals-policies"}
    assert wanted["trainer"] >= {"generals-trainer-refill", "generals-policies"}
    assert wanted["writer"] == {"generals-archive-reader"}
    refused = [(service, name) for service, names in wanted.items() for name in names if not may_read(service, name)]
    assert refused == []


@pytest.mark.parametrize("overlay", ["staging", "prod"])
def test_a_cluster_is_configured_as_config_says(overlay: str) -> None:
    here = (K8S / "overlays" / overlay / "generals.yaml").read_text(encoding="utf-8")
    assert here == (ROOT / "config" / f"{overlay}.yaml").read_text(encoding="utf-8")


@kustomize
@each_overlay
def test_the_writers_group_that_is_scaled_is_the_one_that_the_configuration_makes(overlay: str) -> None:
    config = yaml.safe_load((K8S / "overlays" / overlay / "generals.yaml").read_text(encoding="utf-8"))
    (destination,) = config["writer"]["destinations"]
    (trigger,) = of_kind(overlay, "ScaledObject")["writer"]["spec"]["triggers"]
    assert trigger["metadata"]["consumerGroup"] == f"generals-writer-{destination['name']}"
