"""What a user can ask for. One file per task, one line in `TASKS`; nothing here imports torch."""

from translate.tasks.base import Task
from translate.tasks.sketch_to_photo import SKETCH_TO_PHOTO

TASKS: dict[str, Task] = {task.name: task for task in (SKETCH_TO_PHOTO,)}
"""Every task by name. The command line, the page and the parametrised tests read this."""

__all__ = ["TASKS", "Task"]
