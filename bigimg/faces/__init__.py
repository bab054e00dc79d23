"""What a person calls: thin functions, each over one room below."""
