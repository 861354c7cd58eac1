"""Parts of reading foreign archives: what a file holds, its columns, its text."""
