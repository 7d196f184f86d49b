"""Help pages and the manual page, made from a table of every command's options."""
