"""Paid images with their records, for tests of the store."""

from tasks_lib.provenance import Record, fingerprint, sha256

__all__ = ["MODEL", "paid_image"]

MODEL = {"endpoint": "https://images.example", "model": "test/model", "options": {"steps": 4}}


def paid_image(number: int, size: int = 500, pixels: str = "red") -> tuple[Record, bytes]:
    """A generation's record and its bytes.

    Args:
        number: of the generation; each has its own fingerprint.
        size: of the image, in bytes.
        pixels: what a model without seeds happened to paint; it is no part of the fingerprint.
    """
    request = {"prompt": f"a {number}", "options": {"width": 8}, "number": number, "seed": number}
    data = f"{number} {pixels} ".encode()
    data = (data * (size // len(data) + 1))[:size]
    record = Record(
        fingerprint=fingerprint(MODEL, request),
        model_name="test/model",
        model=MODEL,
        request=request,
        sha256=sha256(data),
        size=size,
        format="PNG",
        width=8,
        height=8,
        seconds=0.25,
        attempts=1,
        cost_usd=0.01,
        created="2026-11-22T10:00:00+00:00",
        metadata={"seed": number},
    )
    return record, data
