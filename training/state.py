"""The state of a run, without its weights and optimizers."""

from dataclasses import dataclass, fields


@dataclass
class TrainState:
    """The progress of a run; a checkpoint stores it as JSON."""

    identity: dict
    """the options and data that determine the run's result"""
    step: int = 0
    """optimizer steps done"""
    train_seconds: float = 0.0
    """time spent in these steps"""
    finished: bool = False
    """true if the budget is used up"""
    skipped_steps: int = 0
    """steps that were skipped because of a non-finite loss or gradient"""
    best_val_bpc: float | None = None
    """lowest bits per character of all validations"""
    best_step: int | None = None
    """step of that validation"""

    @classmethod
    def from_json(cls, content: dict) -> "TrainState":
        """The state in the content of a checkpoint's state.json."""
        return cls(**{field.name: content[field.name] for field in fields(cls)})
