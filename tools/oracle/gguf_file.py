"""Reads GGUF files (version 2 and 3, one part): metadata, and each tensor's bytes.

Written from the GGUF specification (ggml-org/ggml, docs/gguf.md), independently of the engine's
reader. It is for files that we made ourselves; it does not defend against hostile ones.
"""

import mmap
import struct

import numpy as np

from dequantize import FORMATS

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        value = struct.unpack_from(layout, self.data, self.at)[0]
        self.at += struct.calcsize(layout)
        return value

    def string(self):
        length = self.take("<Q")
        self.at += length
        return self.data[self.at - length : self.at].decode("utf-8", errors="replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            element, count = self.take("<I"), self.take("<Q")
            return [self.value(element) for _ in range(count)]
        return self.take(SCALARS[kind])


class GgufFile:
    """metadata: a dict. matrix(name): the tensor as float64, dimensions in numpy's order (rows first)."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        cursor = Cursor(self._data)
        if self._data[:4] != b"GGUF" or struct.unpack_from("<I", self._data, 4)[0] not in (2, 3):
            raise SystemExit(f"{path}: not a GGUF file of version 2 or 3")
        cursor.at = 8
        n_tensors, n_keys = cursor.take("<Q"), cursor.take("<Q")
        self.metadata = {}
        for _ in range(n_keys):
            key = cursor.string()
            self.metadata[key] = cursor.value(cursor.take("<I"))
        self._tensors = {}
        for _ in range(n_tensors):
            name = cursor.string()
            dims = [cursor.take("<Q") for _ in range(cursor.take("<I"))]
            kind, offset = cursor.take("<I"), cursor.take("<Q")
            self._tensors[name] = (dims, kind, offset)
        alignment = self.metadata.get("general.alignment", 32)
        self._start = -(-cursor.at // alignment) * alignment

    def __contains__(self, name):
        return name in self._tensors

    def names(self):
        return list(self._tensors)

    def type_name(self, name):
        return FORMATS[self._tensors[name][1]].name

    def matrix(self, name):
        dims, kind, offset = self._tensors[name]
        form = FORMATS[kind]
        n_blocks = int(np.prod(dims)) // form.block_elements
        raw = np.frombuffer(self._data, np.uint8, n_blocks * form.block_bytes, self._start + offset)
        values = form.dequantize(raw.reshape(n_blocks, form.block_bytes))
        return values.reshape(dims[::-1])
