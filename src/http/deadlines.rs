//! Deadlines around the socket that hyper lacks.
