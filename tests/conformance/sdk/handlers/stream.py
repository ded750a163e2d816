"""A sync generator; RETURN_AGGREGATE decides whether the chunks are also the output."""

import os

import runpod


def handler(job):
    ask = job["input"]
    for n in range(ask["n"]):
        if n == ask.get("raise_at"):
            raise RuntimeError("stream broken on purpose")
        yield {"n": n, "text": "ä" * 3}


runpod.serverless.start({"handler": handler, "return_aggregate_stream": os.environ.get("RETURN_AGGREGATE") == "1"})
