"""One record of each kind, the same every time: what the golden files hold."""

import numpy as np

from generals_schemas.records import (
    Capture,
    ExperienceBatch,
    GameSummary,
    Memory,
    Outcome,
    PolicyPointer,
    PolicyRef,
    Source,
    TransitionChunk,
)


def chunk(
    *, armies: type = np.uint16, memory: bool = True, log_probs: bool = True, final: bool = True
) -> TransitionChunk:
    """Three ticks of a 4 x 3 board with two players."""
    counting = np.arange(4 * 12).reshape(4, 12)
    return TransitionChunk(
        game_id="golden-0000-00000001",
        chunk=2,
        first_tick=128,
        rules_version=18,
        width=4,
        height=3,
        teams=(0, 1),
        policies=(PolicyRef("expander"), PolicyRef("dqn", 7)),
        map_seed=11,
        policy_seed=-12,
        tiles=(counting % 3).astype(np.uint8),
        armies=counting.astype(armies),
        alive=np.array([3, 3, 3, 1], np.uint16),
        actions=np.array([[0, 96], [5, 7], [96, 50]], np.int32),
        log_probs=np.array([[-0.5, -1], [0, -2], [-3, -0.25]], np.float32) if log_probs else None,
        memory=Memory((counting[:2] % 5).astype(np.uint8), counting[:2].astype(armies)) if memory else None,
        outcome=Outcome((0,), "won") if final else None,
    )


def batch() -> ExperienceBatch:
    """Two steps of a 4 x 3 board, with a scalar."""
    counting = np.arange(3 * 12).reshape(3, 12)
    return ExperienceBatch(
        game_id="golden-0000-00000001",
        chunk=2,
        player=1,
        first_tick=128,
        width=4,
        height=3,
        encoding="nine_planes",
        encoding_params={"army_scale": 500.0},
        reward="standard",
        reward_params={"win": 2.0},
        policy=PolicyRef("dqn", 7),
        config_version="0011aabb",
        planes=("own", "enemy", "city", "mountain", "visible"),  # as records were before ADR 0014
        scalar_names=("turn",),
        armies=counting.astype(np.uint16),
        bits=np.arange(30, dtype=np.uint8).reshape(3, 5, 2),
        scalars=np.array([[0], [0.5], [1]], np.float32),
        actions=np.array([3, 96], np.int32),
        rewards=np.array([0.05, -1], np.float32),
        source=Source("generals.transitions", "AAAAAAAAAAAAAAAAAAAAAQ", 3, 41, 1, 2),
        log_probs=np.array([-0.5, -1.5], np.float32),
        end="terminated",
    )


def game() -> GameSummary:
    return GameSummary(
        game_id="golden-0000-00000001",
        winners=(0,),
        reason="won",
        ticks=131,
        started_ms=1_700_000_000_000,
        duration_ms=2500,
        width=4,
        height=3,
        teams=(0, 1),
        policies=(PolicyRef("expander"), PolicyRef("dqn", 7)),
        captures=(Capture(130, 0, 1),),
        map_seed=11,
        policy_seed=-12,
        rules_version=18,
    )


def pointer() -> PolicyPointer:
    return PolicyPointer(
        name="dqn",
        version=7,
        url="s3://policies/dqn/7.onnx",
        sha256="00" * 32,
        created_ms=1_700_000_000_000,
        metadata={"steps": "1000"},
    )
