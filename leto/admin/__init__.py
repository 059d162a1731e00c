"""HTTP for operators: status, health, metrics."""
