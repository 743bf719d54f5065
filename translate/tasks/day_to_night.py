"""A street by day in, the same street by night out; and the other way round."""

from translate.tasks.base import Task

DAY_TO_NIGHT = Task(
    name="day-to-night",
    summary="Turn pictures taken by day into night",
    trainer="translate.trainers.cyclegan:CycleGAN",
    paired=False,
    folders=("day", "night"),
    back="night-to-day",
    source_type="compositeWithTrainedAlgorithmicMedia",
    data_hint="a folder day and a folder night, of different places",
    input_label="Day picture",
    output_label="Night picture",
)

NIGHT_TO_DAY = Task(
    name="night-to-day",
    summary="Turn pictures taken by night into day",
    trainer="translate.trainers.cyclegan:CycleGAN",
    paired=False,
    folders=("night", "day"),
    back="day-to-night",
    source_type="compositeWithTrainedAlgorithmicMedia",
    data_hint="a folder night and a folder day, of different places",
    input_label="Night picture",
    output_label="Day picture",
)
