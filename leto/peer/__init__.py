"""The peers' wire: frames, handshake, connections."""
