"""Which letters pass for which Latin ones. Data of the folding; no behaviour beyond building the tables.

Sources: the confusables of Unicode Technical Standard 39 for single letters with a Latin prototype, narrowed to the
scripts people type with (Cyrillic, Greek, Armenian, Cherokee, Latin extensions); small capitals and squared letters,
which NFKC leaves alone, from the Unicode names list. Compatibility forms (fullwidth, mathematical, circled) are not
here: NFKC already maps them.
"""


def _pairs(foreign: str, latin: str) -> dict[int, str]:
    return {ord(a): b for a, b in zip(foreign, latin, strict=True)}


# Capitals are mapped by their capital shape (Cyrillic В is B, Greek Η is H), small letters by their small shape.
FOREIGN: dict[int, str] = {
    **_pairs("АВЕЅІЈКМНОРСТУХԌԚԜҺЗ", "abesijkmhopctyxgqwh3"),
    **_pairs("авеѕіјкмнорстухԁԛԝһьгпияшЯИ", "abesijkmhopctyxdqwhbrnnrwrn"),
    **_pairs("дДфФэЭёЁ", "aaooeeee"),
    **_pairs("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϺ", "abezhikmnoptyxcm"),
    **_pairs("αβγεηικμνορσςτυχωϲϳ", "abyenikuvopootuxwcj"),
    **_pairs("աԱոսօհցզյքեո", "uunuohgqjpen"),
    **_pairs("ᎪᏴᏟᎠᎬᎻᎥᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ", "abcdehijklmprstvwz"),
}

# Letters that belong to Latin text but are drawn in a costume: always read as the plain letter.
COSTUME: dict[int, str] = {
    **_pairs("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),
    **_pairs("ɑɡɩɿ", "agir"),
    **{0x1F130 + i: chr(97 + i) for i in range(26)},  # squared (NFKC maps these too; listed for the pair below)
    **{0x1F150 + i: chr(97 + i) for i in range(26)},  # negative circled
    **{0x1F170 + i: chr(97 + i) for i in range(26)},  # negative squared
}

# Letters with an honest life of their own in some language; read as plain only in a variant.
STROKED: dict[int, str] = {
    **_pairs("łøđħŧıƒɨʉɓɗɛɔŋ", "lodhtifiubdeon"),
    ord("æ"): "ae",
    ord("œ"): "oe",
    ord("ð"): "d",
    ord("þ"): "th",
    **{0x1F1E6 + i: chr(97 + i) for i in range(26)},  # regional indicators: flags, or letters
}

PICTURED: dict[int, str] = _pairs("⭕❌✖❗❕💲✝➕©®", "oxxiisttcr")
"""Pictures that pass for a letter beside letters; elsewhere they are pictures. Read so in a variant."""

PICTURE_WORDS: dict[str, str] = {
    "🔪": "knife",
    "🗡": "dagger",
    "🔫": "gun",
    "🩸": "blood",
    "💊": "pills",
    "☠": "skull",
    "🔞": "adults only",
    "🤰": "pregnant woman",
    "🏳": "flag",
    "🪦": "grave",
}
"""What pictures mean to those who send them, where Unicode's name says something else (🔪 is HOCHO there)."""

# Ways to write one word, in scripts whose readers take them for the same; read alike in a variant. Arabic: no vowel
# signs, no stretching (tatweel), one alif, one ya, one kaf, ha for ta marbuta. Devanagari: no nukta, one nasal sign.
SPELLINGS: dict[int, str | None] = {
    **dict.fromkeys([0x640, 0x670, *range(0x610, 0x61B), *range(0x64B, 0x660), *range(0x6D6, 0x6EE)]),
    **_pairs("أإآٱىیېکةہھ", "اااايييكههه"),
    0x93C: None,
    0x901: "\u0902",
}

LEET: dict[int, str] = _pairs("0134567@$€£|+", "oleasgtaseelt")
"""One reading of digits and signs as letters; `1`, `!` and `|` are also read as `i` (see `LEET_I`)."""

LEET_I: dict[int, str] = {**LEET, ord("1"): "i", ord("|"): "i", ord("!"): "i"}

LEET[ord("!")] = "l"
LEET[ord("8")] = LEET_I[ord("8")] = "b"
LEET[ord("9")] = LEET_I[ord("9")] = "g"
