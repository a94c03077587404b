"""What a backbone may see of a task before any fine-tuning: unlabelled training data, never validation or test."""

from __future__ import annotations

from typing import Any

from frod.tasks import choices, images, prepare, sums
from frod.tasks.registry import Generator, TaskSpec


def data(task: TaskSpec, *, seed: int, lines: int | None = None, mirror: Any = None) -> Any:
    """Return a task's pre-training data.

    Parameters
    ----------
    seed : int
        Of the split; the same as in `prepare`, else validation and test examples would be among the data.
    lines : int, optional
        Lines of generated text; needed where the source is a generator, meaningless elsewhere.

    Returns
    -------
    uint8 array of shape (examples, height, width), in grey, or list of str

    Raises
    ------
    ValueError
        The task has no data to pre-train on, its images are of unlike sizes, or `lines` does not fit its source.
    """
    if task.kind == "generation":
        raise ValueError(
            f"{task.title!r} is a generation, and a model is pre-trained on images or on texts: name another"
        )
    if isinstance(task.source, Generator):
        if lines is None:
            raise ValueError(f"lines is missing: how much text of {task.title!r} should be generated?")
        return sums.pretraining_text(task.source, seed=seed, lines=lines)
    if lines is not None:
        raise ValueError(f"lines is {lines}, but the data of {task.title!r} are not generated: leave it out")
    with prepare.opened(task, seed=seed, mirror=mirror) as source:
        parts, _ = prepare.without_duplicates(task.title, task, prepare.divide(task, source, seed=seed))
        train = parts["train"].inputs
        if task.kind == "images":
            return images.grey(train)
        return choices.texts(train, task.prompt) if task.kind == "choices" else list(train)
