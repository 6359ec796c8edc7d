"""What every process is made of: its clock, its supervised tasks, its memory and the bodies that it reads over HTTP."""
