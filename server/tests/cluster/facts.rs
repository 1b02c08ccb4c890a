//! What holds of single faults.
