"""Make schemas/ anew: the JSON Schemas that the manifests are validated against, small enough to keep here.

    python infra/k8s/make_schemas.py --kubernetes DIR --crd FILE [--crd FILE ...]

DIR is a "local-strict" folder of kubernetes-json-schema (PyPI's kubernetes-validate ships one a version); the FILEs are
the custom resource definitions of Strimzi and KEDA, which both are Apache-2.0. Descriptions are left out, references
are resolved, and a field that a schema does not know is an error. Names are as kubeconform looks for them:
`kubeconform -strict -schema-location 'infra/k8s/schemas/{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json'`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent / "schemas"
# kind, group ("" is the core), version: the built-in resources that the manifests use.
BUILT_IN = [
    ("ConfigMap", "", "v1"),
    ("Deployment", "apps", "v1"),
    ("Job", "batch", "v1"),
    ("Namespace", "", "v1"),
    ("NetworkPolicy", "networking.k8s.io", "v1"),
    ("PersistentVolumeClaim", "", "v1"),
    ("PodDisruptionBudget", "policy", "v1"),
    ("Secret", "", "v1"),
    ("Service", "", "v1"),
    ("ServiceAccount", "", "v1"),
    ("StatefulSet", "apps", "v1"),
]
Json = Any


def resolved(node: Json, folder: Path, cache: dict[str, Json]) -> Json:
    """`node` with references to _definitions.json put in their place, and without descriptions."""
    if isinstance(node, list):
        return [resolved(item, folder, cache) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("$ref"), str):
        return resolved(_definition(node["$ref"], folder, cache), folder, cache)
    return {key: resolved(value, folder, cache) for key, value in node.items() if not _is_prose(key, value)}


def _is_prose(key: str, value: Json) -> bool:
    return (key in ("description", "$schema") and isinstance(value, str)) or key.startswith("x-kubernetes-")


def _definition(reference: str, folder: Path, cache: dict[str, Json]) -> Json:
    name = reference.rpartition("/")[2]
    if not cache:
        cache.update(json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))["$defs"])
    return cache[name]


def strict(node: Json) -> Json:
    """A custom resource's schema in which an unknown field is an error, where the definition does not allow any."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    open_ = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
    number_or_text = node.get("x-kubernetes-int-or-string")
    made = {key: strict(value) for key, value in node.items() if not _is_prose(key, value)}
    if number_or_text:
        made.pop("type", None)
    if isinstance(node.get("properties"), dict) and node.get("type") == "object" and not open_:
        made["additionalProperties"] = False
    return made


def file_name(kind: str, group: str, version: str) -> str:
    """As kubeconform asks for it: in the core, the version stands in the group's place too."""
    return f"{kind.lower()}-{group or version}-{version}.json"


def write(name: str, schema: Json) -> None:
    (HERE / name).write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")


def built_in(folder: Path) -> None:
    cache: dict[str, Json] = {}
    for kind, group, version in BUILT_IN:
        source = "-".join([kind.lower(), *filter(None, [group.partition(".")[0]]), version]) + ".json"
        write(file_name(kind, group, version), resolved(json.loads((folder / source).read_text()), folder, cache))


def custom(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        spec = document["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {"type": "object"}
            write(file_name(spec["names"]["kind"], spec["group"], version["name"]), schema)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kubernetes", type=Path, required=True)
    parser.add_argument("--crd", type=Path, action="append", default=[])
    given = parser.parse_args()
    HERE.mkdir(exist_ok=True)
    built_in(given.kubernetes)
    for path in given.crd:
        custom(path)


if __name__ == "__main__":
    main()
