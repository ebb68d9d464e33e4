"""GGUF's weight types as exact float64 values.

Each function takes blocks as rows of bytes, [n_blocks, block_bytes], and returns [n_blocks, elements].
Every product here is exact or rounded once in double precision, so the result is the value that the
file defines. Layouts: ggml-org/ggml, src/ggml-common.h.
"""

import re
from collections import namedtuple
from pathlib import Path

import numpy as np

IQ4_VALUES = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float64)
# E2M1: sign, two exponent bits, one mantissa bit.
FP4_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def halves(blocks, start, count=1):
    """`count` F16 fields from byte `start` on, one column each."""
    raw = np.ascontiguousarray(blocks[:, start : start + 2 * count])
    return raw.view("<f2").astype(np.float64)


def nibbles_split(packed):
    """Low nibbles of all bytes, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def bits(packed):
    """Bit i of little-endian bytes as element i."""
    return np.unpackbits(packed, axis=1, bitorder="little")


def f32(blocks):
    return np.ascontiguousarray(blocks).view("<f4").astype(np.float64)


def f16(blocks):
    return halves(blocks, 0)


def bf16(blocks):
    raw = np.ascontiguousarray(blocks).view("<u2").astype(np.uint32) << 16
    return raw.view(np.float32).astype(np.float64)


def q8_0(blocks):
    return halves(blocks, 0) * blocks[:, 2:].view(np.int8)


def q4_0(blocks):
    return halves(blocks, 0) * (nibbles_split(blocks[:, 2:]) - 8.0)


def q4_1(blocks):
    return halves(blocks, 0) * nibbles_split(blocks[:, 4:]) + halves(blocks, 2)


def q5_0(blocks):
    q = nibbles_split(blocks[:, 6:]) + 16.0 * bits(blocks[:, 2:6])
    return halves(blocks, 0) * (q - 16)


def q5_1(blocks):
    q = nibbles_split(blocks[:, 8:]) + 16.0 * bits(blocks[:, 4:8])
    return halves(blocks, 0) * q + halves(blocks, 2)


def iq4_nl(blocks):
    return halves(blocks, 0) * IQ4_VALUES[nibbles_split(blocks[:, 2:])]


def mxfp4(blocks):
    scale = np.exp2(blocks[:, :1].astype(np.float64) - 127)
    return scale * FP4_VALUES[nibbles_split(blocks[:, 1:])]


def nvfp4(blocks):
    """Per sixteen values an unsigned E4M3 scale and eight bytes. Codes that are no number scale by 0."""
    exponent, fraction = (blocks[:, :4] >> 3 & 15).astype(np.float64), (blocks[:, :4] & 7) / 8.0
    scale = np.where(exponent > 0, np.exp2(exponent - 7) * (1 + fraction), np.exp2(-6.0) * fraction)
    scale = np.where(blocks[:, :4] & 127 == 127, 0, scale)
    codes = nibbles_split(np.ascontiguousarray(blocks[:, 4:]).reshape(-1, 8)).reshape(-1, 4, 16)
    return (scale[:, :, None] * FP4_VALUES[codes]).reshape(-1, 64)


def two_bit_fields(packed):
    """Q2_K and Q3_K: 32 bytes hold 128 elements, the lowest two bits the first 32 of them."""
    groups = packed.reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    return (groups & 3).reshape(-1, 256)


def q2_k(blocks):
    scales, minima = blocks[:, :16] & 15, blocks[:, :16] >> 4
    d, dmin = halves(blocks, 80), halves(blocks, 82)
    q = two_bit_fields(np.ascontiguousarray(blocks[:, 16:80]))
    return np.repeat(d * scales, 16, axis=1) * q - np.repeat(dmin * minima, 16, axis=1)


def q3_k_scales(packed):
    """Sixteen 6-bit scales: low four bits as nibbles of bytes 0-7, top two in bytes 8-11."""
    low = nibbles_split(packed[:, :8])
    top = np.concatenate([packed[:, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    return (low | top << 4) - 32.0


def q3_k(blocks):
    low = two_bit_fields(np.ascontiguousarray(blocks[:, 32:96]))
    # Bit b of hmask byte l: element 32 b + l. A clear bit subtracts 4.
    high = bits(np.ascontiguousarray(blocks[:, :32])).reshape(-1, 32, 8).transpose(0, 2, 1).reshape(-1, 256)
    scales = q3_k_scales(blocks[:, 96:108])
    return np.repeat(halves(blocks, 108) * scales, 16, axis=1) * (low - 4.0 * (1 - high))


def six_bit_scales(packed):
    """Q4_K and Q5_K: eight scales and eight minima from twelve bytes."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([first & 63, third & 15 | first >> 6 << 4], axis=1)
    minima = np.concatenate([second & 63, third >> 4 | second >> 6 << 4], axis=1)
    return scales, minima


def with_minima(blocks, q):
    """Sub-blocks of 32 with scales and minima."""
    scales, minima = six_bit_scales(blocks[:, 4:16])
    d, dmin = halves(blocks, 0), halves(blocks, 2)
    return np.repeat(d * scales, 32, axis=1) * q - np.repeat(dmin * minima, 32, axis=1)


def four_bit_fields(packed):
    """Each 32 bytes hold 64 elements: low nibbles, then high ones."""
    groups = packed.reshape(-1, 4, 32)
    return np.concatenate([groups & 15, groups >> 4], axis=2).reshape(-1, 256)


def q4_k(blocks):
    return with_minima(blocks, four_bit_fields(np.ascontiguousarray(blocks[:, 16:144])))


def q5_k(blocks):
    low = four_bit_fields(np.ascontiguousarray(blocks[:, 48:176]))
    # Bit b of qh byte l: element 32 b + l.
    high = bits(np.ascontiguousarray(blocks[:, 16:48])).reshape(-1, 32, 8).transpose(0, 2, 1).reshape(-1, 256)
    return with_minima(blocks, low + 16.0 * high)


def q6_k(blocks):
    low = np.ascontiguousarray(blocks[:, :128]).reshape(-1, 2, 64)
    low = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 256)
    high = two_bit_fields(np.ascontiguousarray(blocks[:, 128:192]))
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    return np.repeat(halves(blocks, 208) * scales, 16, axis=1) * (low + 16.0 * high - 32)


def iq4_xs(blocks):
    top = np.ascontiguousarray(blocks[:, 2:4]).view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3
    low = np.stack([blocks[:, 4:8] & 15, blocks[:, 4:8] >> 4], axis=2).reshape(-1, 8)
    scales = halves(blocks, 0) * ((low | top << 4) - 32.0)
    groups = np.ascontiguousarray(blocks[:, 8:136]).reshape(-1, 8, 16)
    q = np.concatenate([groups & 15, groups >> 4], axis=2).reshape(-1, 256)
    return np.repeat(scales, 32, axis=1) * IQ4_VALUES[q]


def ternary_digits(packed, n):
    """n digits to the base of three a byte, the leading ones first: digit 0 of all bytes, then digit 1."""
    rest = packed.astype(np.uint32)[:, None, :] * 3 ** np.arange(n, dtype=np.uint32)[None, :, None] & 255
    return (rest * 3 >> 8).reshape(len(packed), -1)


def tq1_0(blocks):
    parts = [ternary_digits(blocks[:, a:b], n) for a, b, n in ((0, 32, 5), (32, 48, 5), (48, 52, 4))]
    return halves(blocks, 52) * (np.concatenate(parts, axis=1) - 1.0)


def tq2_0(blocks):
    return halves(blocks, 64) * (two_bit_fields(np.ascontiguousarray(blocks[:, :64])) - 1.0)


def read_codebooks():
    """The codebooks of the IQ1, IQ2 and IQ3 types, as entries of digits: the numbers of src/kernels/codebooks.h,
    which the tests of the kernels compare with llama.cpp's own dequantization."""
    text = (Path(__file__).resolve().parents[2] / "src" / "kernels" / "codebooks.h").read_text()
    books = {}
    for name, body in re.findall(r"k(IQ\w+)Codebook = \{([^}]*)\}", text):
        entries = np.array([int(x, 16) for x in re.findall(r"0x[0-9a-f]+", body)])
        width = 4 if name.startswith("IQ3") else 2
        books[name] = entries[:, None] >> np.arange(0, 16, width) & (1 << width) - 1
    return books


CODEBOOKS = read_codebooks()
IQ2_MAGNITUDES = np.array([8.0, 25, 43])
IQ3_XXS_MAGNITUDES = np.array([4.0, 12, 20, 28, 36, 44, 52, 62])


def plain(blocks, start, stop, dtype="u1"):
    """A field as unsigned integers wide enough to shift."""
    return np.ascontiguousarray(blocks[:, start:stop]).view(dtype).astype(np.int64)


def nibbles(packed):
    """Low and high nibble of each byte in turn."""
    return np.stack([packed & 15, packed >> 4], axis=2).reshape(len(packed), -1)


def signs_of(fields, n_bits):
    """Eight signs a field. Where only seven bits are stored, their parity is the eighth."""
    set_bits = fields[:, :, None] >> np.arange(n_bits) & 1
    if n_bits == 7:
        set_bits = np.concatenate([set_bits, set_bits.sum(axis=2, keepdims=True) % 2], axis=2)
    return (1 - 2.0 * set_bits).reshape(len(fields), -1)


def fields_of_28_bits(dwords):
    """Four fields of seven bits a dword, and the four bits above them."""
    fields = (dwords[:, :, None] >> np.array([0, 7, 14, 21]) & 127).reshape(len(dwords), -1)
    return fields, dwords >> 28


def scaled(d, scales, unit):
    """(2 s + 1) * unit * d for every element of equal sub-blocks."""
    return np.repeat(d * (2 * scales + 1) * unit, 256 // scales.shape[1], axis=1)


def iq2(blocks, book, index, signs, scales):
    magnitudes = IQ2_MAGNITUDES[CODEBOOKS[book][index]].reshape(len(blocks), -1)
    return scaled(halves(blocks, 0), scales, 0.125) * magnitudes * signs


def iq2_xxs(blocks):
    dwords = plain(blocks, 2, 66, "<u4").reshape(-1, 8, 2)
    index = (dwords[:, :, :1] >> np.array([0, 8, 16, 24]) & 255).reshape(-1, 32)
    fields, scales = fields_of_28_bits(dwords[:, :, 1])
    return iq2(blocks, "IQ2XXS", index, signs_of(fields, 7), scales)


def iq2_xs(blocks):
    words = plain(blocks, 2, 66, "<u2")
    return iq2(blocks, "IQ2XS", words & 511, signs_of(words >> 9, 7), nibbles(plain(blocks, 66, 74)))


def iq2_s(blocks):
    high = (plain(blocks, 66, 74)[:, :, None] >> np.array([0, 2, 4, 6]) & 3).reshape(-1, 32)
    index = plain(blocks, 2, 34) | high << 8
    return iq2(blocks, "IQ2S", index, signs_of(plain(blocks, 34, 66), 8), nibbles(plain(blocks, 74, 82)))


def iq3_xxs(blocks):
    fields, scales = fields_of_28_bits(plain(blocks, 66, 98, "<u4"))
    magnitudes = IQ3_XXS_MAGNITUDES[CODEBOOKS["IQ3XXS"][plain(blocks, 2, 66)]].reshape(-1, 256)
    return scaled(halves(blocks, 0), scales, 0.25) * magnitudes * signs_of(fields, 7)


def iq3_s(blocks):
    high = (plain(blocks, 66, 74)[:, :, None] >> np.arange(8) & 1).reshape(-1, 64)
    digits = CODEBOOKS["IQ3S"][plain(blocks, 2, 66) | high << 8].reshape(-1, 256)
    return scaled(halves(blocks, 0), nibbles(plain(blocks, 106, 110)), 1) * (2 * digits + 1) * signs_of(plain(blocks, 74, 106), 8)


def iq1(d, scales, index, is_less):
    """Entries of -1, 0, 1, each with an eighth more, or less: is_less has one flag an index."""
    entries = CODEBOOKS["IQ1"][index] - 1 + np.where(is_less, -0.125, 0.125)[:, :, None]
    return scaled(d, scales, 1) * entries.reshape(len(index), -1)


def iq1_s(blocks):
    words = plain(blocks, 34, 50, "<u2")
    high = (words[:, :, None] >> np.array([0, 3, 6, 9]) & 7).reshape(-1, 32)
    return iq1(halves(blocks, 0), words >> 12 & 7, plain(blocks, 2, 34) | high << 8, np.repeat(words >> 15, 4, axis=1))


def iq1_m(blocks):
    high = nibbles(plain(blocks, 32, 48))
    words = plain(blocks, 48, 56, "<u2")
    scales = (words[:, :, None] >> np.array([0, 3, 6, 9]) & 7).reshape(-1, 16)
    d = (words >> 12 << np.array([0, 4, 8, 12])).sum(axis=1, keepdims=True).astype("<u2").view("<f2").astype(np.float64)
    return iq1(d, scales, plain(blocks, 0, 32) | (high & 7) << 8, high >> 3)


Format = namedtuple("Format", "name block_elements block_bytes dequantize")

FORMATS = {
    0: Format("F32", 1, 4, f32),
    1: Format("F16", 1, 2, f16),
    2: Format("Q4_0", 32, 18, q4_0),
    3: Format("Q4_1", 32, 20, q4_1),
    6: Format("Q5_0", 32, 22, q5_0),
    7: Format("Q5_1", 32, 24, q5_1),
    8: Format("Q8_0", 32, 34, q8_0),
    10: Format("Q2_K", 256, 84, q2_k),
    11: Format("Q3_K", 256, 110, q3_k),
    12: Format("Q4_K", 256, 144, q4_k),
    13: Format("Q5_K", 256, 176, q5_k),
    14: Format("Q6_K", 256, 210, q6_k),
    16: Format("IQ2_XXS", 256, 66, iq2_xxs),
    17: Format("IQ2_XS", 256, 74, iq2_xs),
    18: Format("IQ3_XXS", 256, 98, iq3_xxs),
    19: Format("IQ1_S", 256, 50, iq1_s),
    20: Format("IQ4_NL", 32, 18, iq4_nl),
    21: Format("IQ3_S", 256, 110, iq3_s),
    22: Format("IQ2_S", 256, 82, iq2_s),
    23: Format("IQ4_XS", 256, 136, iq4_xs),
    29: Format("IQ1_M", 256, 56, iq1_m),
    30: Format("BF16", 1, 2, bf16),
    34: Format("TQ1_0", 256, 54, tq1_0),
    35: Format("TQ2_0", 256, 66, tq2_0),
    39: Format("MXFP4", 32, 17, mxfp4),
    40: Format("NVFP4", 64, 36, nvfp4),
}
