"""The network and the double DQN: shapes, masks, targets by hand, and that it learns."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from generals_schemas.encodings import get_encoding
from generals_schemas.records import ExperienceBatch
from generals_trainer.learner import DoubleDQN, UnknownLearner, learner_named
from generals_trainer.network import QNetwork
from generals_trainer.replay import ReplayBuffer
from generals_trainer.samples import Layout, Sample
from generals_trainer.settings import LearnerSettings, TrainerSettings
from generals_trainer.tensors import Tensors
from generals_trainer.trainer import Trainer

CPU = torch.device("cpu")
ARMY_SCALE = 1000.0


def sample_of(batch: ExperienceBatch, count: int, **settings: Any) -> Sample:
    buffer = ReplayBuffer(Layout.of(batch), capacity=500, **settings)
    buffer.insert(batch)
    return buffer.sample(count)


def learner_for(sample: Sample, **settings: Any) -> DoubleDQN:
    return DoubleDQN(sample.layout, LearnerSettings(**settings), device=CPU, seed=1)


def flat(network: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize(("width", "height"), [(8, 8), (5, 7), (23, 18)])
def test_one_network_answers_for_any_board(width: int, height: int) -> None:
    network = QNetwork(get_encoding("nine_planes"))
    assert network(torch.rand(3, 9, height, width)).shape == (3, 8 * width * height + 1)
    assert sum(p.numel() for p in network.parameters()) < 60_000


def test_the_networks_own_legality_is_that_of_the_mask(make_batch: Any) -> None:
    sample = sample_of(make_batch(width=6, height=5, steps=20, scalars=0, end="terminated"), 40)
    tensors = Tensors(sample.layout, CPU)
    legal = QNetwork(tensors.encoding)._legal(tensors.planes(sample.states))
    np.testing.assert_array_equal(legal.numpy() > 0, tensors.legal(sample.states))


def test_a_move_at_a_tile_stands_at_its_flat_index() -> None:
    network = QNetwork(get_encoding("nine_planes"))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        assert network.moves.bias is not None
        network.moves.bias.copy_(torch.arange(8.0))
    values = network(torch.zeros(1, 9, 2, 3))[0]  # nothing is owned, so only the pass (0) is legal
    assert values[: 4 * 6].tolist() == [0.0, 1.0, 2.0, 3.0] * 6
    assert values[4 * 6 : 8 * 6].tolist() == [4.0, 5.0, 6.0, 7.0] * 6
    assert values[-1] == 0.0


def test_targets_are_those_worked_out_by_hand(make_batch: Any) -> None:
    batch = make_batch(width=4, height=4, steps=12, scalars=0, end="terminated")
    sample = sample_of(batch, 32, n_step=3, gamma=0.9)
    learner = learner_for(sample)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)  # the two begin equal, and with heads of zeros
        for parameter in (*learner.network.parameters(), *learner.target.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    tensors = learner._tensors_for(sample.layout)
    found = learner.targets(tensors.batch(sample, None)).numpy()
    planes = tensors.planes(sample.next_states)
    with torch.no_grad():
        online, target = learner.network(planes).numpy(), learner.target(planes).numpy()
    mask = tensors.legal(sample.next_states)
    for i in range(32):
        legal = np.flatnonzero(mask[i])
        best = legal[np.argmax(online[i, legal])]
        assert found[i] == pytest.approx(sample.returns[i] + sample.discounts[i] * target[i, best], abs=1e-5)
    assert (sample.discounts == 0).any()


def test_the_gradient_is_that_of_the_weighted_huber_loss_alone(make_batch: Any) -> None:
    sample = sample_of(make_batch(width=4, height=4, steps=12, scalars=0, end="terminated"), 16)
    sample = replace(sample, weights=np.linspace(0.1, 1, 16).astype(np.float32))
    learner = learner_for(sample, symmetries=False, gradient_clip=1e9)
    twin = learner_for(sample, symmetries=False)
    batch = twin._tensors_for(sample.layout).batch(sample, None)
    values = twin.network(batch.planes)[torch.arange(16), batch.actions]
    unit = twin.settings.value_unit
    huber = functional.huber_loss(values / unit, twin.targets(batch) / unit, reduction="none", delta=0.5)
    loss = (batch.weights * huber).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    learnt = learner.learn(sample)
    assert learnt.loss == pytest.approx(loss.item(), rel=1e-6)
    for (name, ours), theirs in zip(learner.network.named_parameters(), twin.network.parameters(), strict=True):
        assert ours.grad is not None, name
        assert theirs.grad is not None, name
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert all(parameter.grad is None for parameter in learner.target.parameters())
    np.testing.assert_allclose(learnt.errors, (twin.targets(batch) - values).detach().numpy(), atol=1e-5)


def test_it_overfits_a_toy(make_batch: Any) -> None:
    batch = make_batch(width=5, height=5, steps=16, scalars=0, end="terminated")
    buffer = ReplayBuffer(Layout.of(batch), capacity=100, gamma=0.0, alpha=0.6)
    buffer.insert(replace(batch, rewards=np.sign(batch.rewards)))
    learner = DoubleDQN(buffer.layout, LearnerSettings(symmetries=False, learning_rate=2e-3), device=CPU, seed=0)
    losses = []
    for _ in range(400):
        sample = buffer.sample(32)
        learnt = learner.learn(sample)
        buffer.update_priorities(sample.serials, learnt.errors)
        losses.append(learnt.loss)
    assert np.mean(losses[-10:]) < 0.02 * np.mean(losses[:10])


def test_a_gradient_that_is_not_finite_is_noticed_before_the_weights_have_it(make_batch: Any) -> None:
    """Of another rank, say, or of finite errors whose loss overflows."""
    sample = sample_of(make_batch(scalars=0, end="terminated"), 8)
    learner = learner_for(sample)
    before = flat(learner.network).clone()

    def average(gradients: list[torch.Tensor]) -> None:
        gradients[0].fill_(torch.nan)

    learner.average_gradients = average
    with pytest.raises(ValueError, match="diverged"):
        learner.learn(sample)
    assert torch.equal(flat(learner.network), before)


def test_the_target_follows_slowly(make_batch: Any) -> None:
    sample = sample_of(make_batch(scalars=0, end="terminated"), 8)
    learner = learner_for(sample, target_rate=0.25)
    before = [parameter.clone() for parameter in learner.target.parameters()]
    learner.learn(sample)
    for old, now, online in zip(before, learner.target.parameters(), learner.network.parameters(), strict=True):
        torch.testing.assert_close(now, 0.75 * old + 0.25 * online)


def test_what_plays_is_the_average_of_the_later_weights(make_batch: Any) -> None:
    samples = [sample_of(make_batch(scalars=0, end="terminated"), 8, seed=i) for i in range(9)]
    learner = learner_for(samples[0], averaged_share=0.5, learning_rate=1e-2)
    made = []
    for sample in samples:
        learner.learn(sample)
        made.append(flat(learner.network))
    averaged = flat(learner.published)
    # The rate at update s is 2 / s (1 at most): worked out by hand, the weights are 0, 1, 2, ... 8 parts of 36.
    expected = torch.arange(9.0) @ torch.stack(made) / 36.0
    torch.testing.assert_close(averaged, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(averaged, made[-1], atol=1e-4)


def test_a_restored_learner_goes_on_to_the_bit(make_batch: Any) -> None:
    batch = make_batch(width=5, height=5, steps=16, scalars=0, end="terminated")
    samples = [sample_of(batch, 16, seed=i) for i in range(6)]
    learner = learner_for(samples[0])
    for sample in samples[:3]:
        learner.learn(sample)
    saved = learner.state()
    other = DoubleDQN(samples[0].layout, LearnerSettings(), device=CPU, seed=99)
    other.restore(saved)
    for sample in samples[3:]:
        assert learner.learn(sample).loss == other.learn(sample).loss


def test_the_learning_rate_is_flat_then_falls() -> None:
    settings = LearnerSettings(learning_rate=1.0, steps=800, flat_share=0.375, final_rate=0.2)
    assert [settings.learning_rate_at(step) for step in (0, 300)] == [1.0, 1.0]
    assert [settings.learning_rate_at(step) for step in (800, 9000)] == pytest.approx([0.2, 0.2])
    assert settings.learning_rate_at(550) == pytest.approx(0.6)


def test_a_learner_is_found_by_name() -> None:
    assert learner_named("dqn") is DoubleDQN
    assert learner_named("generals_trainer.learner:DoubleDQN") is DoubleDQN


@pytest.mark.parametrize("name", ["sarsa", "nosuch.module:X", "json:Nope"])
def test_an_unknown_learner_is_named_before_anything_is_read(name: str) -> None:
    with pytest.raises(UnknownLearner, match=f"learner '{name}': .*must be dqn or module:attribute"):
        learner_named(name)
    if ":" in name:
        with pytest.raises(UnknownLearner):
            Trainer(TrainerSettings(learner=LearnerSettings(name=name)))


def test_demonstrators_are_imitated_and_others_are_not(make_batch: Any) -> None:
    batch = make_batch(width=4, height=4, steps=24, scalars=0, end="terminated")
    sample = replace(sample_of(batch, 32), policy_names=("teacher", "other"))
    sample = replace(sample, policies=np.arange(32, dtype=np.uint16) % 2)
    plain = learner_for(sample, symmetries=False)
    learner = learner_for(sample, symmetries=False, demonstrators=("teacher",), imitation_weight=2.0)
    tensors = learner._tensors_for(sample.layout)
    mask = tensors.legal(sample.states)
    imitated = (sample.policies == 0) & mask[np.arange(32), sample.actions]
    # Heads of zeros: all legal actions are equally likely at first.
    expected = np.log(mask.sum(axis=1))[imitated].sum() / 32
    assert expected > 0
    assert learner.learn(sample).loss - plain.learn(sample).loss == pytest.approx(2.0 * expected, rel=1e-4)
    for _ in range(300):
        learner.learn(sample)
    with torch.no_grad():
        values = learner.network(tensors.planes(sample.states)).numpy()
    chosen = np.where(mask, values, -np.inf).argmax(axis=1)
    assert (chosen == sample.actions)[imitated].mean() > 0.8
