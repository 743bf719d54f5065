"""What a user can ask for. One file per task, one line in `TASKS`; nothing here imports torch."""

from translate.tasks.base import Task
from translate.tasks.day_to_night import DAY_TO_NIGHT, NIGHT_TO_DAY
from translate.tasks.generic import CUT, CYCLEGAN, PIX2PIX
from translate.tasks.sketch_to_photo import SKETCH_TO_PHOTO
from translate.tasks.super_resolution import SUPER_RESOLUTION

TASKS: dict[str, Task] = {
    task.name: task for task in (SKETCH_TO_PHOTO, DAY_TO_NIGHT, NIGHT_TO_DAY, SUPER_RESOLUTION, PIX2PIX, CYCLEGAN, CUT)
}
"""Every task by name. The command line, the page and the parametrised tests read this."""

__all__ = ["TASKS", "Task"]
