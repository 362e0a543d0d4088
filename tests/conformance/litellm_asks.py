"""Asks for an image as LiteLLM's users do, in a process of its own: LiteLLM pins and warns as it likes.

Arguments: base URL, key, prompt. Standard output: a JSON object with the name of the exception, the names of its bases,
its message and status; or `{"images": …}`.
"""

import json
import os
import sys

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices when it is imported

import litellm

base, key, prompt = sys.argv[1:]
litellm.telemetry = False
try:
    answer = litellm.image_generation(
        model="openai/dall-e-3", prompt=prompt, api_base=f"{base}/v1", api_key=key, size="256x256", max_retries=0
    )
except Exception as failure:  # noqa: BLE001 - its kind is what is asked for
    kinds = [kind.__name__ for kind in type(failure).__mro__]
    said = {"kinds": kinds, "message": str(failure), "status": getattr(failure, "status_code", None)}
    print(json.dumps(said))
else:
    print(json.dumps({"images": len(answer.data)}))
