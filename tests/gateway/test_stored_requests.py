"""A request that was accepted is drawn by whichever version finds it, newer than the one that stored it or not."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from gateway.exchange import ImageRequest
from gateway.jobs import pack, unpack
from gateway.notes import PROMPT_REVISED
from gateway.store.vault import VaultError
from inference.drawing import Drawing, Finish

REQUEST = ImageRequest(
    "pred_a",
    "native",
    "demo",
    Drawing("a fox", 7, 512, 256, 4, 3.5, 0.8, Finish(((1, 2, 3),), 2, (640, 320), stretch=True)),
    datetime(2026, 12, 1, tzinfo=UTC),
    upload="up_a",
    references=("up_b", "up_c"),
    revised_prompt="a dog",
    not_drawn=("quantum",),
    notes=(PROMPT_REVISED,),
    end_user="someone",
    tolerance=3,
)
VERSION_0_1 = {
    "id": "pred_a", "dialect": "native", "model": "demo", "prompt": "a fox", "width": 512, "height": 256, "steps": 4,
    "guidance": 3.5, "seed": 7, "created_at": "2026-12-01T00:00:00+00:00", "media_type": "image/png", "quality": 92,
    "upload": "up_a", "strength": 0.8, "end_user": "someone", "mask": None, "references": ["up_b", "up_c"],
    "finish": {"palette": [[1, 2, 3]], "enlarge": 2, "size": [640, 320], "stretch": True}, "fits_input": False,
    "cuts_input": False, "revised_prompt": "a dog", "not_drawn": ["quantum"],
    "notes": [{"code": PROMPT_REVISED.code, "message": PROMPT_REVISED.message}], "visible_label": "none",
    "label_corner": "top_right", "label_language": None, "tolerance": 3, "asking": "", "language": None,
}  # fmt: skip


def test_a_stored_request_opens_as_it_was() -> None:
    assert unpack(pack(REQUEST)) == REQUEST


def test_a_request_that_an_older_version_stored_opens_too() -> None:
    assert unpack(orjson.dumps(VERSION_0_1)) == REQUEST


@pytest.mark.parametrize("broken", [{}, {**VERSION_0_1, "finish": {}}, {**VERSION_0_1, "colour": "red"}])
def test_what_no_version_stored_is_said_to_be_so(broken: dict[str, object]) -> None:
    with pytest.raises(VaultError, match="not of this version"):
        unpack(orjson.dumps(broken))


def test_the_log_names_what_it_takes_to_draw_again_and_no_prompt() -> None:
    assert REQUEST.recorded == {
        "seed": 7, "width": 512, "height": 256, "steps": 4, "guidance": "3.5", "strength": "0.8", "size": "1280x640",
    }  # fmt: skip
    as_drawn = replace(REQUEST, upload=None, drawing=Drawing("a fox", 7, 512, 256, 4, 3.5))
    assert list(as_drawn.recorded) == ["seed", "width", "height", "steps", "guidance"]
