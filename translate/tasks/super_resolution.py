"""Small picture in, large and sharp picture out."""

from translate.tasks.base import Task

SUPER_RESOLUTION = Task(
    name="super-resolution",
    summary="Enlarge pictures, sharper than by stretching them",
    trainer="translate.trainers.superres:SuperRes",
    paired=True,
    makes_source=True,
    image_size=128,
    framing="patch",
    source_type="algorithmicallyEnhanced",
    data_hint="sharp photographs; small ones are made from them",
    input_label="Small picture",
    output_label="Large picture",
)
