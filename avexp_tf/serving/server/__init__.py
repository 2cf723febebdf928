"""A light model server: TensorFlow Serving's paths, bodies and error codes."""
