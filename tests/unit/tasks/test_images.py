"""Images at the input size: as the library's own preprocessing makes them, pixel by pixel."""

import io

import numpy as np
import pytest
from PIL import Image

from frod.tasks import images

CLIP = {"kind": "images", "size": [16, 16], "channels": 3, "resize": 16, "interpolation": "bicubic"}


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def encode(inputs, facts):
    out = np.zeros(images.shape(len(inputs), facts), np.uint8)
    images.encode(inputs, facts, out)
    return out


def test_grey_images_of_the_right_size_stay_as_they_are(image_facts):
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    np.testing.assert_array_equal(encode(grey, image_facts)[..., 0], grey)


@pytest.mark.parametrize("size", [(16, 16), (40, 23), (21, 48), (17, 64)])
def test_resize_and_crop_are_those_of_clips_processor(size):
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(
        size={"shortest_edge": 16},
        crop_size={"height": 16, "width": 16},
        do_rescale=False,
        do_normalize=False,
        do_convert_rgb=True,
    )
    image = picture(*size)
    expected = processor(Image.fromarray(image), return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_array_equal(encode([image], CLIP)[0], expected)


@pytest.mark.parametrize(
    ("facts", "edge", "size", "resize"),
    [
        ({"size": [224, 224], "resize": 256}, 42, [42, 42], 48),  # the crop keeps seven eighths
        ({"size": [224, 224], "resize": 256}, None, [224, 224], 256),
        ({"size": [8, 8], "resize": None}, 28, [28, 28], None),
    ],
)
def test_another_edge_keeps_the_share_of_the_crop(facts, edge, size, resize):
    assert images.at_size(CLIP | facts, edge) == CLIP | {"size": size, "resize": resize}


def test_encoded_files_and_grey_scans_become_rgb():
    file = io.BytesIO()
    Image.fromarray(picture(16, 16)[..., 0]).save(file, "png")
    out = encode([file.getvalue()], CLIP)[0]
    np.testing.assert_array_equal(out[..., 0], picture(16, 16)[..., 0])
    np.testing.assert_array_equal(out[..., 0], out[..., 2])


def test_sixteen_bits_are_refused(image_facts):
    """Pillow's own conversion makes all above 255 white."""
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(file, "png")
    with pytest.raises(ValueError, match="image 0 of 1 cannot be read: it is of mode I;16; save it with 8 bits"):
        encode([file.getvalue()], image_facts)


def test_a_broken_file_is_named_by_its_row(image_facts):
    with pytest.raises(ValueError, match="image 1 of 2 cannot be read"):
        encode([np.zeros((8, 8), np.uint8), b"no image"], image_facts)
