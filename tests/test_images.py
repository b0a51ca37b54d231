"""Image bytes are told from what is no image, and cells of all kinds give back exactly the bytes behind them."""

import base64
import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks_lib.errors import BadImageError, GenerationError, ImageCellError, NoImageError
from tasks_lib.image_verification import ImageFacts, verify_image
from tasks_lib.images import REFERENCE_PREFIX, image_from_str, image_to_str, is_image_cell, read_image_cell
from tests.endpoint_images import black_image, bomb, image_for

FORMATS = ["png", "jpeg", "webp"]


def encoded(image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    noise = Image.frombytes("RGB", (40, 30), image_for("noise", image_format="png", image_bytes=9000)[100:3700])
    noise.save(buffer, image_format, **options)
    return buffer.getvalue()


WHOLE = {
    "png": encoded("png"),
    "jpeg": encoded("jpeg"),
    "progressive jpeg": encoded("jpeg", progressive=True),
    "jpeg with a thumbnail": encoded("jpeg", exif=b"Exif\x00\x00" + encoded("jpeg")),
    "lossy webp": encoded("webp"),
    "lossless webp": encoded("webp", lossless=True),
    "gif": encoded("gif"),
    "bmp": encoded("bmp"),
    "tiff": encoded("tiff"),
    "avif": encoded("avif"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_image_passes(kind: str) -> None:
    """An image of each kind is accepted, and its facts are those of its header."""
    facts = verify_image(WHOLE[kind])
    assert (facts.width, facts.height) == (40, 30)
    assert facts.format.lower() in kind


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if kind not in {"gif", "tiff"}])
@settings(max_examples=60)
@example(share=0.99999)
@given(share=st.floats(0, 1, exclude_max=True))
def test_image_cut_anywhere_is_found(kind: str, share: float) -> None:
    """Wherever an image is cut short, to the last byte but one, it is worth another attempt."""
    data = WHOLE[kind]
    with pytest.raises(BadImageError, match=r"empty|not an image|incomplete or damaged"):
        verify_image(data[: int(share * len(data))])


@pytest.mark.parametrize("kind", [kind for kind in WHOLE if "jpeg" in kind])
@settings(max_examples=60)
@given(share=st.floats(0, 1), junk=st.binary(max_size=20))
def test_what_passes_can_be_decoded(kind: str, share: float, junk: bytes) -> None:
    """No JPEG that was overwritten somewhere passes and then fails to decode."""
    place = int(share * len(WHOLE[kind]))
    data = WHOLE[kind][:place] + junk + WHOLE[kind][place + len(junk) :]
    try:
        verify_image(data)
    except BadImageError:
        return
    with Image.open(io.BytesIO(data)) as image:
        image.load()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of odd tags in TIFFs
@given(kind=st.sampled_from(sorted(WHOLE)), share=st.floats(0, 1), junk=st.binary(min_size=1, max_size=12))
@example(kind="avif", share=0.9, junk=b"\xff" * 12)
def test_no_bytes_stop_a_run(kind: str, share: float, junk: bytes) -> None:
    """Spoiled anywhere, an image of any format is taken or turned down; no other error ever comes of it."""
    place = int(share * len(WHOLE[kind]))
    data = WHOLE[kind][:place] + junk + WHOLE[kind][place + len(junk) :]
    with contextlib.suppress(GenerationError):
        verify_image(data)
    with contextlib.suppress(ImageCellError):
        image_from_str(image_to_str(data)).close()


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (7, 600), (600, 7)])
def test_tiny_images_pass(size: tuple[int, int]) -> None:
    """A whole image is taken whatever its sides."""
    for image_format in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", size).save(buffer, image_format, progressive=True)
        assert verify_image(buffer.getvalue()) == ImageFacts(image_format, *size)


@pytest.mark.parametrize("data", [WHOLE["png"][:10], WHOLE["jpeg"][:3], b"\0\0\0\x18ftypheic", b"\xff\x0a\x7f"])
def test_what_may_be_an_image_is_paid_for(data: bytes) -> None:
    """An image cut off in its first bytes, or of a format that we do not know, is no page that costs nothing."""
    with pytest.raises(BadImageError) as caught:
        verify_image(data)
    assert not isinstance(caught.value, NoImageError)


def test_bytes_behind_the_end_do_no_harm() -> None:
    """A JPEG that is followed by something else is whole."""
    assert verify_image(WHOLE["jpeg"] + b"\0\0\n") == ImageFacts("JPEG", 40, 30)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the answer is empty"),
        (b"<!doctype html><html>", "not an image; it begins with b'<!doctype html>"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b'{"error": "no"}', "not an image"),
    ],
)
def test_no_image(data: bytes, message: str) -> None:
    """What is no image is worth another attempt, and the error shows how it begins."""
    with pytest.raises(BadImageError, match=message):
        verify_image(data)


@pytest.mark.parametrize(
    ("data", "bounds", "message"),
    [
        (bomb(), {}, "400000000 pixels"),
        (bomb(9000), {}, "9000 x 9000 pixels; at most 64,000,000"),
        (WHOLE["png"], {"max_pixels": 1199}, "40 x 30 pixels; at most 1,199"),
        (WHOLE["png"], {"max_bytes": 99}, "at most 99 are taken"),
    ],
)
def test_out_of_bounds(data: bytes, bounds: dict[str, int], message: str) -> None:
    """An image beyond the bounds is no image, and not worth another attempt: the next would be like it."""
    with pytest.raises(GenerationError, match=message) as caught:
        verify_image(data, **bounds)
    assert not isinstance(caught.value, BadImageError)


def test_bounds_are_inclusive() -> None:
    """An image exactly at the bounds passes, as does a black one: whether it is good is not asked here."""
    assert verify_image(WHOLE["png"], max_pixels=1200, max_bytes=len(WHOLE["png"])).width == 40
    assert verify_image(black_image("png")).format == "PNG"


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_kind_of_cell_gives_the_same_bytes(tmp_path: Path, image_format: str) -> None:
    """Bytes, base64, data URI, path, reference and Hugging Face's cells all stand for the same, unchanged bytes."""
    data = image_for("a cat", image_format=image_format)
    path = tmp_path / f"cat.{image_format}"
    path.write_bytes(data)
    text = image_to_str(data)
    cells = [
        data,
        text,
        f"{text}\n",
        f"data:image/{image_format};base64,{text}",
        str(path),
        path.as_uri(),
        REFERENCE_PREFIX + str(path),
        {"bytes": data, "path": None},
        {"bytes": None, "path": str(path)},
    ]
    assert [read_image_cell(cell) for cell in cells] == [data] * len(cells)
    assert read_image_cell(None) is None
    assert base64.b64decode(text) == data
    assert image_from_str(text).format == image_format.upper()


@given(st.binary(max_size=200))
def test_base64_goes_there_and_back(data: bytes) -> None:
    """Any bytes survive as text, whatever letters their base64 has."""
    assert read_image_cell(image_to_str(data)) == data


def test_image_of_pillow_becomes_png() -> None:
    """A picture in memory is encoded without loss."""
    image = Image.new("RGB", (3, 2), "red")
    assert image_from_str(image_to_str(image)).tobytes() == image.tobytes()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("not base64!", "neither base64 nor a path"),
        ("data:image/png;base64,%%%", "neither base64 nor a path"),
        ("nowhere/cat.png", r"'nowhere/cat\.png' cannot be read"),
        (7, "a int is not an image cell"),
        ("nosuch://bucket/cat.png", "cannot be read"),
        ("http://me:secret@127.0.0.1:9/cat.png?sig=secret", r"'http://127\.0\.0\.1:9/cat\.png' cannot be read: \w+\.$"),
    ],
)
def test_no_cell(in_folder: Path, cell: object, message: str) -> None:
    """What stands for no image is named in the error."""
    with pytest.raises(ImageCellError, match=message):
        read_image_cell(cell)


def test_text_is_not_taken_for_an_image() -> None:
    """Only what is an image beyond doubt counts as one: a caption never does."""
    data = image_for("a cat", image_format="png")
    assert all(is_image_cell(cell) for cell in (data, image_to_str(data), REFERENCE_PREFIX + "x", "data:image/png;,"))
    assert not any(is_image_cell(cell) for cell in ("a cat", base64.b64encode(data).decode(), None, 3, {"a": 1}))
