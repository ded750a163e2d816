"""`runpod.serverless`: start a worker, report progress."""
from zeroidle_worker import boot, service
def start(config):
    worker = boot.booted
    worker.serve(lambda: service.from_config(config, worker.settings.concurrency))
