"""The nine planes in half precision: half the memory on the trainer's device."""

from generals_schemas.encodings.declaration import Encoding
from generals_schemas.encodings.nine_planes import CHANNELS

ENCODING = Encoding("nine_planes_float16", CHANNELS, dtype="float16")
