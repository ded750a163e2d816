"""The same work as handler.py, served by LitServe with one worker. Run it in an environment that has litserve."""

import sys

import litserve


class Add(litserve.LitAPI):
    """Adds one."""

    def setup(self, device):
        """There is no model."""

    def decode_request(self, request):
        """The number."""
        return request["input"]["n"]

    def predict(self, n):
        """The work."""
        return n + 1

    def encode_response(self, output):
        """In the shape of a RunPod answer."""
        return {"output": {"n": output}}


if __name__ == "__main__":
    server = litserve.LitServer(Add(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
