"""Records: schema, writer, manifest, clips, loss simulator, tf.data pipeline."""
