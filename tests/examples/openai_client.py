"""An image through OpenAI's own client: python openai_client.py "a red apple" apple.png

Set OPENAI_BASE_URL (http://127.0.0.1:8080/v1) and OPENAI_API_KEY (fg_…).
"""

import base64
import sys
from pathlib import Path

from openai import BadRequestError, OpenAI


def main(prompt: str, file: Path) -> int:
    """Writes the image. 1: the policy refused or holds it."""
    try:
        answer = OpenAI().images.generate(prompt=prompt, size="256x256", extra_body={"seed": 7})
    except BadRequestError as refusal:
        print(f"{refusal.code}: {refusal.message}", file=sys.stderr)
        return 1
    assert answer.data is not None
    file.write_bytes(base64.b64decode(answer.data[0].b64_json or ""))
    print(f"{file}: drawn from {answer.data[0].revised_prompt or prompt!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
