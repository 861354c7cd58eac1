"""What a robot can know of where it is, from its wheels and contact sensors alone."""
