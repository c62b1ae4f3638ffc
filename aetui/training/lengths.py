"""How many steps an epoch and a run have, without torch."""

from aetui.spec import sections as s


def steps_per_epoch(rows: int, batch_size: int, least: int) -> int:
    """Batches of an epoch; a rest of fewer rows than `least` is none, and a size of 0 takes all rows."""
    full, rest = divmod(rows, min(batch_size or rows, rows))
    return full + (rest >= least)


def goal_of(train: s.Train, rows: int, least: int) -> int | None:
    """Step at which a run ends by itself, None where its spec sets no end."""
    return train.steps or train.epochs * steps_per_epoch(rows, train.batch_size, least) or None
