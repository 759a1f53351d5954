"""The state of a run: how far it is, besides the weights and what the optimizers keep."""

from dataclasses import dataclass, fields


@dataclass
class TrainState:
    """How far a run is; a checkpoint holds it as JSON."""

    identity: dict
    """the options and data that decide the run's result"""
    step: int = 0
    """optimizer steps done"""
    train_seconds: float = 0.0
    """time in them"""
    finished: bool = False
    """whether the budget is used up"""
    skipped_steps: int = 0
    """steps whose batch was passed over, because its loss or gradients were not finite"""
    best_val_bpc: float | None = None
    """the lowest bits per character of a validation"""
    best_step: int | None = None
    """the step after which that was"""

    @classmethod
    def from_json(cls, content: dict) -> "TrainState":
        """The state that a checkpoint's state.json holds."""
        return cls(**{field.name: content[field.name] for field in fields(cls)})
