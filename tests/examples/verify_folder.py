"""Sorts the images of a folder by what a gateway says of them: python verify_folder.py FOLDER http://127.0.0.1:8080

Anyone may ask, without a key. The gateway keeps nothing. `fluxgate verify FOLDER` does the same without a server.
"""

import sys
from collections import defaultdict
from pathlib import Path

import httpx


def verdicts(folder: Path, url: str) -> dict[str, list[str]]:
    """verdict → names of files. Raises `httpx.HTTPError` if the gateway does not answer."""
    found: dict[str, list[str]] = defaultdict(list)
    with httpx.Client(base_url=url, timeout=60, transport=httpx.HTTPTransport(retries=2)) as client:
        for file in sorted(each for each in folder.iterdir() if each.is_file()):
            answer = client.post("/v1/verify", files={"file": (file.name, file.read_bytes())})
            body = answer.json()
            found[body["verdict"] if answer.is_success else body["error"]["code"]].append(file.name)
    return dict(found)


if __name__ == "__main__":
    for verdict, names in verdicts(Path(sys.argv[1]), sys.argv[2]).items():
        print(f"{verdict}: {', '.join(names)}")
