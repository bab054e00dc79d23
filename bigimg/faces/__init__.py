"""What a person calls: what a verb or a public function runs: jobs that join several rooms."""
