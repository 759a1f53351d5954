"""What the trainer is made of: configuration, budget, batches, optimizer, checkpoints, tracking."""
