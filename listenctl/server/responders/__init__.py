"""What a server does with a call by itself: greet it, echo it, give it to a program."""
