"""Export to files of other programs: one module for each format, and the table, plan, slabs and staging of all."""
