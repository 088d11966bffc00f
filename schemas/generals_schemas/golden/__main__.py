"""Record the golden files of schemas that have changed, and keep their definitions in `avro/history`.

A change that breaks what was written before is refused.
"""

import hashlib
import json
import sys
from pathlib import Path

from generals_schemas.codec import encode_batch, encode_chunk, encode_game, encode_policy
from generals_schemas.evolution import breaks
from generals_schemas.framing import HEADER_BYTES, history
from generals_schemas.golden import samples
from generals_schemas.golden.plain import plain

FOLDER = Path(__file__).parent
AVRO = FOLDER.parent / "avro"


def main() -> None:
    current: dict[str, tuple[object, bytes]] = {
        "transition_chunk": (samples.chunk(), encode_chunk(samples.chunk())),
        "experience_batch": (samples.batch(), encode_batch(samples.batch())),
        "game_summary": (samples.game(), encode_game(samples.game())),
        "policy_pointer": (samples.pointer(), encode_policy(samples.pointer())),
    }
    for name, (value, record) in current.items():
        versions = sorted(FOLDER.glob(f"{name}.v*.bin"))
        if any(path.read_bytes()[:HEADER_BYTES] == record[:HEADER_BYTES] for path in versions):
            continue
        version = len(versions) + 1
        _keep(name, version)
        target = FOLDER / f"{name}.v{version}"
        target.with_name(target.name + ".bin").write_bytes(record)
        target.with_name(target.name + ".json").write_text(json.dumps(plain(value), indent=1) + "\n")
        sys.stdout.write(f"recorded {target.name}\n")
    sums = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.glob("*.bin"))}
    (FOLDER / "SHA256.json").write_text(json.dumps(sums, indent=1) + "\n")


def _keep(name: str, version: int) -> None:
    """The current definition becomes this version in the history."""
    text = (AVRO / f"{name}.avsc").read_text(encoding="utf-8")
    for old_version, old in history(name):
        reasons = breaks(old, json.loads(text))
        if reasons:
            sys.exit(f"{name}: records of version {old_version} could not be read: {'; '.join(reasons)}")
    (AVRO / "history" / f"{name}.v{version}.avsc").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
