"""How image files say that a model made them: IPTC's term in XMP, or a signed C2PA manifest."""

from tasks_lib.marking.iptc import mark_as_generated
from tasks_lib.marking.xmp import DIGITAL_SOURCE_TYPE, UNTRAINED_SOURCE_TYPE

__all__ = ["DIGITAL_SOURCE_TYPE", "UNTRAINED_SOURCE_TYPE", "mark_as_generated"]
