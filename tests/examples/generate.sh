#!/bin/sh
# Asks a gateway for an image with curl, and checks afterwards what anyone can check.
#
#     FLUXGATE_URL=http://127.0.0.1:8080 FLUXGATE_KEY=fg_… sh generate.sh "a red apple" apple.png
set -eu
prompt=$1 file=$2

python3 -c 'import json, sys; print(json.dumps({"prompt": sys.argv[1], "size": "256x256"}))' "$prompt" |
    curl -sS -H "Authorization: Bearer $FLUXGATE_KEY" -H "Content-Type: application/json" \
        -d @- "$FLUXGATE_URL/v1/images/generations" |
    python3 -c '
import base64, json, sys
answer = json.load(sys.stdin)
if "error" in answer:  # what the policy refuses is final; the message links to the reasons and the appeal
    sys.exit(answer["error"]["code"] + ": " + answer["error"]["message"])
open(sys.argv[1], "wb").write(base64.b64decode(answer["data"][0]["b64_json"]))' "$file"

curl -sS -F "file=@$file" "$FLUXGATE_URL/v1/verify" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["summary"])'
