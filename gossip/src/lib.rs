//! Sans-I/O SWIM.
