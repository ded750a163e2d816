"""The real `runpod` package as worker: its environments, its processes and a live plane to run them against."""
