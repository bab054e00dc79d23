"""Jobs: what a verb or a public function runs, where it joins several rooms."""
