"""Replay buffer, learner, checkpoints, evaluation."""
