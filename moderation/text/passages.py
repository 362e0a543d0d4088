"""The passages of a prompt that could each be the whole request: what stands around them is padding or a frame. Pure.

A classifier that weighs a text as a whole is talked round by what surrounds the harm: calm sentences, a story it is
said to belong to, a role it is said to be played in. So what is left without the frames is judged beside the whole, and
so is each passage by itself.
"""

import re
from collections import Counter

SHORTEST = 3
"""Words: shorter passages say too little to be judged alone."""

LONGEST = 24
"""Words: longer sentences are read through windows of this many, each half over the one before."""

SHORTEST_QUOTED = 4
"""Spaces: what stands in quotes and has fewer is a title or the words on a sign."""

STUFFING = 3
"""Times: a clause that comes so often is there for its weight."""

_QUOTED = re.compile(r"(?<=[\"“„«`])[^\"“”„«»`]+(?=[\"”“»`])|(?<=\*\*)[^*]+(?=\*\*)")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?;:…])\s+|(?<=[。！？；：।؟])")
_CLAUSE_ENDS = re.compile(r"(?<=[.,!?;:…])\s+|(?<=[。，！？；：।؟])|\s+(?=(?:where|in which)\b)")
# Clauses that say what the request is for, who is asked, or that rules are off; not what is to be seen.
_FRAME = re.compile(
    r"\b(?:fiction(?:al)?|hypothetical(?:ly)?|imagin(?:e|ary)|pretend(?:ing)?|role ?-?play(?:ing)?|thought experiment"
    r"|novel|screenplay|film script|short story|alternate (?:world|universe)|you are (?:an?|now|the|my)|act as"
    r"|(?:without|no|ignor\w+) (?:any |all |your )?(?:rules|limits|restrictions|filters?|guidelines|morals|ethics)"
    r"|(?:never|cannot|can ?not|don't|do not) refuse|(?:everything|anything) is (?:allowed|legal|permitted)"
    r"|(?:ignor\w+|disregard\w*|forget|override|bypass) (?:all|any|every|the|your|previous|prior|above|safety)\b"
    r"|developer mode|jailbreak\w*|do anything now|system prompt|safety (?:rules|checks|filters?)"
    r"|translate (?:this|that|it|the following|what follows)|draw this now|he said|she said|paint what"
    r"|(?:decode|decrypt|decipher) (?:this|it|that|the following)|what (?:this|it) says|it is in (?:base64|rot13|code)"
    r"|(?:educational|research|academic|scientific) (?:purposes?|use))\b"
)


def unframed(text: str) -> str:
    """`text` without what only frames it: its longest part in quotes or bold, if one is long; of that, what does not
    just say what it is for and does not come three times and more. `text` itself if there is no frame, or nothing else.

    `text`: folded. English frames only, like the classifier that needs this.
    """
    quoted = max(_QUOTED.findall(text), key=len, default="")
    inner = quoted if quoted.count(" ") >= SHORTEST_QUOTED else text
    clauses = _CLAUSE_ENDS.split(inner)
    often = Counter(clause.strip(" .,;") for clause in clauses)
    kept = " ".join(
        clause for clause in clauses if not _FRAME.search(clause) and often[clause.strip(" .,;")] < STUFFING
    )
    if kept and len(kept) < len(inner) - len(clauses):
        return kept
    return inner


def passages(text: str) -> tuple[str, ...]:
    """The sentences of `text` and what follows a colon, long ones in windows; none if that is the whole text.

    `text`: folded. Linear; no passage comes twice or is shorter than `SHORTEST` words. Together they hold at most twice
    the words of the text.
    """
    found: dict[str, None] = {}
    for sentence in _SENTENCE_ENDS.split(text):
        words = sentence.split()
        step = LONGEST // 2 if len(words) > LONGEST else LONGEST
        for start in range(0, max(1, len(words) - LONGEST + step), step):
            piece = words[start : start + LONGEST]
            if len(piece) >= SHORTEST:
                found[" ".join(piece)] = None
    found.pop(text, None)
    return tuple(found)
