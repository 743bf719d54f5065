"""Any translation, by the name of the method: for data that fits none of the named tasks."""

from translate.tasks.base import Task

PIX2PIX = Task(
    name="pix2pix",
    summary="Any translation that pairs show: pictures side by side, or of equal names in two folders",
    trainer="translate.trainers.pix2pix:Pix2Pix",
    paired=True,
    labels=True,
    data_hint="pairs: files side by side (--layout side-by-side), or folders source and target with equal names",
    input_label="Input",
    output_label="Result",
)

CYCLEGAN = Task(
    name="cyclegan",
    summary="Any translation between two collections without pairs, there and back",
    trainer="translate.trainers.cyclegan:CycleGAN",
    paired=False,
    data_hint="folders source and target, nothing needs to match",
    input_label="Input",
    output_label="Result",
)

CUT = Task(
    name="cut",
    summary="The same one way only, twice as fast and in half the memory",
    trainer="translate.trainers.cut:CUT",
    paired=False,
    data_hint="folders source and target, nothing needs to match",
    input_label="Input",
    output_label="Result",
)
