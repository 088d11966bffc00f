"""Policies by name.

Heuristics are kernels: numbers in `codes`, dispatched in `dispatch`, run inside the tick loop. Every other policy is a
`BatchPolicy`, asked once a tick for all games it plays in; a program's own is named `module:factory`.
"""

from generals_engine.policies.protocol import BatchPolicy, Observations
from generals_engine.policies.registry import HEURISTICS, Policy, UnknownPolicy, find_policy, next_versions

__all__ = ["HEURISTICS", "BatchPolicy", "Observations", "Policy", "UnknownPolicy", "find_policy", "next_versions"]
