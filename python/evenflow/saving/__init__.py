"""Files: safetensors in an envelope of format and version, and the state of a training in them."""
