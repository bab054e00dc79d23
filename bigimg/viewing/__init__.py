"""Pictures of arrays and stores."""
