"""What a server does with a call by itself, beside recording it: greet it, echo it, hand it to a program."""
