"""A street by day in, the same street by night out."""

from translate.tasks.base import Task

DAY_TO_NIGHT = Task(
    name="day-to-night",
    summary="Turn day into night, and with the same run night into day",
    trainer="translate.trainers.cyclegan:CycleGAN",
    settings={"folders": ("day", "night")},
    data_hint="a folder day and a folder night, of different places",
    input_label="Day",
    output_label="Night",
)
