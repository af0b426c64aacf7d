"""What TensorBoard itself reads from the event files of a run directory, as one JSON object."""

import json
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
events.Reload()
tags = events.Tags()


def image(event):
    """Width and height in the PNG itself, beside those that the event states."""
    assert event.encoded_image_string[:8] == b"\x89PNG\r\n\x1a\n"
    return [list(struct.unpack(">II", event.encoded_image_string[16:24])), [event.width, event.height]]


def histogram(event):
    value = event.histogram_value
    assert len(value.bucket) == len(value.bucket_limit) and sum(value.bucket) == value.num
    return {"step": event.step, "min": value.min, "max": value.max, "num": value.num, "sum": value.sum}


print(
    json.dumps(
        {
            "scalars": {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]},
            "histograms": {tag: [histogram(e) for e in events.Histograms(tag)] for tag in tags["histograms"]},
            "images": {tag: [image(e) for e in events.Images(tag)] for tag in tags["images"]},
            "texts": {
                tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
                for tag in tags["tensors"]
                if events.SummaryMetadata(tag).plugin_data.plugin_name == "text"
            },
        }
    )
)
