"""Line drawing in, photograph out."""

from translate.tasks.base import Task

SKETCH_TO_PHOTO = Task(
    name="sketch-to-photo",
    summary="Turn a line drawing into a photograph",
    trainer="translate.trainers.pix2pix:Pix2Pix",
    paired=True,
    makes_source=True,
    labels=True,
    framing="fit",
    source_maker="translate.data.sketches:draw_sketches",
    test_source_maker="translate.data.sketches:draw_machine_edges",
    data_hint="photographs of one kind of thing on white; drawings are made from them",
    content_share=0.9,  # the median of the shoes and handbags that the shipped model has learnt from
    draws_input=True,
    input_label="Sketch",
    output_label="Photo",
)
