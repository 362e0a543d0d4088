"""A chatbot that draws: every line is moderated, "draw …" asks for an image, and a refusal is passed on as it is.

    OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=fg_… python chatbot.py < lines.txt

The user's pseudonym goes along as `safety_identifier`: repeated attempts count for this user and not for all of them.
"""

import base64
import hashlib
import sys
from pathlib import Path

from openai import APIStatusError, BadRequestError, OpenAI


def reply(client: OpenAI, user: str, line: str, folder: Path) -> str:
    """What the bot says to `line`; an image it drew lies in `folder`."""
    if not line.startswith("draw "):
        judged = client.moderations.create(input=line).results[0]
        return "Let us talk about something else." if judged.flagged else f"You said: {line}"
    prompt = line.removeprefix("draw ")
    pseudonym = hashlib.sha256(user.encode()).hexdigest()[:16]
    try:
        answer = client.images.generate(prompt=prompt, size="256x256", extra_body={"safety_identifier": pseudonym})
    except BadRequestError as refusal:  # refused, or held for review: final, with a link for the user
        return str(refusal.body["message"] if isinstance(refusal.body, dict) else refusal)
    except APIStatusError as failure:  # the client has retried by itself
        return f"The image service does not answer ({failure.status_code}). Please try again later."
    assert answer.data is not None
    file = folder / f"{hashlib.sha256(prompt.encode()).hexdigest()[:8]}.png"
    file.write_bytes(base64.b64decode(answer.data[0].b64_json or ""))
    return f"Here it is: {file.name}"


if __name__ == "__main__":
    bot = OpenAI()
    for said in sys.stdin:
        print(reply(bot, "a-user", said.strip(), Path.cwd()), flush=True)
