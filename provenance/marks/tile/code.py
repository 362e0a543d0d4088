"""The polar code that protects the mark: 96 (or 160) bits spread over 1024, read back from noisy evidence. Pure.

Arıkan 2009 for the code, Tal and Vardy 2015 for list decoding, Sarkis et al. 2014 for the short cuts: a subtree that
is all frozen, or frozen but for its last bit, is decided at once instead of leaf by leaf. At this low rate these make
up most of the tree, which is what makes plain numpy fast enough. Which positions carry information follows the
polarisation weight, sum b_j 2^(j/4) over the bits of the position (He et al. 2017), so there is no table to ship.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

LENGTH: Final = 1024
"""Code bits. 512 and 2048 measured alike."""

Bits = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@cache
def information_positions(count: int) -> npt.NDArray[np.intp]:
    """The `count` most reliable of the 1024 positions, ascending."""
    digits = (np.arange(LENGTH)[:, None] >> np.arange(10)) & 1
    weight = digits @ 2.0 ** (np.arange(10) / 4)
    return np.sort(np.argsort(weight, kind="stable")[-count:])


def encode(message: Bits) -> Bits:
    """The 1024 code bits of `message`, (bits,) zeros and ones."""
    positions = np.zeros(LENGTH, np.uint8)
    positions[information_positions(len(message))] = message
    (word,) = _transform(positions[None])
    return np.asarray(word, np.uint8)


def decode(llr: Floats, count: int, paths: int) -> Bits:
    """The likeliest messages, (up to `paths`, count), best first.

    `llr`: (1024,), log P(0) / P(1) of every code bit. `paths`: how many are followed at once; 1 is plain successive
    cancellation, several times faster and about 1 dB weaker than 8.
    """
    frozen = np.ones(LENGTH, bool)
    frozen[information_positions(count)] = False
    words, _, cost = _decide(llr[None].astype(np.float32), np.zeros(1, np.float32), 0, LENGTH, count, paths)
    best = np.argsort(cost, kind="stable")
    return _transform(words[best])[:, ~frozen]


def negated(message: Bits) -> Bits:
    """The message whose code word is the complement of this one's: the last row of the code is all ones."""
    other = message.copy()
    other[-1] ^= 1
    return other


def _transform(words: Bits) -> Bits:
    """`words` (n, length) times the Kronecker power of [[1, 0], [1, 1]]; its own inverse."""
    words = words.copy()
    step = 1
    while step < words.shape[1]:
        pairs = words.reshape(len(words), -1, 2, step)
        pairs[:, :, 0] ^= pairs[:, :, 1]
        step *= 2
    return words


@cache
def _information_below(count: int) -> tuple[int, ...]:
    """How many information positions lie below each position, so that a subtree's share is one subtraction."""
    below = np.zeros(LENGTH + 1, np.int64)
    below[information_positions(count) + 1] = 1
    return tuple(int(number) for number in np.cumsum(below))


def _decide(
    llr: Floats, cost: Floats, start: int, size: int, count: int, paths: int
) -> tuple[Bits, npt.NDArray[np.intp], Floats]:
    """The code words of one subtree for all paths: (paths', size), which path each continues, and its cost."""
    below = _information_below(count)
    informative = below[start + size] - below[start]
    if informative == 0:
        cost = cost + _disagreement(llr).sum(1)
        return np.zeros(llr.shape, np.uint8), np.arange(len(llr)), cost
    if informative == 1 and below[start + size - 1] == below[start]:  # a repetition code, or a leaf
        forked = np.concatenate([cost + _disagreement(llr).sum(1), cost + _disagreement(-llr).sum(1)])
        kept = np.arange(len(forked)) if len(forked) <= paths else np.argpartition(forked, paths - 1)[:paths]
        parents = kept % len(llr)
        value = (kept >= len(llr)).astype(np.uint8)
        return np.repeat(value[:, None], size, 1), parents, forked[kept]
    half = size // 2
    left, parents, cost = _decide(_check(llr[:, :half], llr[:, half:]), cost, start, half, count, paths)
    if len(parents) != len(llr) or len(parents) > 1:
        llr = llr[parents]
    combined = llr[:, half:] + np.where(left, -llr[:, :half], llr[:, :half])
    right, later, cost = _decide(combined, cost, start + half, half, count, paths)
    if len(later) != len(left) or len(later) > 1:
        left, parents = left[later], parents[later]
    return np.concatenate([left ^ right, right], 1), parents, cost


def _check(one: Floats, other: Floats) -> Floats:
    """Log-likelihood ratio of the exclusive or of two bits, exactly: min-sum and a correction."""
    total, difference = np.abs(one + other), np.abs(one - other)
    # max(|a|, |b|) = (|a+b| + |a-b|) / 2, and min with both signs = (|a+b| - |a-b|) / 2
    corrected = (total - difference) * np.float32(0.5) + np.log1p(np.exp(-total)) - np.log1p(np.exp(-difference))
    return np.asarray(corrected, np.float32)


def _disagreement(llr: Floats) -> Floats:
    """-log P(0) of each bit: what it costs a path to say 0."""
    return np.asarray(np.maximum(-llr, 0) + np.log1p(np.exp(-np.abs(llr))), np.float32)
