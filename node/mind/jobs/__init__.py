"""Goals as durable jobs: their record, the leave they need, and their end."""
