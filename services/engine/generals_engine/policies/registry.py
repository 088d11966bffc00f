"""From a policy's name to the policy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from generals_engine.policies import codes
from generals_engine.policies.protocol import BatchPolicy, Version, next_version
from generals_schemas.records import PolicyRef

HEURISTICS: Mapping[str, int] = {
    "random": codes.RANDOM,
    "expander": codes.EXPANDER,
    "hunter": codes.HUNTER,
    "harvester": codes.HARVESTER,
    "strategist": codes.STRATEGIST,
}
"""Names of the policies that run in the kernel."""


class UnknownPolicy(ValueError):
    """No policy has this name; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of a player: a kernel's number, or a batch policy."""

    name: str
    code: int
    batch: BatchPolicy | None = None

    @property
    def ref(self) -> PolicyRef:
        return PolicyRef(self.name) if self.batch is None else self.batch.ref


def next_versions(policies: Sequence[Policy], before: Sequence[Version | None]) -> tuple[Version, ...]:
    """`[P]`: who plays the next chunk of a game. A policy that sits in several seats is asked once, for all of them."""
    found: dict[int, Version] = {}
    for policy, version in zip(policies, before, strict=True):
        if policy.batch is None:
            found.setdefault(id(policy), Version(policy.ref))
        elif id(policy.batch) not in found:
            found[id(policy.batch)] = next_version(policy.batch, version)
    return tuple(found[id(policy if policy.batch is None else policy.batch)] for policy in policies)


def is_remote(name: str) -> bool:
    """Whether a policy of this name is behind HTTP: who it is, it says with its first answer."""
    return name.startswith(("http://", "https://"))


def find_policy(name: str) -> Policy:
    """The heuristic of a name, a policy behind an http(s) URL, or what `module:factory` makes without arguments.

    Raises:
        UnknownPolicy: there is none.
    """
    if name in HEURISTICS:
        return Policy(name, HEURISTICS[name])
    if is_remote(name):
        from generals_engine.trained.remote import RemotePolicy

        return Policy(name, codes.EXTERNAL, RemotePolicy(name))
    module, _, factory = name.partition(":")
    if not factory:
        raise UnknownPolicy(f"policy {name!r} is unknown: there are {', '.join(HEURISTICS)}, module:factory or a URL")
    try:
        made = getattr(import_module(module), factory)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UnknownPolicy(f"policy {name!r} cannot be loaded: {error}") from error
    if not hasattr(made, "act") or not isinstance(getattr(made, "ref", None), PolicyRef):
        raise UnknownPolicy(f"policy {name!r} must have act(observations) and ref, a PolicyRef; got {made!r}")
    return Policy(name, codes.EXTERNAL, made)
