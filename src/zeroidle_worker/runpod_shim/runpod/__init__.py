"""The light `runpod` module: what handlers use of RunPod's SDK, without what makes its import slow."""
from . import serverless
