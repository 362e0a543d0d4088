"""The hosted API's sample code: start, poll, read the address of the image. Address and key are all that changes.

Written as its first users have it: no status is checked, and only what stands below `data` is read.
"""

import time

import httpx

POLL_SECONDS = 2.0
SAMPLE = {
    "model": "black-forest-labs/flux-schnell",
    "prompt": "A beautiful landscape with mountains and lake",
    "width": 512,
    "height": 512,
    "steps": 20,
    "guidance_scale": 7.5,
}


def generate(base_url: str, api_key: str, poll_seconds: float = POLL_SECONDS, **changes: object) -> str:
    """The address of the image; raises `RuntimeError` with what the API says of a failure."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
    with httpx.Client(base_url=base_url, headers=headers, timeout=60) as client:
        started = client.post("/api/v1/model/generateImage", json=SAMPLE | changes).json()["data"]
        if started["status"] == "failed":
            raise RuntimeError(started["error"])
        while True:
            result = client.get(f"/api/v1/model/prediction/{started['id']}").json()["data"]
            if result["status"] in ("completed", "succeeded"):
                return str(result["outputs"][0])
            if result["status"] == "failed":
                raise RuntimeError(result["error"])
            time.sleep(poll_seconds)
