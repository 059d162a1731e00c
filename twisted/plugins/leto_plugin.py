"""Makes `twistd leto` known. Imported for every twistd command, so it imports nothing of Leto itself."""

from twisted.application.service import ServiceMaker

leto = ServiceMaker("Leto", "leto.tap", "A replicated key-value store that speaks the Redis protocol.", "leto")
