"""Two ranks, started as torchrun starts them: their gradients are those of one big batch, and none waits for data."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generals_trainer.learner import DoubleDQN
from generals_trainer.replay import ReplayBuffer
from generals_trainer.samples import Layout, Sample, States
from generals_trainer.settings import LearnerSettings

SETTINGS = LearnerSettings(symmetries=False, learning_rate=1e-2, network_width=8, network_blocks=1)
CPU = torch.device("cpu")


def part_of(sample: Sample, rows: slice) -> Sample:
    def states(of: States) -> States:
        return States(of.armies[rows], of.bits[rows], of.scalars[rows])

    return Sample(
        layout=sample.layout,
        states=states(sample.states),
        next_states=states(sample.next_states),
        **{
            name: getattr(sample, name)[rows]
            for name in Sample.__slots__
            if name not in ("layout", "states", "next_states", "policy_names")
        },
    )


def make_sample(make_batch: Any) -> Sample:
    batch = make_batch(width=5, height=5, steps=30, scalars=0, end="terminated", seed=11)
    buffer = ReplayBuffer(Layout.of(batch), capacity=100, n_step=3, alpha=0.0, seed=2)
    buffer.insert(batch)
    return buffer.sample(32)


def run_rank(out: str, batch: Any) -> None:
    """What each process does: an update of its half, one of rank 0 alone, and what the ranks agree on."""
    from generals_trainer.ranks import Ranks

    torch.set_num_threads(1)
    ranks = Ranks(CPU)
    sample = make_sample(lambda **_: batch)
    half = part_of(sample, slice(16 * ranks.rank, 16 * ranks.rank + 16))
    learner = DoubleDQN(sample.layout, SETTINGS, device=CPU, seed=3)
    learner.average_gradients = lambda gradients: ranks.average(gradients, 2)
    learner.learn(half)
    learner.average_gradients = lambda gradients: ranks.average(gradients, 1)
    if ranks.rank == 0:
        learner.learn(half)
    else:
        learner.follow()
    assert ranks.sums([1.0, ranks.rank]) == [2.0, 1.0]
    assert ranks.share(f"from {ranks.rank}", 1) == "from 1"
    torch.save(learner.network.state_dict(), f"{out}{ranks.rank}.pt")
    ranks.close()


def test_gradients_of_two_ranks_are_those_of_one_big_batch(make_batch: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = Path(__file__).parent
    script = (
        f"import sys; sys.path.insert(0, {str(here)!r});"
        "import test_ranks, conftest;"
        "batch = conftest.build_batch(width=5, height=5, steps=30, scalars=0, end='terminated', seed=11);"
        f"test_ranks.run_rank({str(tmp_path)!r} + '/', batch);"
        "import os; os._exit(0)"  # as the trainer's own program ends
    )
    environment = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=150)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    sample = make_sample(make_batch)
    alone = DoubleDQN(sample.layout, SETTINGS, device=CPU, seed=3)
    alone.learn(sample)
    alone.learn(part_of(sample, slice(0, 16)))
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, weight in alone.network.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        np.testing.assert_allclose(first[name].numpy(), weight.numpy(), atol=2e-5, err_msg=name)


def test_a_process_of_its_own_is_no_rank_the_last_of_several_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from generals_trainer.ranks import under_torchrun

    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert not under_torchrun()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert under_torchrun()
