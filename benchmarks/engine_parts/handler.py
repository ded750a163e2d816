"""A RunPod handler as its user would write it; every server of the engine benchmark serves it, or its one line."""

import time

import runpod


def handler(job):
    """Adds one; tells when it began for those who ask."""
    began = time.time()
    given = job["input"]
    if given.get("when"):
        return {"n": given["n"] + 1, "at": began}
    return {"n": given["n"] + 1}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
