"""A sync handler, written for any version of the SDK: what it does is asked by the job."""

import os
import time

import runpod


def handler(job):
    ask = job["input"]
    do = ask["do"]
    if do == "echo":
        return {"echo": ask.get("value"), "pid": os.getpid(), "id": job["id"]}
    if do == "raise":
        raise ValueError("broken on purpose: ünïcode")
    if do == "error":
        return {"error": "refused on purpose"}
    if do == "error_output":
        return {"error": "half done", "partial": [1, 2]}
    if do == "value":
        return ask["value"]
    if do == "nan":
        return {"value": float("nan"), "list": [float("inf"), 1.5]}
    if do == "bytes":
        time.sleep(ask.get("s", 0))
        return {"value": b"not JSON"}
    if do == "large":
        return {"text": ask.get("letter", "x") * ask["size_bytes"]}
    if do == "sleep":
        time.sleep(ask["s"])
        return {"slept": ask["s"], "pid": os.getpid()}
    if do == "wait":  # runs on until the file is there, so that a test decides when it ends
        with open(ask["begun"], "a") as out:
            out.write(f"{os.getpid()}\n")
        while not os.path.exists(ask["until"]):
            time.sleep(0.02)
        return {"pid": os.getpid()}
    if do == "progress":
        for step in range(3):
            runpod.serverless.progress_update(job, {"step": step})
            time.sleep(0.3)
        while not os.path.exists(ask["until"]):
            time.sleep(0.02)
        return {"done": True}
    if do == "late_progress":
        runpod.serverless.progress_update(job, {"late": True})
        return {"done": True}
    if do == "refresh":
        return {"refresh_worker": True, "pid": os.getpid()}
    raise KeyError(do)


runpod.serverless.start({"handler": handler})
