#!/usr/bin/env bash
# Prints the Python to make the environment with: of the first version there is, the build that is fastest.
#
# Builds differ: without profile-guided optimisation (pyenv's default) one takes half as long again for the same loop, and
# the whole pipeline loses a fifth of its throughput. A machine often has several, so each runs a loop of 30 ms or so.
set -euo pipefail

LOOP='
import timeit, ensurepip, venv
class A:
    __slots__ = ("x",)
    def __init__(self, x): self.x = x
    def more(self, k): return self.x + k
def loop():
    kept = {}
    for i in range(5000): kept[i & 255] = (A(i).more(1), [k for k in (i, 1)], f"{i}")
print(min(timeit.repeat(loop, number=1, repeat=7)))
'

fallback=
for version in 3.11 3.12 3.13; do
  # Without ensurepip (Debian: python3.x-venv) it is no use, but making the environment with it says what is missing.
  fallback=${fallback:-$(type -P "python$version" || true)}
  found=$(type -ap "python$version" | while read -r python; do
    if seconds=$("$python" -c "$LOOP" 2>/dev/null); then echo "$seconds $python"; fi
  done | sort -g | head -n 1 | cut -d ' ' -f 2-) || true
  if [ -n "$found" ]; then
    echo "$found"
    exit
  fi
done
echo "${fallback:-python3}"
