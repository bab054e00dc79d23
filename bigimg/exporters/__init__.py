"""Taking out: one file a format, and what all of them share (the table, the plan, the slabs, the staging)."""
