"""The parts of the trainer: configuration, budget, batches, optimizer, checkpoints, tracking."""
